//! Each format is read back by its own grammar, and compared with a golden file under tests/golden.

use super::super::fixture::{forced, regression};
use super::*;

fn render(format: Format, comparison: &Comparison) -> String {
    format.render(comparison, Style::Plain).expect("rendered")
}

/// `ORDERSTORM_BLESS=1` writes what is rendered; look at the difference before you commit it.
#[test]
fn every_format_is_as_it_was() {
    for format in Format::ALL {
        let path = format!("{}/tests/golden/compare.{}", env!("CARGO_MANIFEST_DIR"), format.name());
        let rendered = render(format, &regression());
        if std::env::var_os("ORDERSTORM_BLESS").is_some() {
            std::fs::write(&path, &rendered).expect("written");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(rendered == golden, "{path} differs:\n{rendered}");
    }
}

#[test]
fn every_format_states_that_it_was_forced_and_on_what() {
    for format in Format::ALL {
        let text = render(format, &forced());
        assert!(text.to_lowercase().contains("forced"), "{}:\n{text}", format.name());
        if format != Format::Bencher {
            assert!(text.contains("4.0.5"), "{}:\n{text}", format.name());
        }
    }
}

#[test]
fn the_terminal_has_a_hundred_columns_and_colours_only_what_is_known() {
    for comparison in [regression(), forced()] {
        let text = render(Format::Text, &comparison);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
    let coloured = Format::Text.render(&forced(), Style::Ansi).expect("rendered");
    let row = coloured
        .lines()
        .find(|line| line.contains("goodput") && line.contains("/s"))
        .expect("a row");
    assert!(row.contains("cannot tell") && !row.contains('\u{1b}'), "{row:?}");
    let coloured = Format::Text.render(&regression(), Style::Ansi).expect("rendered");
    assert!(coloured.contains("\u{1b}[31m  goodput"));
}

#[test]
fn json_holds_every_trial_and_csv_a_row_per_measure() {
    let comparison = regression();
    let json: serde_json::Value = serde_json::from_str(&render(Format::Json, &comparison)).expect("JSON");
    assert_eq!(json["judgement"], "worse");
    assert_eq!(
        json["cases"][0]["measures"][0]["base"].as_array().map(Vec::len),
        Some(10)
    );
    let text = render(Format::Csv, &comparison);
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<std::collections::HashMap<String, String>> =
        reader.deserialize().map(|row| row.expect("legal")).collect();
    assert_eq!(rows.len(), comparison.cases[0].measures.len());
    assert_eq!(
        (rows[0]["measure"].as_str(), rows[0]["verdict"].as_str()),
        ("goodput", "worse")
    );
    assert!(rows[0]["change"].parse::<f64>().expect("a number") < -0.15);
}

#[test]
fn every_column_is_described_in_the_manual() {
    let manual = include_str!("../../../docs/RESULTS.md");
    let described = manual.split("## The CSV of a comparison").nth(1).expect("a section");
    for column in super::csv::COLUMNS {
        assert!(
            described.contains(&format!("| `{column}` |")),
            "{column} is missing in docs/RESULTS.md"
        );
    }
}

#[test]
fn junit_is_xml_whose_counts_are_those_of_its_cases() {
    for comparison in [regression(), forced()] {
        let xml = render(Format::Junit, &comparison);
        balanced(&xml);
        let count = |what: &str| xml.matches(what).count();
        let total = |name: &str| -> usize {
            let rest = xml.split("<testsuite name=").nth(1).expect("a suite");
            let rest = rest.split(&format!(" {name}=\"")).nth(1).expect("an attribute");
            rest.split('"').next().expect("a value").parse().expect("a count")
        };
        assert_eq!(
            (total("tests"), total("failures"), total("skipped")),
            (count("<testcase "), count("<failure "), count("<skipped "))
        );
    }
    assert!(render(Format::Junit, &forced()).contains("4.0.5 &lt;&amp;&quot;,"));
}

/// Every tag is closed in its order, attributes are quoted, and nothing bare is left in texts.
fn balanced(xml: &str) {
    let body = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>")
        .expect("a declaration");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = body;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > in {}", &rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else {
            assert!(
                tag.matches('"').count().is_multiple_of(2) && !tag.contains('<'),
                "{tag}"
            );
            let name = tag.split([' ', '/']).next().expect("a name");
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn trackers_get_one_direction_and_bounds_around_the_value() {
    let comparison = regression();
    let github: serde_json::Value = serde_json::from_str(&render(Format::GithubBenchmark, &comparison)).expect("JSON");
    let first = &github[0];
    assert_eq!(
        (first["name"].as_str(), first["unit"].as_str()),
        (Some("storm/time_per_order"), Some("ns/order"))
    );
    assert!((first["value"].as_f64().expect("a number") / (1e9 / 320.0) - 1.0).abs() < 0.01);
    let bencher: serde_json::Value = serde_json::from_str(&render(Format::Bencher, &comparison)).expect("JSON");
    let metric = &bencher["storm"]["goodput-per-s"];
    let of = |name: &str| metric[name].as_f64().expect("a number");
    assert!(of("lower_value") <= of("value") && of("value") <= of("upper_value"));
}

/// The grammar of golang.org/design/14313: `Unit` lines, `key: value` lines with a lower-case key, and benchmark lines of a
/// name, an iteration count and pairs of value and unit.
#[test]
fn gobench_follows_its_grammar() {
    for comparison in [regression(), forced()] {
        let text = render(Format::Gobench, &comparison);
        let mut trials = 0;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("Benchmark") {
                trials += 1;
                let fields: Vec<&str> = rest.split(' ').collect();
                assert!(
                    fields[0].starts_with(|c: char| c.is_uppercase()) && fields[1].parse::<u64>().is_ok(),
                    "{line}"
                );
                assert!(fields.len().is_multiple_of(2) && fields.len() > 4, "{line}");
                for pair in fields[2..].chunks(2) {
                    assert!(
                        pair[0].parse::<f64>().is_ok() && !pair[1].is_empty() && pair[1].parse::<f64>().is_err(),
                        "{line}"
                    );
                }
            } else if let Some(rest) = line.strip_prefix("Unit ") {
                assert!(
                    rest.ends_with(" better=higher") || rest.ends_with(" better=lower"),
                    "{line}"
                );
            } else if !line.starts_with("# ") {
                let (key, value) = line.split_once(": ").expect("a key and a value");
                assert!(
                    key.chars().all(|c| c.is_ascii_lowercase()) && !value.is_empty(),
                    "{line}"
                );
            }
        }
        assert_eq!(trials, comparison.base.trials + comparison.new.trials);
    }
}
