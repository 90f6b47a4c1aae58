//! The embedded font: charts look the same on a machine without fonts.

use std::sync::OnceLock;

use plotters::style::{FontStyle, register_font};

use super::ChartError;

/// A subset of DejaVu Sans; assets/fonts/LICENSE-DejaVu.txt says which characters, and its licence.
const DEJAVU_SANS: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans-subset.ttf");

/// The family under which charts ask for it. In SVG files it is a generic family, so that each viewer has one.
pub(super) const FAMILY: &str = "sans-serif";

/// Makes the font known to plotters. Without it even SVG charts fail, since plotters measures text with it.
///
/// # Errors
/// [`ChartError::Font`] if the embedded file is damaged.
pub(super) fn register() -> Result<(), ChartError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| register_font(FAMILY, FontStyle::Normal, DEJAVU_SANS).is_ok());
    if *registered { Ok(()) } else { Err(ChartError::Font) }
}
