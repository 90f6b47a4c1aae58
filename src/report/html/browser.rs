//! The page in a real browser: headless Chromium opens it at phone and desktop width, in light and in dark.
//!
//! Chromium is told what to do over its debugging pipe, so the page stands unchanged, its content security policy too. Without
//! `chromium` the tests are skipped with a line; with `ORDERSTORM_REQUIRE_CHROMIUM=1` they fail.

mod chromium;

use std::path::Path;

use chromium::{Chromium, Scheme, View};

use crate::report::{fixture, write_all};
use crate::results::record::RunRecord;

/// What looks at the page from inside; it gives a list of what is wrong.
const CHECK: &str = include_str!("browser/check.js");
/// A phone's and a desktop's width, CSS pixels.
const WIDTHS: [u32; 2] = [360, 1280];

/// A browser, or a line that says why the test is skipped.
fn browser() -> Option<Chromium> {
    let started = Chromium::start();
    let required = std::env::var("ORDERSTORM_REQUIRE_CHROMIUM").is_ok_and(|value| value == "1");
    match started {
        Ok(browser) => Some(browser),
        Err(why) if !required => {
            println!("skipped: {why} (apt-get install chromium)");
            None
        }
        Err(why) => panic!("ORDERSTORM_REQUIRE_CHROMIUM=1, but {why}: apt-get install chromium"),
    }
}

/// What is wrong with the page at `path`, which has the charts `charts`; each finding once, with where it was seen.
fn findings(browser: &mut Chromium, path: &Path, charts: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for width in WIDTHS {
        for scheme in [Scheme::Light, Scheme::Dark] {
            let view = View { width, scheme };
            let charts = serde_json::to_string(charts).expect("names are JSON");
            let seen = browser.look(path, view, &format!("({CHECK})({charts}, {width})"));
            found.extend(seen.into_iter().map(|what| format!("{width} px, {scheme:?}: {what}")));
        }
    }
    found
}

/// The names of the charts that the report of a folder wrote.
fn charts_of(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("charts")).expect("a folder of charts");
    let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".svg")?.to_owned()))
        .collect();
    names.sort();
    names
}

fn report(record: &RunRecord) -> tempfile::TempDir {
    let folder = fixture::folder(record);
    write_all(folder.path(), record).expect("written");
    folder
}

#[test]
fn pages_of_all_kinds_are_sound_in_a_browser() {
    let Some(mut browser) = browser() else { return };
    let mut invalid = fixture::pass();
    invalid.outcome.exit_code = 5;
    invalid.trials[0].validity.valid = false;
    invalid.trials[0].validity.reasons = vec!["achieved 91 % of the offered load".to_owned()];
    let pages = [
        ("a plain run", fixture::pass()),
        (
            "a matrix of 50 trials",
            fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 5),
        ),
        ("an invalid run", invalid),
        ("a run with faults, phases and blocked connections", fixture::failed()),
        ("a run with hostile texts", fixture::hostile()),
        ("a run without data", fixture::no_data()),
    ];
    for (name, record) in pages {
        let folder = report(&record);
        let charts = charts_of(folder.path());
        assert!(charts.len() >= 6, "{name}: {charts:?}");
        let found = findings(&mut browser, &folder.path().join("report.html"), &charts);
        assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
    }
}

/// A defect, how it gets into a sound page, and what must be said of it.
type Defect = (&'static str, fn(&str) -> String, &'static str);

fn before_the_end(page: &str, markup: &str) -> String {
    page.replacen("</main>", &format!("{markup}</main>"), 1)
}

fn without_policy(page: &str) -> String {
    page.replacen("Content-Security-Policy", "x-none", 1)
}

const DEFECTS: [Defect; 12] = [
    (
        "an error on the console",
        |page| without_policy(&before_the_end(page, "<script>console.error('planted')</script>")),
        "console: planted",
    ),
    (
        "an exception",
        |page| without_policy(&before_the_end(page, "<script>planted()</script>")),
        "exception: ReferenceError",
    ),
    (
        "a script that the policy stops",
        |page| before_the_end(page, "<script>1</script>"),
        "Content Security Policy",
    ),
    (
        "an outside request",
        |page| {
            without_policy(&before_the_end(
                page,
                "<img src=\"http://127.0.0.1:9/planted.png\" alt=\"\">",
            ))
        },
        "outside request: http://127.0.0.1:9/planted.png",
    ),
    (
        "an outside request that the policy stops",
        |page| before_the_end(page, "<img src=\"http://127.0.0.1:9/planted.png\" alt=\"\">"),
        "127.0.0.1:9",
    ),
    (
        "a chart that is not there",
        |page| page.replacen("id=\"chart-backlog\"", "id=\"planted\"", 1),
        "chart backlog is missing",
    ),
    (
        "a chart without a drawing",
        |page| {
            let figure = page.find("id=\"chart-backlog\"").expect("the chart");
            let from = figure + page[figure..].find("<svg").expect("its drawing");
            let to = from + page[from..].find("</svg>").expect("its end") + "</svg>".len();
            format!("{}{}", &page[..from], &page[to..])
        },
        "chart backlog has no drawing",
    ),
    (
        "a broken image",
        |page| before_the_end(page, "<img alt=\"planted\" src=\"data:image/png;base64,AAAA\">"),
        "broken image",
    ),
    (
        "something too wide",
        |page| before_the_end(page, "<div style=\"width:3000px\">planted</div>"),
        "scrolls sideways",
    ),
    (
        "text that cannot be read",
        |page| before_the_end(page, "<p style=\"color:#888;background:#777\">planted</p>"),
        "contrast",
    ),
    (
        "a chart that a screen reader cannot name",
        |page| page.replacen("aria-label=\"Throughput over time. ", "data-label=\"", 1),
        "has no name",
    ),
    (
        "a column without a header",
        |page| page.replacen("scope=\"col\"", "", 1),
        "header cell without scope",
    ),
];

#[test]
fn each_planted_defect_is_found() {
    let Some(mut browser) = browser() else { return };
    let folder = report(&fixture::failed());
    let charts = charts_of(folder.path());
    let sound = std::fs::read_to_string(folder.path().join("report.html")).expect("the page");
    for (defect, plant, expected) in DEFECTS {
        let page = plant(&sound);
        assert_ne!(page, sound, "{defect} is planted");
        let path = folder.path().join("planted.html");
        std::fs::write(&path, page).expect("written");
        let found = findings(&mut browser, &path, &charts);
        assert!(
            found.iter().any(|what| what.contains(expected)),
            "{defect} is not found; found: {found:#?}"
        );
    }
}
