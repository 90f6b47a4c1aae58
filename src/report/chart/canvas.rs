//! Drawing in logical units, 900 across, on any backend of plotters.
//!
//! Everything is drawn at twice that size: an SVG keeps half units, and a PNG is sharp where a page shows it at 900 pixels.

use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, DrawingBackend, IntoTextStyle, RGBColor, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, FontDesc, FontFamily, FontStyle, FontTransform, ShapeStyle, TextStyle};

use super::font;

/// Backend pixels of a logical unit.
pub(super) const SCALE: i32 = 2;
/// Width of all charts, logical units.
pub(super) const WIDTH: f64 = 900.0;
/// Plotters' size of a text over its em: it takes the line's height.
const SIZE_OF_EM: f64 = 1.2;

/// The result of drawing on backend `DB`.
pub(super) type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// The end of a text that stands at the point given; texts are centred vertically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stroke {
    pub colour: RGBColor,
    pub alpha: f64,
    pub width: f64,
    pub dashed: bool,
}

impl Stroke {
    pub(super) const fn solid(colour: RGBColor) -> Stroke {
        Stroke {
            colour,
            alpha: 1.0,
            width: 1.5,
            dashed: false,
        }
    }

    pub(super) const fn dashed(colour: RGBColor) -> Stroke {
        Stroke {
            colour,
            alpha: 1.0,
            width: 1.5,
            dashed: true,
        }
    }

    fn style(self) -> ShapeStyle {
        ShapeStyle {
            color: self.colour.mix(self.alpha),
            filled: false,
            stroke_width: (self.width * f64::from(SCALE)).round().max(1.0) as u32,
        }
    }
}

/// A place in logical units, from the upper left.
pub(super) type Place = (f64, f64);

/// What the backend draws; plotters differs a little between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    Svg,
    Bitmap,
}

impl Medium {
    /// How far plotters draws a centred text too high, in ems; SVG viewers centre it themselves. Found by looking.
    const fn text_drop(self) -> f64 {
        match self {
            Medium::Svg => 0.0,
            Medium::Bitmap => 0.13,
        }
    }
}

/// A drawing area in logical units.
pub(super) struct Canvas<DB: DrawingBackend> {
    area: DrawingArea<DB, Shift>,
    medium: Medium,
}

fn pixel(place: Place) -> (i32, i32) {
    let of = |logical: f64| (logical * f64::from(SCALE)).round().clamp(-1e6, 1e6) as i32;
    (of(place.0), of(place.1))
}

impl<DB: DrawingBackend> Canvas<DB> {
    pub(super) fn new(area: DrawingArea<DB, Shift>, medium: Medium) -> Self {
        Canvas { area, medium }
    }

    /// Finishes the picture; a bitmap is written to its file here.
    pub(super) fn present(&self) -> Drawn<DB> {
        self.area.present()
    }

    /// Height in logical units.
    pub(super) fn height(&self) -> f64 {
        f64::from(self.area.dim_in_pixel().1) / f64::from(SCALE)
    }

    pub(super) fn line(&self, points: &[Place], stroke: Stroke) -> Drawn<DB> {
        if stroke.dashed {
            for dash in dashes(points) {
                self.path(&dash, stroke)?;
            }
            return Ok(());
        }
        self.path(points, stroke)
    }

    fn path(&self, points: &[Place], stroke: Stroke) -> Drawn<DB> {
        let mut pixels: Vec<(i32, i32)> = points.iter().copied().map(pixel).collect();
        // Points on the same pixel would give a thick line a corner of no direction.
        pixels.dedup();
        if pixels.len() < 2 {
            return Ok(());
        }
        if self.medium == Medium::Svg {
            return self.area.draw(&PathElement::new(pixels, stroke.style()));
        }
        // Piece by piece: on bitmaps a thick line that turns sharply loses width at the turn.
        for pair in pixels.windows(2) {
            self.area.draw(&PathElement::new(pair.to_vec(), stroke.style()))?;
        }
        Ok(())
    }

    pub(super) fn rect(&self, from: Place, to: Place, colour: RGBColor, alpha: f64) -> Drawn<DB> {
        let style = colour.mix(alpha).filled();
        self.area.draw(&Rectangle::new([pixel(from), pixel(to)], style))
    }

    pub(super) fn frame(&self, from: Place, to: Place, stroke: Stroke) -> Drawn<DB> {
        self.area
            .draw(&Rectangle::new([pixel(from), pixel(to)], stroke.style()))
    }

    pub(super) fn polygon(&self, corners: &[Place], colour: RGBColor, alpha: f64) -> Drawn<DB> {
        let pixels: Vec<(i32, i32)> = corners.iter().copied().map(pixel).collect();
        self.area.draw(&Polygon::new(pixels, colour.mix(alpha).filled()))
    }

    pub(super) fn dot(&self, at: Place, radius: f64, colour: RGBColor) -> Drawn<DB> {
        self.area.draw(&Circle::new(
            pixel(at),
            (radius * f64::from(SCALE)) as i32,
            colour.filled(),
        ))
    }

    pub(super) fn diamond(&self, (x, y): Place, radius: f64, colour: RGBColor) -> Drawn<DB> {
        let corners = [(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)];
        self.polygon(&corners, colour, 1.0)
    }

    /// Writes `text` with the em `size`.
    pub(super) fn text(&self, at: Place, text: &str, size: f64, colour: RGBColor, anchor: Anchor) -> Drawn<DB> {
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = style(size, colour).pos(Pos::new(horizontal, VPos::Center));
        self.area.draw(&Text::new(
            text.to_owned(),
            pixel((at.0, at.1 + size * self.medium.text_drop())),
            style,
        ))
    }

    /// Writes `text` upwards; it ends at the point given.
    pub(super) fn text_upwards(&self, at: Place, text: &str, size: f64, colour: RGBColor) -> Drawn<DB> {
        let style = style(size, colour).pos(Pos::new(HPos::Right, VPos::Center));
        self.area.draw(&Text::new(
            text.to_owned(),
            pixel((at.0 + size * self.medium.text_drop(), at.1)),
            style.transform(FontTransform::Rotate270),
        ))
    }

    /// Width of `text` in the embedded font. A viewer of the SVG may take another font: leave a tenth.
    pub(super) fn text_width(&self, text: &str, size: f64) -> f64 {
        let measured = self.area.estimate_text_size(text, &style(size, BLACK));
        // A width is needed for the layout only, so a text that cannot be measured is guessed.
        measured.map_or(text.chars().count() as f64 * size * 0.6, |(width, _)| {
            f64::from(width) / f64::from(SCALE)
        })
    }

    /// `text`, shortened until it is no wider than `width`.
    pub(super) fn fitting(&self, text: &str, size: f64, width: f64) -> String {
        let mut length = text.chars().count();
        let mut fitted = text.to_owned();
        while length > 1 && self.text_width(&fitted, size) > width {
            length -= 1;
            fitted = crate::report::human::shortened(text, length);
        }
        fitted
    }
}

fn style(size: f64, colour: RGBColor) -> TextStyle<'static> {
    let font = FontDesc::new(
        FontFamily::Name(font::FAMILY),
        size * SIZE_OF_EM * f64::from(SCALE),
        FontStyle::Normal,
    );
    font.with_color(colour).into_text_style(&(0, 0))
}

/// Cuts a polyline into dashes of 6 with gaps of 4.
fn dashes(points: &[Place]) -> Vec<Vec<Place>> {
    const DASH: f64 = 6.0;
    const GAP: f64 = 4.0;
    let mut out: Vec<Vec<Place>> = Vec::new();
    let Some(first) = points.first() else { return out };
    let (mut drawing, mut left) = (true, DASH);
    let mut current = vec![*first];
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let at = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length);
            if drawing {
                current.push(at);
                out.push(std::mem::take(&mut current));
            } else {
                current = vec![at];
            }
            drawing = !drawing;
            left = if drawing { DASH } else { GAP };
        }
        left -= length - done;
        if drawing {
            current.push((x1, y1));
        }
    }
    if current.len() > 1 {
        out.push(current);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_the_line_and_leave_gaps() {
        let dashes = dashes(&[(0.0, 0.0), (13.0, 0.0), (40.0, 0.0)]);
        assert_eq!(dashes.len(), 4);
        assert_eq!((dashes[0][0], dashes[0][1]), ((0.0, 0.0), (6.0, 0.0)));
        assert_eq!(dashes[1], [(10.0, 0.0), (13.0, 0.0), (16.0, 0.0)]);
    }
}
