use super::*;
use crate::rng;
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds {
    from: None,
    to: None,
    resolution: 0.05,
    repeats: 3,
};

/// Searches with an oracle that is asked for the n-th trial at a rate; the trials, and how it ended.
fn searched(bounds: &Bounds, start: f64, mut oracle: impl FnMut(usize, f64) -> Answer) -> (Vec<Trial>, Ending) {
    let mut trials = Vec::new();
    loop {
        match step(bounds, start, &trials) {
            Step::Done(ending) => return (trials, ending),
            Step::Try(rate) => {
                let answer = oracle(trials.len(), rate);
                trials.push(Trial { rate, answer });
            }
        }
        assert!(trials.len() < 200, "it does not end: {trials:?}");
    }
}

fn exact(truth: f64) -> impl FnMut(usize, f64) -> Answer {
    move |_, rate| if rate <= truth { Answer::Held } else { Answer::Failed }
}

/// Holds with a probability that falls from 1 to 0 within some `scatter` around the truth; `wild` of the answers are reversed.
fn noisy(truth: f64, scatter: f64, wild: f64, seed: u64) -> impl FnMut(usize, f64) -> Answer {
    move |n, rate| {
        let holds = 1.0 / (1.0 + ((rate / truth).ln() / scatter * 1.7).exp());
        let held = rng::unit(seed, "answer", n as u64) < holds;
        let reversed = rng::unit(seed, "wild", n as u64) < wild;
        if held != reversed { Answer::Held } else { Answer::Failed }
    }
}

#[test]
fn the_interval_is_narrow_confirmed_and_found_in_few_trials() {
    for (truth, start) in [(197.0, 160.0), (197.0, 2_000.0), (12.5, 100.0), (48_000.0, 100.0)] {
        let (trials, ending) = searched(&BOUNDS, start, exact(truth));
        let found = interval(&BOUNDS, &trials);
        let (low, high) = (found.low.expect("one held"), found.high.expect("one did not"));
        assert_eq!(ending, Ending::Found);
        assert!(
            low.rate <= truth && truth < high.rate && low.confirmed && high.confirmed,
            "{found:?}"
        );
        assert!(found.width().is_some_and(|width| width <= 0.05), "{found:?}");
        assert!(trials.len() <= 24, "{} trials", trials.len());
    }
    let near = searched(&BOUNDS, 180.0, exact(200.0)).0;
    assert!(near.len() <= 10, "from a good guess: {near:?}");
}

#[test]
fn what_never_fails_is_an_at_least_and_what_never_holds_is_not_met() {
    let bounds = Bounds {
        from: Some(50.0),
        to: Some(400.0),
        ..BOUNDS
    };
    let (trials, ending) = searched(&bounds, 100.0, exact(1e9));
    let found = interval(&bounds, &trials);
    assert_eq!((ending, found.high, found.width()), (Ending::AtLeast, None, None));
    assert_eq!(
        found.low,
        Some(Edge {
            rate: 400.0,
            confirmed: true
        })
    );
    let (trials, ending) = searched(&bounds, 100.0, exact(1.0));
    let found = interval(&bounds, &trials);
    assert_eq!((ending, found.low), (Ending::NotMet, None));
    assert_eq!(
        found.high,
        Some(Edge {
            rate: 50.0,
            confirmed: true
        })
    );
}

#[test]
fn a_driver_that_gives_out_bounds_the_search_and_says_so() {
    let (trials, ending) = searched(&BOUNDS, 100.0, |_, rate| {
        if rate <= 300.0 { Answer::Held } else { Answer::Invalid }
    });
    let found = interval(&BOUNDS, &trials);
    assert_eq!((ending, found.high), (Ending::Driver, None));
    let (low, driver) = (found.low.expect("one held").rate, found.driver.expect("the driver's"));
    assert!(
        low <= 300.0 && driver > 300.0 && (driver - low) / driver <= 0.05,
        "{found:?}"
    );
}

#[test]
fn one_invalid_trial_is_run_again_and_decides_nothing() {
    let (trials, ending) = searched(&BOUNDS, 160.0, |n, rate| match n {
        0 | 3 => Answer::Invalid,
        _ if rate <= 200.0 => Answer::Held,
        _ => Answer::Failed,
    });
    let found = interval(&BOUNDS, &trials);
    assert_eq!(ending, Ending::Found, "{found:?}");
    assert!(found.low.is_some_and(|low| low.rate <= 200.0) && found.high.is_some_and(|high| high.rate > 200.0));
}

#[test]
fn an_edge_that_cannot_be_decided_widens_the_interval() {
    let mut turn = 0;
    let (trials, ending) = searched(&BOUNDS, 160.0, |_, rate| {
        turn += 1;
        match rate {
            rate if rate < 185.0 => Answer::Held,
            rate if rate > 215.0 => Answer::Failed,
            _ if turn % 2 == 0 => Answer::Held,
            _ => Answer::Failed,
        }
    });
    let found = interval(&BOUNDS, &trials);
    let (low, high) = (found.low.expect("one held").rate, found.high.expect("one did not").rate);
    assert_eq!(ending, Ending::Wide, "{found:?} of {trials:?}");
    assert!(
        low <= 200.0 && high >= 200.0 && found.width().is_some_and(|width| width > 0.05),
        "{found:?}"
    );
}

#[test]
fn a_rate_that_no_trial_can_judge_ends_the_search() {
    for answer in [Answer::Undecided, Answer::Invalid] {
        let (trials, ending) = searched(&BOUNDS, 100.0, |_, _| answer);
        assert_eq!(ending, Ending::Wide);
        assert_eq!(interval(&BOUNDS, &trials), Interval::default());
        assert!(trials.len() <= 12, "{} trials", trials.len());
    }
    let (trials, _) = searched(&BOUNDS, 10.0, |_, rate| match rate {
        rate if rate < 30.0 => Answer::Undecided,
        rate if rate < 100.0 => Answer::Held,
        _ => Answer::Failed,
    });
    let found = interval(&BOUNDS, &trials);
    assert!(
        found.low.is_some_and(|low| low.rate > 90.0),
        "too low a rate carries no percentile: {found:?}"
    );
}

#[test]
fn the_curve_gets_its_rates_below_and_just_above_the_interval() {
    let (mut trials, _) = searched(&BOUNDS, 180.0, exact(200.0));
    while let Some(rate) = further(&BOUNDS, &trials, 12) {
        trials.push(Trial {
            rate,
            answer: exact(200.0)(0, rate),
        });
    }
    let points = points(&trials);
    assert_eq!(points.len(), 12, "{points:?}");
    assert!(points[0].rate < 50.0, "{points:?}");
    assert!(
        points.windows(2).all(|pair| pair[1].rate - pair[0].rate < 45.0),
        "{points:?}"
    );
    assert_eq!(further(&BOUNDS, &[], 12), None);
}

/// Share of `seeds` searches whose interval has the truth in it.
fn covered(seeds: u64, scatter: f64, wild: f64) -> f64 {
    let covers = |seed: u64| {
        let truth = 50.0 * 10_f64.powf(2.0 * rng::unit(seed, "truth", 0));
        let start = truth * 4_f64.powf(rng::unit(seed, "start", 0) - 0.5);
        let (trials, _) = searched(&BOUNDS, start, noisy(truth, scatter, wild, seed));
        let found = interval(&BOUNDS, &trials);
        let low = found.low.map_or(0.0, |low| low.rate);
        low <= truth && found.high.is_none_or(|high| truth <= high.rate)
    };
    (0..seeds).filter(|seed| covers(*seed)).count() as f64 / seeds as f64
}

#[test]
fn the_interval_covers_the_truth_in_nineteen_of_twenty_noisy_searches() {
    for (scatter, wild) in [(0.01, 0.0), (0.02, 0.0), (0.01, 0.05), (0.015, 0.03)] {
        let share = covered(2_000, scatter, wild);
        assert!(share >= 0.95, "scatter {scatter}, wild {wild}: {share}");
    }
}

proptest! {
    #[test]
    fn without_noise_the_interval_always_covers_the_truth(truth in 0.5..200_000.0_f64, start in 0.2..500_000.0_f64, resolution in 0.01..0.3_f64, repeats in 1..6_u32) {
        let bounds = Bounds { resolution, repeats, ..BOUNDS };
        let (trials, ending) = searched(&bounds, start, exact(truth));
        let found = interval(&bounds, &trials);
        prop_assert_eq!(ending, Ending::Found);
        prop_assert!(found.low.is_some_and(|low| low.rate <= truth) && found.high.is_some_and(|high| high.rate > truth));
        prop_assert!(found.width().is_some_and(|width| width <= resolution));
    }

    #[test]
    fn every_search_ends_inside_its_limits_whatever_is_answered(answers in prop::collection::vec(0..4_u8, 1..40), from in 1.0..100.0_f64, span in 1.0..50.0_f64, start in 0.5..10_000.0_f64) {
        let bounds = Bounds { from: Some(from), to: Some(from * span), ..BOUNDS };
        let (trials, _) = searched(&bounds, start, |n, _| match answers[n % answers.len()] {
            0 => Answer::Held,
            1 => Answer::Failed,
            2 => Answer::Undecided,
            _ => Answer::Invalid,
        });
        prop_assert!(trials.iter().all(|trial| (from..=from * span).contains(&trial.rate)));
        let found = interval(&bounds, &trials);
        if let (Some(low), Some(high)) = (found.low, found.high) {
            prop_assert!(low.rate < high.rate);
        }
    }

    #[test]
    fn a_search_goes_on_from_its_trials_as_if_it_had_never_stopped(truth in 1.0..10_000.0_f64, cut in 0..30_usize) {
        let (trials, ending) = searched(&BOUNDS, 100.0, exact(truth));
        let mut again: Vec<Trial> = trials[..cut.min(trials.len())].to_vec();
        while let Step::Try(rate) = step(&BOUNDS, 100.0, &again) {
            again.push(Trial { rate, answer: exact(truth)(0, rate) });
        }
        prop_assert_eq!(&again, &trials);
        prop_assert_eq!(step(&BOUNDS, 100.0, &again), Step::Done(ending));
    }
}
