//! Colours that people with a colour vision deficiency tell apart (Okabe and Ito, 2008), and the greys around them.

use plotters::style::RGBColor;

pub(super) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub(super) const VERMILLION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
pub(super) const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
pub(super) const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
pub(super) const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);

pub(super) const SKY: RGBColor = RGBColor(0x56, 0xb4, 0xe9);

pub(super) const WHITE: RGBColor = RGBColor(0xff, 0xff, 0xff);
pub(super) const INK: RGBColor = RGBColor(0x1c, 0x1f, 0x24);
pub(super) const GREY: RGBColor = RGBColor(0x5b, 0x62, 0x6b);
pub(super) const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);
pub(super) const ALARM: RGBColor = RGBColor(0xb0, 0x1e, 0x1e);
/// A seventh colour, where nine stages need one each.
pub(super) const BROWN: RGBColor = RGBColor(0x7a, 0x4b, 0x2a);
