//! What a matrix is made of, and what is refused with which words.

use super::*;
use crate::units::Rate;
use crate::workload::check::{Checked, WorkloadError, check};
use crate::workload::model::Arrival;
use proptest::prelude::*;

fn checked(text: &str, overrides: &[&str]) -> Result<Checked, WorkloadError> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    check("w.toml", "w", text.to_owned(), &overrides)
}

fn cells(text: &str, overrides: &[&str]) -> Checked {
    checked(text, overrides).unwrap_or_else(|error| panic!("{error}"))
}

fn labels(text: &str, overrides: &[&str]) -> Vec<String> {
    let checked = cells(text, overrides);
    checked.cells.into_iter().map(|cell| cell.label).collect()
}

fn refused(text: &str, overrides: &[&str]) -> String {
    match checked(text, overrides) {
        Err(error) => error.to_string(),
        Ok(checked) => panic!("not refused: {} cells", checked.cells.len()),
    }
}

const STRATEGIES: &str = "[[variants.strategy]]\nname = \"plain\"\nstage.email.prefetch = 3\n\
                          [[variants.strategy]]\nname = \"fanned\"\n[variants.strategy.topology]\norder_exchange = \"fanout\"\n";

#[test]
fn each_list_is_a_dimension_and_the_cells_are_their_cross_product() {
    let checked = cells(
        "stage.payment.prefetch = [1, 10, \"unlimited\"]\nstage.payment.consumers = [1, 4]",
        &[],
    );
    let labels: Vec<&str> = checked.cells.iter().map(|cell| cell.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "prefetch 1 · consumers 1",
            "prefetch 1 · consumers 4",
            "prefetch 10 · consumers 1",
            "prefetch 10 · consumers 4",
            "prefetch unlimited · consumers 1",
            "prefetch unlimited · consumers 4",
        ]
    );
    let payment = checked.cells[3].workload.stage(crate::events::Stage::Payment);
    assert_eq!((payment.prefetch, payment.consumers), (Some(10), 4));
    assert_eq!(
        checked.cells[4].varied[0],
        Varied {
            dimension: "stage.payment.prefetch".to_owned(),
            value: "unlimited".to_owned(),
            number: None
        }
    );
}

#[test]
fn quantities_have_a_number_in_base_units() {
    let checked = cells(
        "load.rate = [\"30/min\", \"5/s\"]\norders.body_size = [\"1KiB\", \"2KiB\"]\norders.payment_decline = [\"5%\", \"6%\"]\n\
         load.duration = [\"250ms\", \"1s\"]\nstage.sms.service_time = [\"none\", \"2ms\"]\nstage.sms.ack = [\"manual\", \"auto\"]",
        &[],
    );
    let numbers =
        |at: usize| -> Vec<Option<f64>> { checked.cells[at].varied.iter().map(|varied| varied.number).collect() };
    assert_eq!(
        numbers(0),
        [Some(0.5), Some(1024.0), Some(0.05), Some(0.25), None, None]
    );
    let last = numbers(checked.cells.len() - 1);
    assert_eq!(last[4], Some(0.002));
}

#[test]
fn a_label_has_the_shortest_ending_that_tells_the_keys_apart() {
    let text = "stage.payment.prefetch = [1, 2]\nstage.audit.prefetch = [3, 4]\nload.rate = [\"5/s\", \"9/s\"]";
    assert_eq!(labels(text, &[])[0], "payment.prefetch 1 · audit.prefetch 3 · rate 5/s");
    let distribution = "{ lognormal = { median = \"5ms\", p99 = \"50ms\" } }";
    let text = format!("stage.sms.service_time = [\"5ms\", {distribution}]");
    assert_eq!(labels(&text, &[]), ["service_time 5ms", "service_time #2"]);
}

#[test]
fn variants_set_several_keys_at_once() {
    let text = format!("stage.payment.prefetch = [1, 2]\n{STRATEGIES}");
    let checked = cells(&text, &[]);
    let shown: Vec<(&str, Option<u16>)> = checked
        .cells
        .iter()
        .map(|cell| {
            (
                cell.label.as_str(),
                cell.workload.stage(crate::events::Stage::Email).prefetch,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("prefetch 1 · plain", Some(3)),
            ("prefetch 1 · fanned", Some(100)),
            ("prefetch 2 · plain", Some(3)),
            ("prefetch 2 · fanned", Some(100)),
        ]
    );
    assert_eq!(checked.cells[1].varied[1].dimension, "strategy");
    let base = format!("stage.email.prefetch = 7\n{STRATEGIES}");
    assert_eq!(
        cells(&base, &[]).cells[1]
            .workload
            .stage(crate::events::Stage::Email)
            .prefetch,
        Some(7),
        "a variant that says nothing leaves the file's value"
    );
}

#[test]
fn the_command_line_makes_narrows_and_collapses_dimensions() {
    let text = format!("stage.payment.prefetch = [1, 2, 3]\n{STRATEGIES}");
    assert_eq!(labels(&text, &["stage.payment.prefetch=2"]), ["plain", "fanned"]);
    assert_eq!(
        labels(
            &text,
            &["stage.payment.prefetch=[2, unlimited]", "variants.strategy=fanned"]
        ),
        ["prefetch 2", "prefetch unlimited"]
    );
    assert_eq!(
        labels(&text, &["variants.strategy=[plain]", "stage.payment.prefetch=[4]"]),
        [""]
    );
    assert_eq!(labels("", &["load.rate=[5/s,9/s]"]), ["rate 5/s", "rate 9/s"]);
    let outranked = cells(STRATEGIES, &["stage.email.prefetch=9"]);
    assert!(
        outranked
            .cells
            .iter()
            .all(|cell| cell.workload.stage(crate::events::Stage::Email).prefetch == Some(9))
    );
}

#[test]
fn a_list_on_the_command_line_takes_the_place_of_the_file_s() {
    let text = "stage.payment.prefetch = [1, 2]\nstage.payment.consumers = [3, 4]";
    assert_eq!(
        labels(text, &["stage.payment.prefetch=[7,8]"])[0],
        "prefetch 7 · consumers 3"
    );
}

#[test]
fn a_key_of_a_phase_is_varied_like_any_other_and_the_phases_themselves_are_no_list() {
    let phases = "[[load.phases]]\nduration = \"1s\"\n[[load.phases]]\nduration = \"1s\"\n";
    let label = |text: &str| labels(text, &[]);
    assert_eq!(label(phases), [""]);
    let varied = format!("{phases}rate = [\"5/s\", \"9/s\"]\n");
    assert_eq!(label(&varied), ["rate 5/s", "rate 9/s"]);
}

#[test]
fn a_list_of_one_varies_nothing() {
    let checked = cells("load.rate = [\"7/s\"]", &[]);
    assert_eq!((checked.cells.len(), checked.cells[0].label.as_str()), (1, ""));
    assert_eq!(checked.cells[0].workload.load.arrival, Arrival::constant(Rate(7.0)));
}

#[test]
fn excluded_combinations_are_left_out() {
    let text = "stage.payment.prefetch = [1, 10]\nstage.payment.ack_batch = [1, 5, 9]\n";
    let exclude = "[[matrix.exclude]]\nstage.payment.prefetch = 1\nstage.payment.ack_batch = [5, 9]\n";
    assert!(refused(text, &[]).contains("never fills"));
    let both = format!("{text}{exclude}");
    assert_eq!(
        labels(&both, &[]),
        [
            "prefetch 1 · ack_batch 1",
            "prefetch 10 · ack_batch 1",
            "prefetch 10 · ack_batch 5",
            "prefetch 10 · ack_batch 9"
        ]
    );
    assert_eq!(
        labels(&both, &["stage.payment.prefetch=1"]),
        [""],
        "what is narrowed down is excluded too"
    );
    assert_eq!(labels(&both, &["stage.payment.prefetch=20"]).len(), 3);
    let variants = format!(
        "stage.payment.prefetch = [1, 10]\n{STRATEGIES}[[matrix.exclude]]\nvariants.strategy = \"fanned\"\nstage.payment.prefetch = 1\n"
    );
    assert_eq!(
        labels(&variants, &[]),
        ["prefetch 1 · plain", "prefetch 10 · plain", "prefetch 10 · fanned"]
    );
    assert_eq!(labels(&variants, &["variants.strategy=fanned"]), [""]);
}

#[test]
fn mistakes_in_lists_variants_and_exclusions_are_pointed_at() {
    let matrix = "stage.audit.prefetch = [1, 2]\n";
    for (text, says, place) in [
        ("seed = [1, 2]", "`seed` cannot be varied", "1:8"),
        ("trial.repeats = [1, 2]", "`trial.repeats` cannot be varied", "1:17"),
        ("load.rate = []", "an empty list", "1:13"),
        ("load.rate = [\"5/s\", 5]", "found the whole number 5", "1:21"),
        ("load.rate = [\"5/s\", [\"6/s\"]]", "a list within a list", "1:21"),
        (
            "load.duration = [\"1s\", \"1000ms\"]",
            "\"1s\" stands in the list already, at position 1",
            "1:24",
        ),
        ("load.rte = [1, 2]", "did you mean `load.rate`?", "1:6"),
        ("[[variants.s]]\nload.rate = \"5/s\"", "has no name", "1:1"),
        ("[[variants.s]]\nname = \"a b\"", "the variant's name", "2:8"),
        (
            "[[variants.s]]\nname = \"a\"\nload.rte = 5",
            "unknown key `load.rte`",
            "3:6",
        ),
        (
            "[[variants.s]]\nname = \"a\"\nload.rate = 5",
            "found the whole number 5",
            "3:13",
        ),
        (
            "[[variants.s]]\nname = \"a\"\nload.rate = [\"5/s\"]",
            "a list within a variant",
            "3:13",
        ),
        ("[[variants.s]]\nname = \"a\"\nseed = 5", "cannot be varied", "3:1"),
        (
            "[[variants.s]]\nname = \"a\"\n[[variants.s]]\nname = \"a\"",
            "two variants `a` of `s`",
            "4:8",
        ),
        ("[variants]\ns = 5", "`variants.s` must be an array of tables", "2:1"),
        ("variants = 5", "`variants` must be an array of tables", "1:1"),
        ("[matrix]\nx = 5", "unknown key `matrix.x`", "2:1"),
        (
            "[[variants.name]]\nname = \"a\"",
            "cannot name a list of variants",
            "1:12",
        ),
        (
            &format!("{matrix}[[matrix.exclude]]"),
            "an exclusion without a condition",
            "2:1",
        ),
        (
            &format!("{matrix}[[matrix.exclude]]\nload.rate = \"5/s\""),
            "`load.rate` is not varied",
            "3:6",
        ),
        (
            &format!("{matrix}[[matrix.exclude]]\nstage.audit.prefetch = 3"),
            "never is 3",
            "3:24",
        ),
        (
            &format!("{matrix}[[matrix.exclude]]\nstage.audit.prefetch = [1, 2]"),
            "every combination is excluded",
            "2:1",
        ),
        (
            "stage.audit.prefetch = [1, 2]\n[[variants.s]]\nname = \"a\"\nstage.audit.prefetch = 5\n[[variants.s]]\nname = \"b\"",
            "`stage.audit.prefetch` is varied twice: by a list of its own and by the variants `s`",
            "4:13",
        ),
        (
            "load.rate = \"5/s\"\n[[variants.s]]\nname = \"a\"\nload.rate = \"6/s\"\n[[variants.s]]\nname = \"b\"\nload.rate = \"7/s\"",
            "`load.rate` has no effect: each of the variants `s` sets it",
            "1:13",
        ),
        (
            "[[variants.s]]\nname = \"a\"\n[[variants.s]]\nname = \"b\"",
            "`a` and `b` have the same settings",
            "1:1",
        ),
    ] {
        let message = refused(text, &[]);
        assert!(message.contains(says), "{says} is missing in\n{message}");
        assert!(
            message.contains(&format!("w.toml:{place}\n")),
            "{place} is missing in\n{message}"
        );
    }
    for (argument, says) in [
        ("variants.other=a", "the workload has `variants.strategy`"),
        ("variants.strategy=nobody", "its variants are plain, fanned"),
        (
            "variants.strategy=[plain, 5]",
            "no such variant: found the whole number 5",
        ),
        ("load.rate=[5/s, x]", "--set:1:17"),
    ] {
        let message = refused(STRATEGIES, &[argument]);
        assert!(message.contains(says), "{says} is missing in\n{message}");
    }
}

#[test]
fn a_contradiction_is_shown_once_with_the_cells_that_have_it() {
    let text = "stage.payment.prefetch = [1, 5, 10]\nstage.payment.ack_batch = [1, 7]\nload.users = 3";
    let message = refused(text, &[]);
    assert!(message.contains("in the cell `prefetch 5 · ack_batch 7`"), "{message}");
    assert_eq!(message.matches("`load.users` has no effect").count(), 1, "{message}");
    let everywhere = message
        .lines()
        .find(|line| line.contains("`load.users`"))
        .unwrap_or_default();
    assert!(!everywhere.contains("in the cell"), "{everywhere}");
    let more = refused(
        "stage.payment.ack_batch = 7\nstage.payment.prefetch = [1, 5, 10]\n[stage.sms]\nprefetch = [1, 2]",
        &[],
    );
    assert!(
        more.contains("in 2 of 6 cells, the first of them `payment.prefetch 1 · sms.prefetch 1`"),
        "{more}"
    );
}

#[test]
fn a_matrix_that_never_ends_is_refused_before_it_is_laid_out() {
    let list = |n: usize| (1..=n).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let text = format!("stage.payment.prefetch = [{}]\ntrial.repeats = 11", list(100));
    let message = refused(&text, &[]);
    assert!(
        message.contains("100 cells (100 values of prefetch), 11 times each; a run has at most 1000 trials"),
        "{message}"
    );
    let hundred = list(100);
    let text: String = crate::events::Stage::ALL
        .iter()
        .map(|stage| format!("stage.{stage}.prefetch = [{hundred}]\n"))
        .collect();
    let clock = crate::clock::Clock::start();
    assert!(refused(&text, &[]).contains("more cells than can be counted here"));
    assert!(clock.now() < 20_000_000_000, "{} ns", clock.now());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_cell_of_the_cross_product_is_there_once(sizes in prop::collection::vec(1_usize..5, 1..4)) {
        let text: String = sizes
            .iter()
            .zip(crate::events::Stage::ALL)
            .map(|(size, stage)| format!("stage.{stage}.prefetch = {:?}\n", (1..=*size).collect::<Vec<_>>()))
            .collect();
        let checked = cells(&text, &[]);
        prop_assert_eq!(checked.cells.len(), sizes.iter().product::<usize>());
        let labels: HashSet<&str> = checked.cells.iter().map(|cell| cell.label.as_str()).collect();
        prop_assert_eq!(labels.len(), checked.cells.len());
        let dimensions = sizes.iter().filter(|size| **size > 1).count();
        prop_assert!(checked.cells.iter().all(|cell| cell.varied.len() == dimensions));
    }
}
