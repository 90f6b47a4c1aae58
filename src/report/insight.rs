//! What a matrix says about a setting: the smallest value that is enough, and what more consumers bring. Where the trials are
//! too few or too noisy to tell, it says that instead.

use super::figure::Figure;
use super::human;
use super::sweep::{Cell, Dimension, REPEATS_MIN, Sweep};
use crate::stats;

/// How far under the best rate a value may be and still be enough.
const ENOUGH: f64 = 0.05;
/// Share of the offered load from which on the load, not the setting, is what limits goodput.
const AT_THE_LOAD: f64 = 0.98;

/// The smallest value of a dimension that is within 5 % of the best [`Sweep::throughput`], the other dimensions being fixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// The dimension and the value.
    pub setting: String,
    /// What the other dimensions have; empty if there are none.
    pub others: String,
    /// The figures.
    pub reason: String,
    /// Why it may be chance; absent if the trials settle it.
    pub doubt: Option<String>,
}

/// What more of a dimension brings, against its first value.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// The dimension's short name.
    pub dimension: String,
    /// What the other dimensions have; empty if there are none.
    pub others: String,
    /// Its values, ascending.
    pub steps: Vec<Step>,
}

/// A value of a scaled dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// As it was written.
    pub label: String,
    /// Median of [`Sweep::throughput`].
    pub rate_per_s: f64,
    /// The rate over that of the first value.
    pub speed_up: f64,
    /// Speed-up over the ratio of the values: 1 is perfect.
    pub efficiency: f64,
    /// The whole load was carried, so more consumers could not have brought more.
    pub at_the_load: bool,
}

/// A recommendation for each numeric dimension that is not the load, at each combination of the others.
pub fn recommendations(sweep: &Sweep<'_>) -> Vec<Recommendation> {
    let asked =
        |dimension: &Dimension| dimension.is_numeric() && !dimension.name.starts_with("load.") && !scales(dimension);
    let dimensions = sweep
        .dimensions
        .iter()
        .enumerate()
        .filter(|(_, dimension)| asked(dimension));
    let rows = dimensions.flat_map(|(at, _)| sweep.rows(at).into_iter().map(move |row| (at, row)));
    rows.filter_map(|(at, row)| recommendation(sweep, at, &row)).collect()
}

/// The scaling over each dimension of consumers, at each combination of the others.
pub fn scalings(sweep: &Sweep<'_>) -> Vec<Scaling> {
    let dimensions = sweep
        .dimensions
        .iter()
        .enumerate()
        .filter(|(_, dimension)| dimension.is_numeric() && scales(dimension));
    let rows = dimensions.flat_map(|(at, _)| sweep.rows(at).into_iter().map(move |row| (at, row)));
    rows.filter_map(|(at, row)| scaling(sweep, at, &row)).collect()
}

/// Whether more of it should bring proportionally more.
fn scales(dimension: &Dimension) -> bool {
    ["consumers", "workers"].contains(&dimension.short_name())
}

fn recommendation(sweep: &Sweep<'_>, dimension: usize, row: &[&Cell<'_>]) -> Option<Recommendation> {
    let figure = sweep.throughput();
    let rate = |cell: &Cell<'_>| stats::median(&cell.values(figure));
    let known: Vec<(&Cell<'_>, f64)> = row.iter().filter_map(|cell| Some((*cell, rate(cell)?))).collect();
    let (best, best_rate) = known.iter().copied().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let enough = |(_, rate): &(&Cell<'_>, f64)| *rate >= (1.0 - ENOUGH) * best_rate;
    let at = known.iter().position(enough)?;
    if known.len() < 2 || best_rate <= 0.0 {
        return None;
    }
    let (chosen, chosen_rate) = known[at];
    let smaller = at.checked_sub(1).map(|below| known[below].0);
    let label = |cell: &Cell<'_>| sweep.dimensions[dimension].values[cell.place[dimension]].label.clone();
    let with_p99 = |cell: &Cell<'_>, rate: f64| {
        let p99 = stats::median(&cell.values(Figure::EndToEndP99));
        let p99 = p99.map_or(String::new(), |ns| {
            format!(" at an end-to-end p99 of {}", human::nanos(ns))
        });
        format!("{}{p99}", human::rate(rate))
    };
    let mut reason = with_p99(chosen, chosen_rate);
    if chosen.place != best.place {
        reason.push_str(&format!(
            "; the best, {}, has {}",
            label(best),
            with_p99(best, best_rate)
        ));
    }
    match smaller {
        Some(cell) => reason.push_str(&format!("; {} has only {}", label(cell), human::rate(known[at - 1].1))),
        None => reason.push_str("; nothing smaller was tried"),
    }
    Some(Recommendation {
        setting: format!("{} = {}", sweep.dimensions[dimension].name, label(chosen)),
        others: sweep.others(chosen, &[dimension]),
        reason,
        doubt: doubt(figure, chosen, best, smaller, &label),
    })
}

/// Why the choice may be chance: too few repeats, or an interval on both sides of the limit.
fn doubt(
    figure: Figure,
    chosen: &Cell<'_>,
    best: &Cell<'_>,
    smaller: Option<&Cell<'_>>,
    label: &dyn Fn(&Cell<'_>) -> String,
) -> Option<String> {
    let mut behind = vec![chosen];
    behind.extend(smaller);
    if best.place != chosen.place {
        behind.push(best);
    }
    let invalid: usize = behind.iter().map(|cell| cell.trials.len() - cell.valid()).sum();
    if invalid > 0 {
        return Some(format!(
            "{} behind it did not count: see their validity",
            human::plural(invalid as u64, "trial")
        ));
    }
    let repeats = chosen.trials.len().min(best.trials.len());
    if repeats < REPEATS_MIN {
        return Some(format!(
            "{} a cell cannot rule out chance; {REPEATS_MIN} are the least, 10 are good (trial.repeats)",
            human::plural(repeats as u64, "repeat")
        ));
    }
    let limit = (1.0 - ENOUGH).ln();
    let against_best = |cell: &Cell<'_>| {
        let ratios = paired_log_ratios(figure, best, cell);
        stats::interval(&[&ratios], 0, "recommendation", |drawn| {
            stats::hodges_lehmann(&drawn[0])
        })
    };
    let sure = chosen.place == best.place || against_best(chosen).is_some_and(|ratio| ratio.is_above(limit));
    if !sure {
        return Some(format!(
            "the trials cannot tell whether {} is within 5 % of {}",
            label(chosen),
            label(best)
        ));
    }
    let smaller = smaller?;
    let not_enough = against_best(smaller).is_some_and(|ratio| ratio.is_below(limit));
    (!not_enough).then(|| format!("the trials cannot rule out that {} is enough", label(smaller)))
}

/// log(to / from) of a figure of trials of one round, which the matrix runs close to each other.
fn paired_log_ratios(figure: Figure, from: &Cell<'_>, to: &Cell<'_>) -> Vec<f64> {
    let pairs = from.trials.iter().filter_map(|base| {
        let other = to.trials.iter().find(|trial| trial.repeat == base.repeat)?;
        Some((figure.of(base)?, figure.of(other)?))
    });
    let positive = pairs.filter(|(from, to)| *from > 0.0 && *to > 0.0);
    positive.map(|(from, to)| (to / from).ln()).collect()
}

fn scaling(sweep: &Sweep<'_>, dimension: usize, row: &[&Cell<'_>]) -> Option<Scaling> {
    let of = &sweep.dimensions[dimension];
    let figure = sweep.throughput();
    let known = row.iter().filter_map(|cell| {
        let value = &of.values[cell.place[dimension]];
        Some((
            *cell,
            value,
            value.number.filter(|number| *number > 0.0)?,
            stats::median(&cell.values(figure))?,
        ))
    });
    let known: Vec<_> = known.collect();
    let (first, _, first_number, first_rate) = known.first().copied()?;
    if known.len() < 2 || first_rate <= 0.0 {
        return None;
    }
    let steps = known.iter().map(|(cell, value, number, rate)| {
        let speed_up = rate / first_rate;
        let offered = cell
            .trials
            .iter()
            .filter_map(|trial| trial.rates.offered_load_per_s)
            .reduce(f64::min);
        Step {
            label: value.label.clone(),
            rate_per_s: *rate,
            speed_up,
            efficiency: speed_up / (number / first_number),
            // A backlog is cleared as fast as the consumers can, whatever arrives.
            at_the_load: figure == Figure::Goodput && offered.is_some_and(|offered| *rate >= AT_THE_LOAD * offered),
        }
    });
    Some(Scaling {
        dimension: of.short_name().to_owned(),
        others: sweep.others(first, &[dimension]),
        steps: steps.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn prefetch_only(repeats: u32) -> crate::results::record::RunRecord {
        fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS[..1], repeats)
    }

    #[test]
    fn the_smallest_prefetch_that_is_enough_is_named_with_its_figures() {
        let record = prefetch_only(8);
        let found = recommendations(&Sweep::of(&record));
        assert_eq!(found.len(), 1);
        let one = &found[0];
        assert_eq!(
            (one.setting.as_str(), one.others.as_str()),
            ("stage.payment.prefetch = 10", "")
        );
        assert!(
            one.reason.contains("p99 of") && one.reason.contains("; 1 has only 25"),
            "{}",
            one.reason
        );
        assert_eq!(one.doubt, None);
    }

    #[test]
    fn few_repeats_and_overlapping_ones_cannot_tell() {
        for repeats in [1, 3] {
            let record = prefetch_only(repeats);
            let doubt = recommendations(&Sweep::of(&record))[0].doubt.clone().expect("too few");
            assert!(doubt.contains("cannot rule out chance"), "{doubt}");
        }
        let mut record = prefetch_only(8);
        for trial in record.trials.iter_mut().filter(|trial| trial.cell == 0) {
            // As good as the others half of the time.
            trial.rates.goodput_per_s = Some(if trial.repeat % 2 == 0 { 500.0 } else { 430.0 });
        }
        let doubt = recommendations(&Sweep::of(&record))[0]
            .doubt
            .clone()
            .expect("it overlaps");
        assert!(doubt.contains("cannot rule out that 1 is enough"), "{doubt}");
    }

    #[test]
    fn an_invalid_trial_is_said_and_no_goodput_is_no_advice() {
        let mut record = prefetch_only(8);
        record.trials[2].validity.valid = false;
        let doubt = recommendations(&Sweep::of(&record))[0].doubt.clone().expect("invalid");
        assert!(doubt.starts_with("1 trial behind it"), "{doubt}");
        for trial in &mut record.trials {
            trial.rates.goodput_per_s = None;
        }
        assert!(recommendations(&Sweep::of(&record)).is_empty());
    }

    #[test]
    fn consumers_have_a_speed_up_and_an_efficiency() {
        let record = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 6);
        let found = scalings(&Sweep::of(&record));
        assert_eq!(found.len(), 5, "one for each prefetch");
        let at_100 = found
            .iter()
            .find(|scaling| scaling.others == "prefetch 100")
            .expect("there");
        let [one, four] = at_100.steps.as_slice() else {
            panic!("{at_100:?}")
        };
        assert_eq!((one.speed_up, one.efficiency, one.at_the_load), (1.0, 1.0, false));
        assert!((four.efficiency * 4.0 - four.speed_up).abs() < 1e-9 && four.speed_up > 2.5);
        let at_1 = found
            .iter()
            .find(|scaling| scaling.others == "prefetch 1")
            .expect("there");
        assert!(!at_1.steps[1].at_the_load && at_1.steps[1].speed_up > 3.8);
    }

    #[test]
    fn a_run_without_a_matrix_has_nothing_to_advise() {
        let record = fixture::three_trials();
        assert!(recommendations(&Sweep::of(&record)).is_empty() && scalings(&Sweep::of(&record)).is_empty());
    }
}
