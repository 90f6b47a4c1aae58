//! From a drawing to files: SVG and PNG of the same strokes.

use std::path::Path;

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::prelude::{DrawingBackend, IntoDrawingArea};

use super::canvas::{Canvas, Drawn, Medium, SCALE, WIDTH};
use super::{ChartError, font};

/// What can be drawn on any backend.
pub(super) trait Drawing {
    /// The name of its files, for errors.
    fn file_name(&self) -> String;

    /// Height in logical units.
    fn height(&self) -> f64;

    /// Draws all of it.
    ///
    /// # Errors
    /// What the backend says.
    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB>;
}

/// Size in backend pixels.
pub(super) fn pixels(drawing: &impl Drawing) -> (u32, u32) {
    let of = |logical: f64| (logical * f64::from(SCALE)).round() as u32;
    (of(WIDTH), of(drawing.height()))
}

/// The drawing as an SVG document, 900 wide.
pub(super) fn svg(drawing: &impl Drawing) -> Result<String, ChartError> {
    font::register()?;
    let (width, height) = pixels(drawing);
    let failed = |why: String| ChartError::Draw {
        chart: drawing.file_name(),
        why,
    };
    let mut svg = String::new();
    {
        let canvas = Canvas::new(
            SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area(),
            Medium::Svg,
        );
        drawing.draw(&canvas).map_err(|error| failed(error.to_string()))?;
        canvas.present().map_err(|error| failed(error.to_string()))?;
    }
    // Drawn at twice its size for half units; the viewBox stays, the size is halved.
    let drawn = format!("width=\"{width}\" height=\"{height}\"");
    let shown = format!(
        "width=\"{}\" height=\"{}\"",
        width / SCALE as u32,
        height / SCALE as u32
    );
    Ok(svg.replacen(&drawn, &shown, 1))
}

/// Writes the drawing as a PNG, 1,800 pixels wide. The name at `path` must end in `.png`.
pub(super) fn write_png(drawing: &impl Drawing, path: &Path) -> Result<(), ChartError> {
    font::register()?;
    let failed = |why: String| ChartError::Write {
        path: path.to_owned(),
        why,
    };
    let canvas = Canvas::new(
        BitMapBackend::new(path, pixels(drawing)).into_drawing_area(),
        Medium::Bitmap,
    );
    drawing.draw(&canvas).map_err(|error| failed(error.to_string()))?;
    canvas.present().map_err(|error| failed(error.to_string()))
}
