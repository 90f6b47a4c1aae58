//! Whether two runs may be set against each other at all: what differs between them other than what is asked about.

use serde::Serialize;

use crate::report::human;
use crate::results::record::{CellRecord, RunRecord};

/// Settings that may differ: they say how often and with which randomness, not what was measured.
const FREE: [&str; 3] = ["trial.repeats", "seed", "trial.cool_down"];
/// … and all that begin so: they say how runs are judged.
const FREE_SECTION: &str = "compare.";
/// Settings that there were none of once, with what everybody had then.
const LATER: [(&str, &str); 1] = [("driver.client", "\"lapin\"")];
/// Memory that is reported a little differently from boot to boot is the same memory.
const MEMORY_TOLERANCE: f64 = 0.02;
/// Settings that are listed; more are counted.
const SETTINGS_MAX: usize = 5;

/// Something that forbids a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs.
    pub what: String,
    /// The base's.
    pub base: String,
    /// The new side's.
    pub new: String,
}

impl Difference {
    fn of(what: &str, base: impl ToString, new: impl ToString) -> Option<Difference> {
        let (base, new) = (base.to_string(), new.to_string());
        (base != new).then(|| Difference {
            what: what.to_owned(),
            base,
            new,
        })
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = format!("{}: {} → {}", self.what, self.base, self.new);
        write!(f, "{}", human::plain(&line))
    }
}

/// What forbids to compare `new` with `base`; empty if nothing does.
pub fn differences(base: &RunRecord, new: &RunRecord) -> Vec<Difference> {
    let mut found = circumstances(base, new);
    found.extend(settings(base, new));
    found
}

/// … other than their settings.
pub(super) fn circumstances(base: &RunRecord, new: &RunRecord) -> Vec<Difference> {
    let (b, n) = (&base.broker, &new.broker);
    [
        Difference::of("method version", base.method_version, new.method_version),
        Difference::of("workload", &base.name, &new.name),
        Difference::of("broker kind", &b.kind, &n.kind),
        Difference::of("broker product", &b.product, &n.product),
        Difference::of("broker version", version(base), version(new)),
        Difference::of("broker platform", platform(base), platform(new)),
        Difference::of("broker co-located", b.co_located, n.co_located),
        Difference::of("database of the stores", database(base), database(new)),
        Difference::of("broker nodes", b.nodes.unwrap_or(1), n.nodes.unwrap_or(1)),
        Difference::of("build", &base.tool.build, &new.tool.build),
        Difference::of("processor", &base.machine.cpu, &new.machine.cpu),
        Difference::of("processors", base.machine.cores, new.machine.cores),
        memory(base, new),
        Difference::of("operating system", &base.machine.os, &new.machine.os),
        Difference::of("loop", base.loop_kind(), new.loop_kind()),
        Difference::of("cells", cells(base), cells(new)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What two runs must share to be set side by side, in one line; its settings as a number that changes with each of them.
pub(super) fn likeness(record: &RunRecord) -> String {
    let settings = record.cells.iter().flat_map(|cell| {
        let of = cell.settings.iter().filter(|setting| !is_free(&setting.path));
        of.map(|setting| format!("{}={}", setting.path, setting.value))
    });
    // FNV-1a, as it must be the same in every version of the program.
    let plan = settings
        .flat_map(|line| (line + "\n").into_bytes())
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
    let (broker, machine) = (&record.broker, &record.machine);
    let database = record
        .database
        .as_ref()
        .map_or(String::new(), |_| format!(", {}", database(record)));
    human::plain(&format!(
        "{} {} {} on {}{database}, {} × {}, {}, {} build, method {}, plan {plan:016x}",
        broker.kind,
        broker.product,
        version(record),
        platform(record),
        machine.cores,
        machine.cpu,
        machine.os,
        record.tool.build,
        record.method_version
    ))
}

fn is_free(path: &str) -> bool {
    FREE.contains(&path) || path.starts_with(FREE_SECTION)
}

/// The embedded broker is part of the program that is compared: its version is the program's, which may differ.
fn version(record: &RunRecord) -> &str {
    match record.broker.kind.as_str() {
        "embedded" => "",
        _ => &record.broker.version,
    }
}

fn platform(record: &RunRecord) -> &str {
    record.broker.platform.as_deref().unwrap_or_default()
}

fn database(record: &RunRecord) -> String {
    record.database.as_ref().map_or("none".to_owned(), |database| {
        let fsync = if database.fsync { "" } else { " without fsync" };
        format!("{} {} {}{fsync}", database.kind, database.product, database.version)
    })
}

fn memory(base: &RunRecord, new: &RunRecord) -> Option<Difference> {
    let (base, new) = (base.machine.memory_bytes as f64, new.machine.memory_bytes as f64);
    if (base - new).abs() <= MEMORY_TOLERANCE * base.max(new) {
        return None;
    }
    Difference::of("memory", human::bytes(base), human::bytes(new))
}

fn cells(record: &RunRecord) -> String {
    let labels: Vec<&str> = record.cells.iter().map(|cell| cell.label.as_str()).collect();
    match labels.as_slice() {
        [""] => "one".to_owned(),
        labels => labels.join("; "),
    }
}

/// The partner of a cell: the one with the same values.
pub(super) fn partner<'a>(cell: &CellRecord, among: &'a RunRecord) -> Option<(usize, &'a CellRecord)> {
    let values = |cell: &CellRecord| -> Vec<(String, String)> {
        let pairs = cell
            .varied
            .iter()
            .map(|varied| (varied.dimension.clone(), varied.value.clone()));
        pairs.collect()
    };
    let wanted = values(cell);
    among
        .cells
        .iter()
        .enumerate()
        .find(|(_, other)| values(other) == wanted)
}

/// Settings that differ between cells that belong together; each is named once.
pub(super) fn settings(base: &RunRecord, new: &RunRecord) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    for cell in &base.cells {
        let Some((_, other)) = partner(cell, new) else { continue };
        let value = |cell: &CellRecord, path: &str| {
            let setting = cell.settings.iter().find(|setting| setting.path == path);
            let later = LATER.iter().find(|(later, _)| *later == path);
            let once = later.map_or(human::ABSENT, |(_, value)| value);
            setting.map_or(once.to_owned(), |setting| setting.value.clone())
        };
        let both = cell.settings.iter().chain(&other.settings);
        let mut paths: Vec<&str> = both.map(|setting| setting.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths.into_iter().filter(|path| !is_free(path)) {
            let name = format!("setting {path}");
            if found.iter().any(|difference| difference.what == name) {
                continue;
            }
            found.extend(Difference::of(&name, value(cell, path), value(other, path)));
        }
    }
    if found.len() > SETTINGS_MAX {
        let more = found.len() - SETTINGS_MAX;
        found.truncate(SETTINGS_MAX);
        found.push(Difference {
            what: "more settings that differ".to_owned(),
            base: more.to_string(),
            new: more.to_string(),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::results::record::{DatabaseRecord, METHOD_VERSION};

    fn found(change: impl Fn(&mut RunRecord)) -> Vec<String> {
        let base = fixture::pass();
        let mut new = base.clone();
        change(&mut new);
        differences(&base, &new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_thing_that_forbids_it_is_named_with_both_sides() {
        assert!(found(|_| ()).is_empty());
        assert_eq!(
            found(|new| new.broker.version = "4.0.5".to_owned()),
            ["broker version: 3.10.8 → 4.0.5"]
        );
        assert_eq!(
            found(|new| new.method_version += 1),
            [format!("method version: {METHOD_VERSION} → {}", METHOD_VERSION + 1)]
        );
        assert_eq!(found(|new| new.machine.cores = 8), ["processors: 2 → 8"]);
        let postgres = |fsync| DatabaseRecord {
            kind: "managed".to_owned(),
            product: "PostgreSQL".to_owned(),
            version: "15.8".to_owned(),
            address: "postgresql://127.0.0.1:5433".to_owned(),
            fsync,
        };
        assert_eq!(
            found(|new| new.database = Some(postgres(false))),
            ["database of the stores: none → managed PostgreSQL 15.8 without fsync"]
        );
        assert_eq!(
            found(|new| new.machine.memory_bytes *= 2),
            ["memory: 8.00 GiB → 16.0 GiB"]
        );
        assert_eq!(
            found(|new| new.tool.build = "debug".to_owned()),
            ["build: release → debug"]
        );
        assert_eq!(found(|new| new.name = "burst".to_owned()), ["workload: storm → burst"]);
        let embedded = found(|new| new.broker = fixture::embedded().broker).join(", ");
        assert!(embedded.contains("broker kind: managed → embedded"), "{embedded}");
    }

    #[test]
    fn another_setting_is_named_and_another_seed_or_more_repeats_are_not() {
        let set = |path: &str, value: &str| {
            let (path, value) = (path.to_owned(), value.to_owned());
            found(move |new| {
                let setting = new.cells[0].settings.iter_mut().find(|setting| setting.path == path);
                setting.expect("a setting").value.clone_from(&value);
            })
        };
        let rate = set("load.rate", "\"900/s\"");
        assert!(
            rate.len() == 1 && rate[0].starts_with("setting load.rate: ") && rate[0].ends_with("900/s\""),
            "{rate:?}"
        );
        let client = set("driver.client", "\"direct\"");
        assert_eq!(client, ["setting driver.client: \"lapin\" → \"direct\""]);
        let none = found(|new| new.cells[0].settings.retain(|setting| setting.path != "driver.client"));
        assert_eq!(
            none,
            Vec::<String>::new(),
            "there was only lapin before there was a choice"
        );
        assert!(set("seed", "7").is_empty() && set("trial.repeats", "99").is_empty());
    }

    #[test]
    fn a_matrix_with_other_cells_is_another_plan() {
        let base = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS, 1);
        let new = fixture::matrix(&fixture::PREFETCH_BY_CONSUMERS[..1], 1);
        assert!(
            differences(&base, &new)
                .iter()
                .any(|difference| difference.what == "cells")
        );
        assert!(differences(&base, &base).is_empty());
    }
}
