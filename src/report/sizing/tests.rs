use super::*;
use crate::report::fixture;
use crate::sizing::{Demand, Evidence, Include, Origin, SizingError, generate, plan};
use crate::units::{Rate, Share, Span};
use crate::workload::check::check;

const RATES: [f64; 4] = [40.0, 80.0, 120.0, 160.0];

fn demand(rate: f64) -> Demand {
    Demand {
        rate: Rate(rate),
        burst: None,
        p99: None,
        drain: None,
        growth: Share(0.0),
        lose: None,
        utilisation_max: Share(0.8),
    }
}

fn with_burst(rate: f64) -> Demand {
    Demand {
        burst: Some("1000/s for 1m".parse().expect("a burst")),
        drain: Some(Span::from_secs(120)),
        ..demand(rate)
    }
}

fn planned(record: &RunRecord, demand: &Demand) -> Plan {
    let evidence = Evidence::of(record, Include::Valid).expect("trials");
    plan(&evidence, 0, demand).expect("enough cells")
}

fn row<'a>(plan: &'a Plan, about: &str, name: &str) -> &'a Row {
    let row = plan.rows.iter().find(|row| row.about == about && row.name == name);
    row.unwrap_or_else(|| panic!("no {name} of {about}"))
}

#[test]
fn consumers_are_the_fewest_that_keep_to_utilisation_and_drain() {
    let record = fixture::rates(&RATES);
    // 10.1 ms of work: 400/s take 4.04 consumers' time, which is 80 % of 5.05.
    let steady = planned(&record, &demand(400.0));
    assert_eq!(steady.stages[0].consumers, 6);
    assert!(
        (steady.stages[0].utilisation - 4.04 / 6.0).abs() < 1e-9,
        "{:?}",
        steady.stages[0]
    );
    assert_eq!((steady.drain_s, steady.flow.is_none()), (None, true));
    // (1000·60 + 400·120) / 180 = 600 orders a second.
    let burst = planned(&record, &with_burst(400.0));
    assert_eq!(burst.stages[0].consumers, 7);
    let drain_s = burst.drain_s.expect("it clears");
    assert!((60.0..=120.0).contains(&drain_s), "{drain_s}");
    let lossy = Demand {
        lose: Some("1-consumer-in-4".parse().expect("a loss")),
        ..with_burst(400.0)
    };
    let lossy = planned(&record, &lossy);
    assert_eq!((lossy.stages[0].consumers, lossy.stages[0].left), (10, 7));
}

#[test]
fn each_cell_is_foretold_from_the_others_and_the_error_is_that_of_the_made_up_run() {
    let record = fixture::rates(&RATES);
    let plan = planned(&record, &demand(100.0));
    let of = |measure| plan.validation.errors(measure).expect("compared");
    assert!(of(Measure::Utilisation).worst < 1e-6 && of(Measure::Utilisation).figures == 4);
    let waits = of(Measure::MeanWait);
    assert!(waits.worst > 0.0 && waits.worst < 0.1, "{waits:?}");
    assert!(of(Measure::P99).worst < 0.2, "{:?}", of(Measure::P99));
    assert_eq!(
        (plan.validation.errors(Measure::Drain), plan.validation.unsteady),
        (None, 0)
    );
}

#[test]
fn a_run_that_says_too_little_is_refused_with_what_to_do() {
    let refused = |record: &RunRecord, include| {
        let error = Evidence::of(record, include).and_then(|evidence| plan(&evidence, 0, &demand(100.0)));
        error.expect_err("too little evidence")
    };
    let two = refused(&fixture::rates(&RATES[..2]), Include::Valid);
    assert!(matches!(two, SizingError::TooFewCells { found: 2, .. }), "{two}");
    let mut invalid = fixture::rates(&RATES);
    invalid.trials.iter_mut().for_each(|trial| trial.validity.valid = false);
    let none = refused(&invalid, Include::Valid);
    assert!(
        none.to_string().contains("4 invalid") && none.to_string().contains("--force"),
        "{none}"
    );
    let forced = Evidence::of(&invalid, Include::Invalid).expect("trials");
    let forced = plan(&forced, 0, &demand(100.0)).expect("enough cells");
    assert!(forced.warnings.iter().any(|warning| warning.contains("--force")));
    let mut instant = fixture::rates(&RATES);
    for trial in &mut instant.trials {
        let service = trial
            .latencies
            .iter_mut()
            .find(|summary| summary.series == "worker.service_time");
        service.expect("a series").mean_ns = Some(20_000.0);
    }
    let instant = refused(&instant, Include::Valid);
    assert!(matches!(instant, SizingError::NoServiceTime { .. }), "{instant}");
    for error in [two, none, instant] {
        assert!(error.to_string().contains("\nhelp: "), "{error}");
    }
}

#[test]
fn what_cannot_be_met_says_why() {
    let record = fixture::rates(&RATES);
    let fast = Demand {
        p99: Some(Span::from_millis(5)),
        ..demand(100.0)
    };
    let fast = planned(&record, &fast);
    assert!(
        fast.impossible[0].contains("--p99 5ms") && fast.impossible[0].contains("service times alone"),
        "{:?}",
        fast.impossible
    );
    let huge = planned(&record, &demand(200_000.0));
    assert!(
        huge.impossible[0].contains("more than 1000 consumers"),
        "{:?}",
        huge.impossible
    );
    assert_eq!(answer(&huge), "cannot be met");
}

#[test]
fn a_tight_latency_objective_takes_more_consumers_than_the_utilisation() {
    let record = fixture::rates(&RATES);
    let loose = planned(&record, &demand(400.0));
    let p99 = loose.p99_s.expect("it keeps up");
    let tight = Demand {
        p99: Some(Span(std::time::Duration::from_secs_f64((p99 + 0.0105) / 2.0))),
        ..demand(400.0)
    };
    let tight = planned(&record, &tight);
    assert!(
        tight.impossible.is_empty() && tight.stages[0].consumers > loose.stages[0].consumers,
        "{:?}",
        tight.stages
    );
    assert!(tight.p99_s.is_some_and(|found| found <= (p99 + 0.0105) / 2.0));
}

#[test]
fn beyond_what_was_measured_a_plan_warns() {
    let record = fixture::rates(&RATES);
    let within = planned(&record, &demand(120.0));
    assert_eq!(within.warnings, Vec::<String>::new());
    let far = planned(&record, &demand(1_000.0));
    for part in [
        "1000 orders/s are planned for",
        "consumers of the worker stage are planned",
    ] {
        assert!(
            far.warnings
                .iter()
                .any(|warning| warning.starts_with("outside the range") && warning.contains(part)),
            "{:?}",
            far.warnings
        );
    }
}

#[test]
fn each_figure_has_its_origin_and_the_interval_holds_it() {
    let record = fixture::rates(&RATES);
    let plan = planned(&record, &with_burst(400.0));
    for row in &plan.rows {
        if let (Some(low), Some(value), Some(high)) = (row.low, row.value, row.high) {
            assert!(low <= value + 1e-9 && value <= high + 1e-9, "{row:?}");
        }
    }
    for (about, name, origin) in [
        ("pipeline", "rate", Origin::Given),
        ("worker", "mean service time", Origin::Measured),
        ("worker", "consumers", Origin::Modelled),
        ("pipeline", "drain time", Origin::Modelled),
        ("pipeline", "memory of the backlog", Origin::Assumed),
        ("pipeline", "disk of the backlog", Origin::Assumed),
        ("pipeline", "messages per month", Origin::Modelled),
    ] {
        assert_eq!(row(&plan, about, name).origin, origin, "{name}");
    }
    assert_eq!(row(&plan, "pipeline", "orders per day").value, Some(400.0 * 86_400.0));
}

#[test]
fn the_workload_of_a_plan_is_legal_and_foretells_its_own_shortened_burst() {
    let record = fixture::rates(&RATES);
    let plan = planned(&record, &with_burst(400.0));
    let made = generate::workload(&plan, &record, Span::from_secs(60)).expect("legal");
    let checked =
        check("plan.toml", "plan", made.text.clone(), &[]).unwrap_or_else(|error| panic!("{error}\n{}", made.text));
    let workload = checked.into_first().workload;
    assert_eq!((workload.name.as_str(), workload.stages[0].consumers), ("jobs-plan", 7));
    let drain_s = workload.prediction.drain_time.expect("foretold").as_secs_f64();
    assert!(
        (drain_s / (plan.drain_s.expect("it clears") * made.scale) - 1.0).abs() < 0.01,
        "{}",
        made.text
    );
    assert!(made.scale < 1.0 && made.text.contains("shortened") && made.length <= Span::from_secs(61));
    let utilisation = workload.stages[0].predicted_utilisation.expect("foretold").0;
    assert!(utilisation > 0.8 && utilisation <= 1.0, "{utilisation}");
    // Without a burst there is a latency to foretell, and no drain.
    let steady = planned(&record, &demand(120.0));
    let made = generate::workload(&steady, &record, Span::from_secs(30)).expect("legal");
    let workload = check("plan.toml", "plan", made.text, &[])
        .expect("legal")
        .into_first()
        .workload;
    assert!(workload.prediction.end_to_end_p99.is_some() && workload.prediction.drain_time.is_none());
}

#[test]
fn every_format_has_every_figure_and_text_fits_a_hundred_columns() {
    let record = fixture::rates(&RATES);
    let plan = planned(&record, &with_burst(400.0));
    let folder = tempfile::tempdir().expect("a folder");
    write(&plan, &record, folder.path()).expect("written");
    write(&plan, &record, folder.path()).expect("written again over itself");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("there");
    let text = render(&plan, &record, Format::Text).expect("rendered");
    for out in [&text, &read("plan.md"), &read("plan.csv"), &read("plan.html")] {
        for row in &plan.rows {
            assert!(out.contains(row.name), "{} is missing in\n{out}", row.name);
        }
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(read("plan.html").matches("<svg role=\"img\"").count() == 3);
    let json: serde_json::Value = serde_json::from_str(&read("plan.json")).expect("JSON");
    assert_eq!(json["stages"][0]["consumers"], 7);
    let png = std::fs::read(folder.path().join("charts/plan-backlog.png")).expect("a chart");
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn names_of_others_stay_text_in_every_format() {
    let mut record = fixture::rates(&RATES);
    record.id = "<script>alert(1)</script>|x\u{1b}[31m".to_owned();
    let plan = planned(&record, &demand(100.0));
    let folder = tempfile::tempdir().expect("a folder");
    write(&plan, &record, folder.path()).expect("written");
    let page = std::fs::read_to_string(folder.path().join("plan.html")).expect("there");
    assert!(!page.contains("<script") && !page.contains('\u{1b}'));
    let markdown = render(&plan, &record, Format::Markdown).expect("rendered");
    assert!(!markdown.contains("<script") && markdown.contains("\\|x"));
    assert!(
        !render(&plan, &record, Format::Text)
            .expect("rendered")
            .contains('\u{1b}')
    );
}

#[test]
fn the_manual_describes_each_column() {
    let manual = include_str!("../../../docs/PLANNING.md");
    for column in columns() {
        assert!(manual.contains(&format!("| `{column}` |")), "{column}");
    }
}
