//! One measure of two sides: how much it changed, how sure that is, and what could have been seen. docs/METHOD.md says why.

use serde::Serialize;

use super::measure::{Measure, Scale};
use crate::report::figure::Better;
use crate::report::sweep::{LEVEL, REPEATS_MIN};
use crate::results::record::TrialRecord;
use crate::stats::{self, Design, Interval, Test};

/// What can be said about a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// Any change is smaller than what matters.
    Same,
    /// Better by more than what matters, and not by chance.
    Better,
    /// The trials do not settle it.
    CannotTell,
    /// Worse by more than what matters, and not by chance.
    Worse,
}

impl Judgement {
    /// In words.
    pub const fn word(self) -> &'static str {
        match self {
            Judgement::Same => "same",
            Judgement::Better => "better",
            Judgement::CannotTell => "cannot tell",
            Judgement::Worse => "worse",
        }
    }
}

/// A measure of two sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Its name.
    pub measure: &'static str,
    /// The name of its figure, with the unit.
    pub figure: &'static str,
    /// `higher` or `lower`.
    pub better: &'static str,
    /// `relative` (a share of the base) or `difference`.
    pub scale: &'static str,
    /// Pairs of trials that were compared; absent if they are not paired.
    pub pairs: Option<usize>,
    /// The base's trials.
    pub base: Vec<f64>,
    /// The new side's, in the same order where they are paired.
    pub new: Vec<f64>,
    /// Median of the base.
    pub base_median: Option<f64>,
    /// Median of the new side.
    pub new_median: Option<f64>,
    /// The change (Hodges–Lehmann), as `scale` says.
    pub change: Option<f64>,
    /// Its 95 % bootstrap interval.
    pub interval: Option<Interval>,
    /// Two-sided p: sign-flip permutation of the pairs, else the rank-sum test.
    pub p: Option<f64>,
    /// … after Holm's correction over the measures that are judged together.
    pub p_adjusted: Option<f64>,
    /// The smallest change that matters.
    pub threshold: f64,
    /// The smallest change that this many trials find four times of five.
    pub detectable: Option<f64>,
    /// Pairs, or trials a side, that find a change as great as the threshold four times of five; absent if nobody could make so many.
    pub trials_needed: Option<usize>,
    /// The verdict.
    pub judgement: Judgement,
    /// Why it cannot be told.
    pub why: Option<String>,
    #[serde(skip)]
    test: Option<Test>,
    #[serde(skip)]
    design: Design,
}

/// The trials of two sides that belong to one question.
#[derive(Debug, Clone, Default)]
pub(super) struct Trials<'a> {
    pub base: Vec<&'a TrialRecord>,
    pub new: Vec<&'a TrialRecord>,
    /// Places of partners in `base` and `new`; all of them, or none.
    pub pairs: Vec<(usize, usize)>,
}

/// Everything about a measure but its verdict, which depends on the others.
pub(super) fn measured(measure: &Measure, trials: &Trials<'_>, threshold: f64, name: &str) -> Option<Measured> {
    let of = |side: &[&TrialRecord]| side.iter().map(|trial| measure.of(trial)).collect::<Vec<_>>();
    let (base, new) = (of(&trials.base), of(&trials.new));
    let whole = base.iter().chain(&new).all(Option::is_some);
    if base.iter().chain(&new).all(Option::is_none) {
        return None;
    }
    let missing = |side: &[Option<f64>], name: &str| {
        let n = side.iter().filter(|value| value.is_none()).count();
        (n > 0).then(|| format!("{n} of {} {name} trials lack it", side.len()))
    };
    let why: Vec<String> = [missing(&base, "base"), missing(&new, "new")]
        .into_iter()
        .flatten()
        .collect();
    let paired = !trials.pairs.is_empty();
    let (base, new): (Vec<f64>, Vec<f64>) = if paired && whole {
        let pairs = trials.pairs.iter().filter_map(|(b, n)| Some((base[*b]?, new[*n]?)));
        pairs.unzip()
    } else {
        (
            base.into_iter().flatten().collect::<Vec<f64>>(),
            new.into_iter().flatten().collect::<Vec<f64>>(),
        )
    };
    let mut measured = Measured {
        measure: measure.name,
        figure: measure.figure.name(),
        better: match measure.figure.better() {
            Better::Higher => "higher",
            Better::Lower => "lower",
        },
        scale: match measure.scale() {
            Scale::Relative => "relative",
            Scale::Difference => "difference",
        },
        pairs: (paired && whole).then_some(base.len()),
        base_median: stats::median(&base),
        new_median: stats::median(&new),
        base,
        new,
        change: None,
        interval: None,
        p: None,
        p_adjusted: None,
        threshold,
        detectable: None,
        trials_needed: None,
        judgement: Judgement::CannotTell,
        why: (!whole).then(|| why.join(", ")),
        test: None,
        design: if paired { Design::Paired } else { Design::Unpaired },
    };
    if whole {
        measured.estimate(measure.scale(), name);
    }
    Some(measured)
}

impl Measured {
    /// Change, interval, test and what they could show.
    fn estimate(&mut self, scale: Scale, name: &str) {
        let positive = self.base.iter().chain(&self.new).all(|value| *value > 0.0);
        let logarithmic = scale == Scale::Relative && positive;
        let unit = match (scale, self.base_median) {
            (Scale::Difference, _) => 1.0,
            (Scale::Relative, Some(median)) if positive || median > 0.0 => median,
            _ => {
                self.why = Some("the base is 0, so there is no ratio".to_owned());
                return;
            }
        };
        // Logarithms of ratios, or where there is a 0, differences in units of the base.
        let scaled = |value: &f64| if logarithmic { value.ln() } else { value / unit };
        let shown = |effect: f64| if logarithmic { effect.exp_m1() } else { effect };
        let (base, new): (Vec<f64>, Vec<f64>) = (
            self.base.iter().map(scaled).collect(),
            self.new.iter().map(scaled).collect(),
        );
        let seed = 0;
        let label = format!("{name}.{}", self.measure);
        let (effect, interval, sd) = match self.design {
            Design::Paired => {
                let differences: Vec<f64> = new.iter().zip(&base).map(|(new, base)| new - base).collect();
                self.test = stats::sign_flip(&differences, seed);
                (
                    stats::hodges_lehmann(&differences),
                    stats::interval(&[&differences], seed, &label, |drawn| stats::hodges_lehmann(&drawn[0])),
                    stats::sd(&differences),
                )
            }
            Design::Unpaired => {
                self.test = stats::mann_whitney(&base, &new);
                let within = stats::sd(&base).zip(stats::sd(&new));
                (
                    stats::hodges_lehmann_between(&base, &new),
                    stats::interval(&[&base, &new], seed, &label, |drawn| {
                        stats::hodges_lehmann_between(&drawn[0], &drawn[1])
                    }),
                    within.map(|(a, b)| ((a * a + b * b) / 2.0).sqrt()),
                )
            }
        };
        self.change = effect.map(shown);
        self.interval = interval.map(|interval| Interval {
            low: shown(interval.low),
            high: shown(interval.high),
        });
        self.p = self.test.map(|test| test.p);
        let trials = base.len().min(new.len());
        self.detectable = sd.and_then(|sd| stats::detectable(self.design, trials, sd)).map(shown);
        let matters = if logarithmic {
            self.threshold.ln_1p()
        } else {
            self.threshold
        };
        self.trials_needed = sd.and_then(|sd| stats::repeats_needed(self.design, sd, matters, REPEATS_MIN));
    }

    /// How many pairs, or trials a side, there are.
    pub fn trials(&self) -> usize {
        self.base.len().min(self.new.len())
    }

    fn decide(&mut self, measure: &Measure) {
        let (Some(interval), Some(adjusted)) = (self.interval, self.p_adjusted) else {
            return;
        };
        if self.trials() < REPEATS_MIN {
            let what = if self.pairs.is_some() { "pairs" } else { "trials a side" };
            self.why = Some(format!(
                "{} {what}: {REPEATS_MIN} are the least that can tell",
                self.trials()
            ));
            return;
        }
        let beyond = interval.is_above(self.threshold) || interval.is_below(-self.threshold);
        self.judgement = match self.change {
            Some(change) if beyond && adjusted < LEVEL && measure.is_worse(change) => Judgement::Worse,
            Some(_) if beyond && adjusted < LEVEL => Judgement::Better,
            _ if interval.is_within(self.threshold) => Judgement::Same,
            _ => Judgement::CannotTell,
        };
        if self.judgement == Judgement::CannotTell {
            let why = if beyond {
                "so great a change may be chance with so few trials"
            } else {
                "the interval holds both changes that matter and changes that do not"
            };
            self.why = Some(why.to_owned());
        }
    }
}

/// Corrects the p of measures that are judged together, and gives each its verdict.
pub(super) fn decide(family: &mut [(&Measure, &mut Measured)]) {
    let tests: Vec<Test> = family
        .iter()
        .map(|(_, measured)| measured.test.unwrap_or(Test { p: 1.0, least: 1.0 }))
        .collect();
    let able = stats::within_reach(&tests, LEVEL);
    let p: Vec<f64> = tests
        .iter()
        .zip(&able)
        .filter(|(_, able)| **able)
        .map(|(test, _)| test.p)
        .collect();
    let sharing = p.len();
    let mut adjusted = stats::holm(&p).into_iter();
    for ((measure, measured), able) in family.iter_mut().zip(able) {
        if measured.test.is_some() {
            measured.p_adjusted = if able { adjusted.next() } else { Some(1.0) };
        }
        let floor = floor(measured.design, sharing.max(1));
        measured.trials_needed = measured.trials_needed.map(|needed| needed.max(floor));
        measured.decide(measure);
    }
}

/// The least pairs, or trials a side, whose p can pass the level when `sharing` measures share it.
fn floor(design: Design, sharing: usize) -> usize {
    let level = LEVEL / sharing as f64;
    let least = |n: usize| match design {
        Design::Paired => 2.0 / 2f64.powi(n as i32),
        // 2 / C(2n, n)
        Design::Unpaired => 2.0 / (1..=n).map(|i| (n + i) as f64 / i as f64).product::<f64>(),
    };
    (REPEATS_MIN..64).find(|n| least(*n) < level).unwrap_or(64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::measure::MEASURES;
    use crate::report::fixture;
    use crate::rng;

    /// `n` pairs of which the new side's goodput is `ratio` of the base's; rounds differ by 20 %, trials of a round by `noise`.
    fn goodput(n: u32, ratio: f64, noise: f64, paired: bool, seed: u64) -> Measured {
        let model = fixture::pass().trials.remove(0);
        let side = |name: &str, factor: f64| -> Vec<TrialRecord> {
            let trials = (0..n).map(|repeat| {
                let mut trial = model.clone();
                let round = 1.0 + 0.2 * rng::unit(seed, "round", u64::from(repeat));
                let own = 1.0 + noise * (rng::unit(seed, name, u64::from(repeat)) - 0.5);
                trial.rates.goodput_per_s = Some(400.0 * factor * round * own);
                trial
            });
            trials.collect()
        };
        let (base, new) = (side("base", 1.0), side("new", ratio));
        let trials = Trials {
            base: base.iter().collect(),
            new: new.iter().collect(),
            pairs: if paired {
                (0..n as usize).map(|i| (i, i)).collect()
            } else {
                Vec::new()
            },
        };
        let mut measured = measured(&MEASURES[0], &trials, 0.05, "test").expect("measured");
        decide(&mut [(&MEASURES[0], &mut measured)]);
        measured
    }

    #[test]
    fn a_fifth_less_is_worse_a_fifth_more_is_better_and_nothing_is_the_same() {
        for (ratio, judgement) in [
            (0.8, Judgement::Worse),
            (1.25, Judgement::Better),
            (1.0, Judgement::Same),
        ] {
            let found = goodput(10, ratio, 0.04, true, 1);
            assert_eq!(found.judgement, judgement, "{found:#?}");
            assert!((found.change.expect("a change") - (ratio - 1.0)).abs() < 0.03);
            let interval = found.interval.expect("an interval");
            assert!(interval.low <= ratio - 1.0 + 0.02 && interval.high >= ratio - 1.0 - 0.02);
        }
    }

    #[test]
    fn few_pairs_cannot_tell_however_plain_it_looks() {
        let found = goodput(5, 0.5, 0.01, true, 1);
        assert_eq!(found.judgement, Judgement::CannotTell);
        assert!(found.why.expect("a reason").contains("5 pairs: 6 are the least"));
        assert_eq!(goodput(1, 0.5, 0.01, true, 1).judgement, Judgement::CannotTell);
    }

    #[test]
    fn noise_cannot_tell_and_says_what_would() {
        let found = goodput(8, 0.95, 0.5, true, 3);
        assert_eq!(found.judgement, Judgement::CannotTell, "{found:#?}");
        assert!(found.detectable.expect("known") > 0.05 && found.trials_needed.expect("some") > 8);
    }

    #[test]
    fn pairs_see_what_lone_trials_do_not() {
        let (paired, lone) = (goodput(10, 0.9, 0.02, true, 4), goodput(10, 0.9, 0.02, false, 4));
        assert_eq!(paired.judgement, Judgement::Worse, "{paired:#?}");
        assert_eq!(lone.judgement, Judgement::CannotTell, "{lone:#?}");
        assert!(paired.pairs == Some(10) && lone.pairs.is_none());
        assert_eq!(goodput(12, 0.5, 0.02, false, 4).judgement, Judgement::Worse);
    }

    #[test]
    fn no_alarm_is_raised_on_the_same_more_often_than_the_level_says() {
        let alarms = (0..60).filter(|seed| {
            let judgement = goodput(8, 1.0, 0.3, true, *seed).judgement;
            matches!(judgement, Judgement::Worse | Judgement::Better)
        });
        assert!(alarms.count() <= 3);
    }

    #[test]
    fn sharing_the_level_takes_more_pairs() {
        assert_eq!([1, 2, 6].map(|sharing| floor(Design::Paired, sharing)), [6, 7, 8]);
        assert_eq!([1, 6, 60].map(|sharing| floor(Design::Unpaired, sharing)), [6, 6, 7]);
    }

    #[test]
    fn what_some_trials_lack_cannot_be_told_and_what_all_lack_is_left_out() {
        let record = fixture::three_trials();
        let mut lacking = record.trials.clone();
        lacking[1].rates.goodput_per_s = None;
        let trials = |new: &'static str| (record.trials.iter().collect::<Vec<_>>(), new);
        let (base, _) = trials("");
        let sides = Trials {
            base,
            new: lacking.iter().collect(),
            pairs: Vec::new(),
        };
        let found = measured(&MEASURES[0], &sides, 0.05, "test").expect("partly there");
        assert_eq!(found.why.as_deref(), Some("1 of 3 new trials lack it"));
        let empty = fixture::no_data();
        let sides = Trials {
            base: empty.trials.iter().collect(),
            new: empty.trials.iter().collect(),
            pairs: Vec::new(),
        };
        assert!(measured(&MEASURES[0], &sides, 0.05, "test").is_none());
    }
}
