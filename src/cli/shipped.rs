//! The workloads that come with the program, in the program, so that they run by name from anywhere.

use std::path::{Path, PathBuf};

use crate::workload::check::{Checked, WorkloadError, check, load};

/// Name and text of each.
pub const WORKLOADS: [(&str, &str); 37] = [
    ("quickstart", include_str!("../../workloads/quickstart.toml")),
    ("steady", include_str!("../../workloads/steady.toml")),
    ("burst", include_str!("../../workloads/burst.toml")),
    (
        "ramp-to-saturation",
        include_str!("../../workloads/ramp-to-saturation.toml"),
    ),
    ("diurnal", include_str!("../../workloads/diurnal.toml")),
    ("level-a-spike", include_str!("../../workloads/level-a-spike.toml")),
    ("closed-loop", include_str!("../../workloads/closed-loop.toml")),
    ("stall", include_str!("../../workloads/stall.toml")),
    (
        "work-queue-scaling",
        include_str!("../../workloads/work-queue-scaling.toml"),
    ),
    ("uneven-workers", include_str!("../../workloads/uneven-workers.toml")),
    ("prefetch-sweep", include_str!("../../workloads/prefetch-sweep.toml")),
    ("backlog-drain", include_str!("../../workloads/backlog-drain.toml")),
    ("priority", include_str!("../../workloads/priority.toml")),
    ("ttl", include_str!("../../workloads/ttl.toml")),
    ("alarm", include_str!("../../workloads/alarm.toml")),
    ("network-stall", include_str!("../../workloads/network-stall.toml")),
    ("broker-restart", include_str!("../../workloads/broker-restart.toml")),
    ("broker-kill", include_str!("../../workloads/broker-kill.toml")),
    ("node-loss", include_str!("../../workloads/node-loss.toml")),
    ("backpressure", include_str!("../../workloads/backpressure.toml")),
    ("kill-storm", include_str!("../../workloads/kill-storm.toml")),
    ("crash-points", include_str!("../../workloads/crash-points.toml")),
    ("prefetch-kill", include_str!("../../workloads/prefetch-kill.toml")),
    (
        "stop-the-inventory",
        include_str!("../../workloads/stop-the-inventory.toml"),
    ),
    (
        "outbox-vs-dual-write",
        include_str!("../../workloads/outbox-vs-dual-write.toml"),
    ),
    ("db-outage", include_str!("../../workloads/db-outage.toml")),
    ("duplicates", include_str!("../../workloads/duplicates.toml")),
    ("poison", include_str!("../../workloads/poison.toml")),
    ("retry-backoff", include_str!("../../workloads/retry-backoff.toml")),
    ("store-cost", include_str!("../../workloads/store-cost.toml")),
    (
        "store-cost-postgres",
        include_str!("../../workloads/store-cost-postgres.toml"),
    ),
    (
        "sizing-growing-intensity",
        include_str!("../../workloads/sizing-growing-intensity.toml"),
    ),
    (
        "sizing-consumer-slowdown",
        include_str!("../../workloads/sizing-consumer-slowdown.toml"),
    ),
    (
        "sizing-publish-spike",
        include_str!("../../workloads/sizing-publish-spike.toml"),
    ),
    ("gate", include_str!("../../workloads/gate.toml")),
    ("plain-flow", include_str!("../../workloads/plain-flow.toml")),
    ("driver-ceiling", include_str!("../../workloads/driver-ceiling.toml")),
];

/// Reads a workload by path or, where there is no such file, by the name of a shipped one.
///
/// # Errors
/// What is wrong with it.
pub fn open(path: &Path, overrides: &[String]) -> Result<Checked, WorkloadError> {
    let name = path.to_string_lossy();
    match WorkloadFile::named(&name).filter(|_| !path.exists()) {
        Some(file) => check(
            &format!("workloads/{}.toml", file.name),
            file.name,
            file.text.to_owned(),
            overrides,
        ),
        None => load(&PathBuf::from(path), overrides),
    }
}

struct WorkloadFile {
    name: &'static str,
    text: &'static str,
}

impl WorkloadFile {
    /// `steady`, `steady.toml` or `workloads/steady.toml`.
    fn named(name: &str) -> Option<Self> {
        let stem = name.strip_prefix("workloads/").unwrap_or(name);
        let stem = stem.strip_suffix(".toml").unwrap_or(stem);
        WORKLOADS
            .into_iter()
            .find(|(known, _)| *known == stem)
            .map(|(name, text)| WorkloadFile { name, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_workload_is_legal_and_opens_with_its_question() {
        for (name, _) in WORKLOADS {
            let checked = open(Path::new(name), &[])
                .unwrap_or_else(|error| panic!("{error}"))
                .into_first();
            assert_eq!(checked.workload.name, name);
            assert!(checked.workload.question.contains('?'), "{name} opens with no question");
        }
    }

    #[test]
    fn every_file_in_the_folder_is_shipped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder is part of the source")
            .filter_map(|entry| {
                entry
                    .ok()?
                    .path()
                    .file_name()?
                    .to_str()
                    .and_then(|name| name.strip_suffix(".toml"))
                    .map(str::to_owned)
            })
            .collect();
        files.sort();
        let mut shipped: Vec<&str> = WORKLOADS.iter().map(|(name, _)| *name).collect();
        shipped.sort_unstable();
        assert_eq!(files, shipped);
    }
}
