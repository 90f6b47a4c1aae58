//! The cells of a run beside each other: the dimensions of its matrix, and each cell's figures over its repeats.

use super::figure::{Better, Figure};
use crate::ledger::Verdict;
use crate::results::record::{CellRecord, RunRecord, TrialRecord};
use crate::stats::{self, Interval};

/// Repeats under which no 95 % interval of a median exists: of five values the median lies outside them all once in sixteen.
pub const REPEATS_MIN: usize = 6;
/// Two-sided level of every test.
pub const LEVEL: f64 = 0.05;

/// A dimension of the matrix with its values, in the order of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// The key, or the name of a list of variants.
    pub name: String,
    /// Its values: numbers ascending, then words in the order of the matrix.
    pub values: Vec<Value>,
}

/// A value of a dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// As it was written.
    pub label: String,
    /// Its quantity, where it has one.
    pub number: Option<f64>,
}

impl Dimension {
    /// Whether it is an axis of numbers: at least two values are (`unlimited` may stand beside them).
    pub fn is_numeric(&self) -> bool {
        self.values.iter().filter(|value| value.number.is_some()).count() >= 2
    }

    /// The last part of its key: `prefetch` of `stage.payment.prefetch`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

/// The matrix of a run.
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    /// The run.
    pub record: &'a RunRecord,
    /// Its dimensions, in the order of the matrix.
    pub dimensions: Vec<Dimension>,
    /// Its cells, in the order of the run.
    pub cells: Vec<Cell<'a>>,
}

/// A cell with its trials.
#[derive(Debug, Clone)]
pub struct Cell<'a> {
    /// The cell.
    pub record: &'a CellRecord,
    /// For each dimension the place of the cell's value in [`Dimension::values`].
    pub place: Vec<usize>,
    /// Its trials, in the order of running.
    pub trials: Vec<&'a TrialRecord>,
}

/// A figure over the repeats of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Repeats that have it.
    pub n: usize,
    /// Median.
    pub median: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
}

impl<'a> Sweep<'a> {
    /// The matrix of `record`; a run without one has a single cell and no dimensions.
    pub fn of(record: &'a RunRecord) -> Sweep<'a> {
        let dimensions = dimensions(record);
        let place = |cell: &CellRecord| {
            let places = dimensions.iter().map(|dimension| {
                let value = value_of(cell, &dimension.name);
                let at = dimension
                    .values
                    .iter()
                    .position(|known| Some(known.label.as_str()) == value);
                at.unwrap_or(0)
            });
            places.collect()
        };
        let cells = record.cells.iter().enumerate().map(|(at, cell)| Cell {
            record: cell,
            place: place(cell),
            trials: record.trials_of(at).collect(),
        });
        Sweep {
            record,
            cells: cells.collect(),
            dimensions: dimensions.clone(),
        }
    }

    /// Whether there is anything to set side by side.
    pub fn is_matrix(&self) -> bool {
        self.cells.len() > 1
    }

    /// The dimension that charts run along: of those with numbers, else of all, the one with the most values.
    pub fn main_dimension(&self) -> Option<usize> {
        let size = |at: &usize| self.dimensions[*at].values.len();
        let all = || (0..self.dimensions.len()).filter(|at| self.dimensions[*at].values.len() > 1);
        let numeric = all().filter(|at| self.dimensions[*at].is_numeric());
        // `max_by_key` takes the last of equals, so the order is turned round.
        let longest = |places: Vec<usize>| places.into_iter().rev().max_by_key(size);
        longest(numeric.collect()).or_else(|| longest(all().collect()))
    }

    /// The cells that differ in `dimension` alone, in the order of its values; one group for each combination of the others.
    pub fn rows(&self, dimension: usize) -> Vec<Vec<&Cell<'a>>> {
        let mut rows: Vec<(Vec<usize>, Vec<&Cell<'a>>)> = Vec::new();
        for cell in &self.cells {
            let mut rest = cell.place.clone();
            rest.remove(dimension);
            match rows.iter_mut().find(|(known, _)| *known == rest) {
                Some((_, row)) => row.push(cell),
                None => rows.push((rest, vec![cell])),
            }
        }
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let sorted = rows.into_iter().map(|(_, mut row)| {
            row.sort_by_key(|cell| cell.place[dimension]);
            row
        });
        sorted.collect()
    }

    /// `consumers 4, ack_batch 10`: what the cell has in all dimensions but `without`.
    pub fn others(&self, cell: &Cell<'_>, without: &[usize]) -> String {
        let parts = self
            .dimensions
            .iter()
            .enumerate()
            .filter(|(at, _)| !without.contains(at));
        let parts = parts.map(|(at, dimension)| {
            let value = &dimension.values[cell.place[at]];
            format!("{} {}", dimension.short_name(), value.label)
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// The cell that is better than each other in `figure` as far as can be told: every comparison stands after Holm's
    /// correction. `None` if no cell stands out from the noise.
    pub fn best(&self, figure: Figure) -> Option<usize> {
        let values: Vec<Vec<f64>> = self.cells.iter().map(|cell| cell.values(figure)).collect();
        let score = |at: &usize| {
            stats::median(&values[*at]).map(|median| match figure.better() {
                Better::Higher => median,
                Better::Lower => -median,
            })
        };
        let candidate = (0..values.len())
            .filter(|at| score(at).is_some())
            .max_by(|a, b| score(a).unwrap_or_default().total_cmp(&score(b).unwrap_or_default()))?;
        if !self.is_matrix() || !figure.is_outcome() || values.iter().any(Vec::is_empty) {
            return None;
        }
        let others = (0..values.len()).filter(|at| *at != candidate);
        let p: Option<Vec<f64>> = others
            .map(|at| stats::mann_whitney(&values[candidate], &values[at]).map(|test| test.p))
            .collect();
        stats::holm(&p?).into_iter().all(|p| p < LEVEL).then_some(candidate)
    }

    /// The rate by which the cells are judged: that at which their backlog was cleared where each has had one, since goodput then
    /// says how long the load was, else goodput.
    pub fn throughput(&self) -> Figure {
        let cleared = |cell: &Cell<'_>| !cell.values(Figure::BacklogDrainRate).is_empty();
        if !self.cells.is_empty() && self.cells.iter().all(cleared) {
            Figure::BacklogDrainRate
        } else {
            Figure::Goodput
        }
    }

    /// [`Sweep::throughput`] in a sentence.
    pub fn throughput_words(&self) -> &'static str {
        match self.throughput() {
            Figure::BacklogDrainRate => "rate at which the backlog was cleared",
            _ => "goodput",
        }
    }

    /// The least number of repeats of a cell.
    pub fn repeats(&self) -> usize {
        self.cells.iter().map(|cell| cell.trials.len()).min().unwrap_or(0)
    }
}

impl Cell<'_> {
    /// What its trials have, without those that lack it.
    pub fn values(&self, figure: Figure) -> Vec<f64> {
        self.trials.iter().filter_map(|trial| figure.of(trial)).collect()
    }

    /// A figure over the repeats; absent if none has it.
    pub fn spread(&self, figure: Figure) -> Option<Spread> {
        let values = self.values(figure);
        Some(Spread {
            n: values.len(),
            median: stats::median(&values)?,
            min: values.iter().copied().reduce(f64::min)?,
            max: values.iter().copied().reduce(f64::max)?,
        })
    }

    /// Bootstrap interval (95 %) of the median over the repeats; absent under [`REPEATS_MIN`] repeats.
    pub fn interval(&self, figure: Figure) -> Option<Interval> {
        let values = self.values(figure);
        let interval = || stats::interval(&[&values], 0, figure.name(), |drawn| stats::median(&drawn[0]));
        if values.len() >= REPEATS_MIN { interval() } else { None }
    }

    /// The worst verdict of its trials; unknown without trials.
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.trials.iter().map(|trial| trial.verdict);
        verdicts.max().unwrap_or(Verdict::Unknown)
    }

    /// Trials whose figures count.
    pub fn valid(&self) -> usize {
        self.trials.iter().filter(|trial| trial.validity.valid).count()
    }

    /// Trials that ran empty by the deadline.
    pub fn drained(&self) -> usize {
        self.trials.iter().filter(|trial| trial.drain.drained).count()
    }

    /// The trial to look at: the first with the worst verdict, an invalid one before a valid one.
    pub fn shown_trial(&self) -> Option<&TrialRecord> {
        // `max_by_key` takes the last of equals, so the order is turned round.
        let rated = self.trials.iter().rev();
        rated
            .max_by_key(|trial| (trial.verdict, !trial.validity.valid))
            .copied()
    }
}

fn value_of<'a>(cell: &'a CellRecord, dimension: &str) -> Option<&'a str> {
    let varied = cell.varied.iter().find(|varied| varied.dimension == dimension);
    varied.map(|varied| varied.value.as_str())
}

fn dimensions(record: &RunRecord) -> Vec<Dimension> {
    let mut dimensions: Vec<Dimension> = Vec::new();
    for varied in record.cells.iter().flat_map(|cell| &cell.varied) {
        let at = dimensions.iter().position(|known| known.name == varied.dimension);
        let at = at.unwrap_or_else(|| {
            dimensions.push(Dimension {
                name: varied.dimension.clone(),
                values: Vec::new(),
            });
            dimensions.len() - 1
        });
        let values = &mut dimensions[at].values;
        if !values.iter().any(|value| value.label == varied.value) {
            values.push(Value {
                label: varied.value.clone(),
                number: varied.number.filter(|number| number.is_finite()),
            });
        }
    }
    for dimension in &mut dimensions {
        // Stable: words keep the order of the matrix, behind the numbers.
        dimension.values.sort_by(|a, b| match (a.number, b.number) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        });
    }
    dimensions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn numbers_ascend_and_words_stand_behind_them() {
        let record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 3);
        let sweep = Sweep::of(&record);
        let labels: Vec<&str> = sweep.dimensions[0]
            .values
            .iter()
            .map(|value| value.label.as_str())
            .collect();
        assert_eq!(labels, ["1", "10", "100", "1000", "unlimited"]);
        assert_eq!(
            (sweep.main_dimension(), sweep.cells.len(), sweep.repeats()),
            (Some(0), 10, 3)
        );
        assert_eq!(sweep.dimensions[0].short_name(), "prefetch");
        assert!(sweep.dimensions[0].is_numeric());
    }

    #[test]
    fn a_row_holds_the_cells_that_differ_in_one_dimension() {
        let record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 1);
        let sweep = Sweep::of(&record);
        let rows = sweep.rows(0);
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
        for row in rows {
            assert!(
                row.windows(2)
                    .all(|pair| pair[0].place[0] < pair[1].place[0] && pair[0].place[1] == pair[1].place[1])
            );
        }
        assert_eq!(sweep.others(&sweep.cells[0], &[0]), "consumers 1");
    }

    #[test]
    fn a_run_without_a_matrix_has_one_cell_and_no_dimension() {
        let record = fixture::three_trials();
        let sweep = Sweep::of(&record);
        assert!(!sweep.is_matrix() && sweep.main_dimension().is_none() && sweep.best(Figure::Goodput).is_none());
        let spread = sweep.cells[0].spread(Figure::Goodput).expect("measured");
        assert!(
            (spread.n, spread.min, spread.max, spread.median) == (3, 495.9, 497.9, 496.9),
            "{spread:?}"
        );
        assert_eq!(
            sweep.cells[0].interval(Figure::Goodput),
            None,
            "three repeats have no interval"
        );
    }

    #[test]
    fn the_best_cell_is_named_only_when_it_stands_out() {
        // The matrix: its best cells carry the whole load and differ by noise alone.
        let record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 8);
        assert_eq!(Sweep::of(&record).best(Figure::Goodput), None);
        // Three repeats cannot tell even what is plain.
        for (repeats, best) in [(8, Some(1)), (3, None)] {
            let record = fixture::matrix(
                &[("stage.payment.prefetch", &[("1", Some(1.0)), ("10", Some(10.0))])],
                repeats,
            );
            assert_eq!(Sweep::of(&record).best(Figure::Goodput), best);
        }
    }
}
