//! Holds the table of layers (docs/ARCHITECTURE.md): imports go downward only.
//!
//! It reads every `crate::…` path in src/, tests inside the files among them, and every outside crate that the lower layers
//! name. An exception is a row of its own in [`BESIDE`], with its reason.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A layer, from the bottom up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Plain data: no async, no network.
    Words,
    /// Pure functions over words.
    Engines,
    /// Async and live.
    Field,
    /// Offline, from a run folder.
    Desk,
    /// Knows everyone.
    Conductor,
}

use Layer::{Conductor, Desk, Engines, Field, Words};

/// Every module of the crate with its layer.
const MODULES: [(&str, Layer); 30] = [
    ("units", Words),
    ("clock", Words),
    ("rng", Words),
    ("events", Words),
    ("orders", Words),
    ("workload", Words),
    ("arrival", Engines),
    ("measure", Engines),
    ("ledger", Engines),
    ("plan", Engines),
    ("queueing", Engines),
    ("stats", Engines),
    ("capacity", Engines),
    ("tally", Field),
    ("timer", Field),
    ("proxy", Field),
    ("amqp", Field),
    ("wire", Field),
    ("broker", Field),
    ("load", Field),
    ("pipeline", Field),
    ("fault", Field),
    ("sample", Field),
    ("results", Desk),
    ("sizing", Desk),
    ("report", Desk),
    ("compare", Desk),
    ("runner", Conductor),
    ("cli", Conductor),
    ("ui", Conductor),
];

/// Imports inside a layer that are allowed: (who, whom, why).
const BESIDE: [(&str, &str, &str); 22] = [
    ("plan", "arrival", "a plan says how many arrivals its schedule has"),
    ("queueing", "stats", "a fitted law has bootstrap intervals"),
    ("wire", "amqp", "objects are declared on a link"),
    ("broker", "amqp", "a broker has an address"),
    ("load", "amqp", "orders are published"),
    ("load", "wire", "orders have bodies and an exchange"),
    ("wire", "timer", "orders are paced and service times end on time"),
    (
        "amqp",
        "tally",
        "publishes of worker processes are counted where the driver sees them",
    ),
    ("pipeline", "tally", "so are the deliveries of their stages"),
    ("pipeline", "timer", "a worker process has a timer of its own"),
    ("pipeline", "amqp", "stages consume and publish"),
    ("pipeline", "wire", "stages read and write bodies"),
    ("fault", "timer", "faults begin on time"),
    ("proxy", "timer", "late bytes come on time"),
    ("sample", "amqp", "depths are asked for on a link"),
    (
        "report",
        "results",
        "everything that is shown comes from the run record",
    ),
    ("sizing", "results", "a model is fitted to run records"),
    ("report", "sizing", "plans are shown as runs are"),
    ("compare", "results", "what is compared comes from run records"),
    ("compare", "report", "a comparison writes numbers as a report does"),
    ("ui", "runner", "the live view reads the runner's snapshots"),
    ("cli", "*", "a verb may call everyone; nobody calls a verb"),
];

/// Outside crates that layers without async and network must not name.
const LIVE_CRATES: [&str; 6] = ["tokio", "tokio_util", "lapin", "futures_util", "ureq", "amq_protocol"];

fn layer_of(module: &str) -> Option<Layer> {
    MODULES
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// Why `from` must not import `to`; `None`: it may.
fn objection(from: &str, to: &str) -> Option<String> {
    let (Some(mine), Some(theirs)) = (layer_of(from), layer_of(to)) else {
        return Some(format!("{from} → {to}: not in the table of modules"));
    };
    if from == to || mine == Words && theirs == Words {
        return None;
    }
    let beside = BESIDE
        .iter()
        .any(|(who, whom, _)| *who == from && (*whom == to || *whom == "*"));
    let allowed = match mine {
        _ if mine == theirs => beside,
        Words => false,
        Engines => theirs == Words,
        Field | Desk => matches!(theirs, Words | Engines),
        Conductor => true,
    };
    let why = match () {
        () if mine == theirs => "sideways",
        () if matches!((mine, theirs), (Field, Desk) | (Desk, Field)) => "field and desk meet in the run folder alone",
        () => "upward",
    };
    (!allowed).then(|| format!("{from} ({mine:?}) → {to} ({theirs:?}): {why}"))
}

/// The text without comments and without the contents of strings.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut in_string = false;
        let mut previous = ' ';
        for (at, c) in line.char_indices() {
            if !in_string && line[at..].starts_with("//") {
                break;
            }
            if c == '"' && previous != '\\' && previous != '\'' {
                in_string = !in_string;
            }
            if !in_string {
                code.push(c);
            }
            previous = c;
        }
        code.push('\n');
    }
    code
}

/// First segments of all paths that start with `crate::`, groups among them.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        if before == '$' || before == '_' || before.is_alphanumeric() {
            continue;
        }
        found.extend(first_segments(&code[at + "crate::".len()..]));
    }
    found
}

/// `a::b` gives a; `{a::b, c::{d, e}}` gives a and c.
fn first_segments(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                parts.push(word(&group[start..at]));
                break;
            }
            ',' if depth == 0 => {
                parts.push(word(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Modules that a `super::` chain at the start of a line reaches by leaving its own module; `depth` is that of the file's
/// module below the crate's root.
fn paths_through_the_root(code: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in code.lines() {
        let path = line.strip_prefix("pub ").unwrap_or(line);
        let Some(mut path) = path.strip_prefix("use ") else {
            continue;
        };
        let mut supers = 0;
        while let Some(rest) = path.strip_prefix("super::") {
            (supers, path) = (supers + 1, rest);
        }
        if supers >= depth.max(1) {
            found.extend(first_segments(path));
        }
    }
    found
}

/// The outside crates of [`LIVE_CRATES`] that the code names.
fn live_crates(code: &str) -> Vec<&'static str> {
    let names = |krate: &str| {
        code.match_indices(&format!("{krate}::")).any(|(at, _)| {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            before != ':' && before != '_' && !before.is_alphanumeric()
        })
    };
    LIVE_CRATES.into_iter().filter(|krate| names(krate)).collect()
}

/// What is wrong with one file; `path` is relative to src/.
fn objections(path: &Path, text: &str) -> Vec<String> {
    let module = path
        .components()
        .next()
        .and_then(|first| Path::new(first.as_os_str()).file_stem()?.to_str().map(str::to_owned))
        .unwrap_or_default();
    if module == "lib" || module == "main" {
        return Vec::new();
    }
    let code = code_of(text);
    let own_file = path.file_stem().is_some_and(|stem| stem == "mod");
    let depth = path.components().count() - usize::from(own_file);
    let mut all: Vec<String> = crate_paths(&code)
        .union(&paths_through_the_root(&code, depth))
        .filter_map(|to| objection(&module, to))
        .collect();
    if layer_of(&module).is_some_and(|layer| layer <= Engines) {
        let live = live_crates(&code);
        all.extend(
            live.iter()
                .map(|krate| format!("{module} names {krate}: it must stay pure")),
        );
    }
    all.into_iter()
        .map(|objection| format!("src/{}: {objection}", path.display()))
        .collect()
}

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = folder
        .read_dir()
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.strip_prefix(&root).expect("found under it").to_owned(), text)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn imports_go_downward_only() {
    let all: Vec<String> = sources()
        .iter()
        .flat_map(|(path, text)| objections(path, text))
        .collect();
    assert!(all.is_empty(), "{} objections:\n{}", all.len(), all.join("\n"));
}

#[test]
fn the_table_names_every_module_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = std::fs::read_to_string(root).expect("the crate has a root");
    let declared: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let listed: BTreeSet<&str> = MODULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, listed);
}

#[test]
fn every_exception_is_used() {
    let used: BTreeSet<(String, String)> = sources()
        .iter()
        .flat_map(|(path, text)| {
            let module = path
                .components()
                .next()
                .map(|first| first.as_os_str().to_string_lossy().into_owned());
            let module = module.unwrap_or_default().trim_end_matches(".rs").to_owned();
            crate_paths(&code_of(text))
                .into_iter()
                .map(move |to| (module.clone(), to))
        })
        .collect();
    let idle: Vec<_> = BESIDE
        .iter()
        .filter(|(who, whom, _)| *whom != "*" && !used.contains(&((*who).to_owned(), (*whom).to_owned())))
        .collect();
    assert!(idle.is_empty(), "nobody needs these any more: {idle:?}");
}

#[test]
fn the_documents_show_the_same_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["src/lib.rs", "docs/ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(root.join(file)).expect("the document exists");
        for (layer, row) in [
            (Words, "words"),
            (Engines, "engines"),
            (Field, "field"),
            (Desk, "desk"),
            (Conductor, "conductor"),
        ] {
            let start = format!("| {row} |");
            let line = text
                .lines()
                .map(|line| line.trim_start_matches("//! "))
                .find(|line| line.starts_with(&start));
            let line = line.unwrap_or_else(|| panic!("{file} has no row for {row}"));
            let modules = MODULES.iter().filter(|(_, of)| *of == layer);
            for (module, _) in modules {
                assert!(
                    line.contains(&format!("`{module}`")),
                    "{file}: {module} is missing in the row of {row}"
                );
            }
        }
    }
}

#[test]
fn planted_bad_imports_are_found() {
    let bad = [
        ("ledger/mod.rs", "use crate::amqp::Link;", "upward"),
        ("arrival/mod.rs", "use crate::ledger::Ledger;", "sideways"),
        ("load/open.rs", "use crate::pipeline::Pipeline;", "sideways"),
        (
            "pipeline/work.rs",
            "    crate::broker::discover::installed_servers();",
            "sideways",
        ),
        ("report/text.rs", "use crate::sample::DepthProbe;", "run folder alone"),
        (
            "sample/host.rs",
            "use crate::results::record::Machine;",
            "run folder alone",
        ),
        ("results/mod.rs", "use crate::report::text;", "sideways"),
        ("runner/mod.rs", "use crate::cli::Cli;", "sideways"),
        (
            "fault/mod.rs",
            "use crate::{clock::Nanos, broker::{BrokerChoice, RunningBroker}};",
            "sideways",
        ),
        ("plan.rs", "use super::runner::run;", "upward"),
        ("measure/board.rs", "use super::super::wire::message;", "upward"),
        ("units.rs", "pub use crate::plan::Plan;", "upward"),
        ("orders.rs", "use tokio::time::sleep;", "must stay pure"),
        ("events.rs", "use crate::nowhere::Thing;", "not in the table"),
    ];
    for (path, text, says) in bad {
        let found = objections(Path::new(path), text);
        assert!(found.len() == 1 && found[0].contains(says), "{path}: {text}: {found:?}");
    }
}

#[test]
fn good_imports_comments_and_strings_raise_no_objection() {
    let good = [
        (
            "ledger/settle.rs",
            "use crate::events::{Event, Stage};\nuse super::book::Book;",
        ),
        (
            "load/open.rs",
            "use super::sender::Sender;\nuse crate::amqp::Link;\n// crate::pipeline is not known here",
        ),
        (
            "runner/trial.rs",
            "use crate::report::write_all;\nuse super::depth::Depths;",
        ),
        ("units.rs", "let text = \"crate::runner\";\n//! [`crate::runner`]"),
        ("plan.rs", "mod tests {\n    use super::*;\n}"),
        ("amqp/uri/params.rs", "use super::super::secret::Secret;"),
    ];
    for (path, text) in good {
        assert_eq!(objections(Path::new(path), text), Vec::<String>::new(), "{path}");
    }
}

/// Two clocks would mean two axes: latencies are differences on one of them. Brokers and database servers, live view, signals, the
/// batches of a store and the browser of a test have deadlines and cadences of their own, which no figure is made of.
#[test]
fn only_the_clock_reads_the_system_clocks_for_measures() {
    let may = [
        "clock.rs",
        "broker",
        "ui",
        "cli",
        "pipeline/store/durable.rs",
        "pipeline/store/postgres/cluster.rs",
        "report/html/browser",
    ];
    let reads = |text: &str| {
        let code = code_of(text.split("#[cfg(test)]").next().unwrap_or_default());
        ["SystemTime::now", "Instant::now", "clock_gettime"]
            .iter()
            .any(|call| code.contains(call))
    };
    let users: Vec<String> = sources()
        .iter()
        .filter(|(path, text)| !may.iter().any(|free| path.starts_with(free)) && reads(text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(users.is_empty(), "these read a clock of their own: {users:?}");
    assert!(reads("let now = Instant::now();") && !reads("// Instant::now"));
}
