//! Which dimension goes where: along the x axis, as lines or rows, and as small multiples; and where the panels stand.

use crate::report::human;
use crate::report::sweep::{Cell, Sweep};

/// Most panels of a chart; what is beyond is in the table.
const PANELS_MAX: usize = 12;
/// Most lines of a plot: more cannot be told apart.
const LINES_MAX: usize = 10;
/// Space between panels.
const GAP: f64 = 14.0;

/// Dimensions and their places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// Along the x axis.
    pub main: usize,
    /// As lines, or as the rows of a map.
    pub second: Option<usize>,
    /// Values of the remaining dimensions, one combination a panel: (dimension, place).
    pub panels: Vec<Vec<(usize, usize)>>,
    /// Combinations that have no panel.
    pub hidden: usize,
}

impl Layout {
    /// Along the main dimension, with the one of the others that has the most values, but not too many, as lines.
    pub(super) fn along(sweep: &Sweep<'_>) -> Option<Layout> {
        let main = sweep.main_dimension()?;
        let size = |at: &usize| sweep.dimensions[*at].values.len();
        let others = (0..sweep.dimensions.len()).filter(|at| *at != main);
        let fitting = others.filter(|at| (2..=LINES_MAX).contains(&size(at)));
        let second = fitting.rev().max_by_key(size);
        Some(Layout::with_panels(sweep, main, second))
    }

    /// Over two dimensions of numbers.
    pub(super) fn map(sweep: &Sweep<'_>) -> Option<Layout> {
        let main = sweep.main_dimension()?;
        let numeric = |at: &usize| *at != main && sweep.dimensions[*at].is_numeric();
        let second = (0..sweep.dimensions.len()).find(numeric)?;
        sweep.dimensions[main]
            .is_numeric()
            .then(|| Layout::with_panels(sweep, main, Some(second)))
    }

    fn with_panels(sweep: &Sweep<'_>, main: usize, second: Option<usize>) -> Layout {
        let rest = |cell: &Cell<'_>| {
            let places = cell.place.iter().copied().enumerate();
            places
                .filter(|(at, _)| *at != main && Some(*at) != second)
                .collect::<Vec<_>>()
        };
        let mut panels: Vec<Vec<(usize, usize)>> = sweep.cells.iter().map(rest).collect();
        panels.sort_unstable();
        panels.dedup();
        let hidden = panels.len().saturating_sub(PANELS_MAX);
        panels.truncate(PANELS_MAX);
        Layout {
            main,
            second,
            panels,
            hidden,
        }
    }

    /// The cells of a panel that have the value at `second` (all, if there is no second dimension), along the main one.
    pub(super) fn cells<'s, 'a>(&self, sweep: &'s Sweep<'a>, panel: usize, second: usize) -> Vec<&'s Cell<'a>> {
        let fixed = |cell: &&Cell<'_>| self.panels[panel].iter().all(|(at, place)| cell.place[*at] == *place);
        let row = |cell: &&Cell<'_>| self.second.is_none_or(|at| cell.place[at] == second);
        let mut cells: Vec<&Cell<'_>> = sweep.cells.iter().filter(fixed).filter(row).collect();
        cells.sort_by_key(|cell| cell.place[self.main]);
        cells
    }

    /// Values of the second dimension; one without.
    pub(super) fn rows(&self, sweep: &Sweep<'_>) -> usize {
        self.second.map_or(1, |at| sweep.dimensions[at].values.len())
    }

    /// What the panel's cells have in common, in words; empty for the only panel.
    pub(super) fn name(&self, sweep: &Sweep<'_>, panel: usize) -> String {
        let parts = self.panels[panel].iter().map(|(at, place)| {
            let dimension = &sweep.dimensions[*at];
            format!("{} {}", dimension.short_name(), dimension.values[*place].label)
        });
        human::plain(&parts.collect::<Vec<_>>().join(", "))
    }

    /// Panels beside each other.
    pub(super) fn columns(&self) -> usize {
        if self.panels.len() > 1 { 2 } else { 1 }
    }

    /// Panels above each other.
    pub(super) fn lines(&self) -> usize {
        self.panels.len().div_ceil(self.columns())
    }

    /// The rectangle of a panel within (left, top, right, bottom).
    pub(super) fn rectangle(&self, panel: usize, (left, top, right, bottom): Rectangle) -> Rectangle {
        let (columns, lines) = (self.columns() as f64, self.lines() as f64);
        let (column, line) = ((panel % self.columns()) as f64, (panel / self.columns()) as f64);
        let width = (right - left - GAP * (columns - 1.0)) / columns;
        let height = (bottom - top - GAP * (lines - 1.0)) / lines;
        let (x, y) = (left + column * (width + GAP), top + line * (height + GAP));
        (x, y, x + width, y + height)
    }
}

/// Left, top, right, bottom in logical units.
pub(super) type Rectangle = (f64, f64, f64, f64);
