//! One line that follows the run: a bar on a terminal, a line each few seconds elsewhere. Goes to standard error, so that
//! standard output holds results only.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch::Receiver;

use crate::report::human;
use crate::runner::{Phase, Snapshot};

/// How often a plain line is printed.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Steps of the bar.
const BAR: u64 = 1000;
/// Longest cell that the line names.
const CELL_MAX: usize = 40;

/// How the run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A bar.
    Bar,
    /// Lines, for logs.
    Plain,
    /// Nothing.
    Quiet,
}

impl View {
    /// What suits the standard error stream.
    pub fn fitting(quiet: bool) -> Self {
        match quiet {
            true => View::Quiet,
            false if std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() => View::Bar,
            false => View::Plain,
        }
    }
}

/// Shows snapshots until the sender is gone.
pub async fn follow(mut snapshots: Receiver<Snapshot>, view: View) {
    let bar = match view {
        View::Bar => ProgressBar::new(BAR),
        View::Plain | View::Quiet => ProgressBar::hidden(),
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:24}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut printed: Option<(Instant, Phase, u32)> = None;
    while snapshots.changed().await.is_ok() {
        let snapshot = snapshots.borrow_and_update().clone();
        match view {
            View::Bar => {
                bar.set_position(share(&snapshot));
                bar.set_message(line(&snapshot));
                bar.tick();
            }
            View::Plain => {
                let new = printed.is_none_or(|(at, phase, trial)| {
                    at.elapsed() >= PLAIN_EVERY || phase != snapshot.phase || trial != snapshot.trial
                });
                if new {
                    printed = Some((Instant::now(), snapshot.phase, snapshot.trial));
                    eprintln!("{}", line(&snapshot));
                }
            }
            View::Quiet => {}
        }
    }
    bar.finish_and_clear();
}

/// How far the load is, in steps of the bar.
fn share(snapshot: &Snapshot) -> u64 {
    let by_time = snapshot.load_s.map(|load_s| snapshot.elapsed_s / load_s);
    let by_orders = snapshot
        .planned
        .filter(|planned| *planned > 0)
        .map(|planned| snapshot.sent as f64 / planned as f64);
    match snapshot.phase {
        Phase::Provision | Phase::CoolDown | Phase::Declare => 0,
        Phase::WarmUp | Phase::Measure => (by_time.or(by_orders).unwrap_or(0.0).clamp(0.0, 1.0) * BAR as f64) as u64,
        Phase::Drain | Phase::Verify | Phase::Persist => BAR,
    }
}

fn line(snapshot: &Snapshot) -> String {
    let mut parts = Vec::new();
    if !snapshot.cell.is_empty() {
        parts.push(human::shortened(&snapshot.cell, CELL_MAX));
    }
    parts.push(format!(
        "trial {}/{} {}",
        snapshot.trial.max(1),
        snapshot.trials.max(1),
        snapshot.phase.name()
    ));
    if matches!(snapshot.phase, Phase::WarmUp | Phase::Measure | Phase::Drain) {
        parts.push(format!("{:.0} s", snapshot.elapsed_s));
        parts.push(format!("{} sent", human::count(snapshot.sent)));
        parts.push(format!("{} finished", human::count(snapshot.finished)));
        parts.extend(
            snapshot
                .goodput_per_s
                .map(|rate| format!("goodput {}", human::rate(rate))),
        );
        parts.extend(
            snapshot
                .backlog
                .map(|backlog| format!("backlog {}", human::count(backlog))),
        );
        parts.extend(snapshot.p50_ns.map(|ns| format!("p50 {}", human::nanos(ns as f64))));
        parts.extend(snapshot.p99_ns.map(|ns| format!("p99 {}", human::nanos(ns as f64))));
        if snapshot.blocked {
            parts.push("BLOCKED by the broker".to_owned());
        }
    }
    parts.extend(left_s(snapshot).map(|s| format!("{} left", whole_seconds(s))));
    parts.join("  ")
}

fn whole_seconds(s: f64) -> String {
    if s < 120.0 {
        format!("{s:.0} s")
    } else {
        human::seconds(s)
    }
}

/// Seconds until the run's last load ends, about: what is left of this one, and all that come later.
fn left_s(snapshot: &Snapshot) -> Option<f64> {
    let of_this = match snapshot.phase {
        Phase::Provision | Phase::Persist => return None,
        Phase::CoolDown | Phase::Declare => snapshot.load_s?,
        Phase::WarmUp | Phase::Measure => (snapshot.load_s? - snapshot.elapsed_s).max(0.0),
        Phase::Drain | Phase::Verify => 0.0,
    };
    let left = of_this + snapshot.later_s?;
    (left >= 1.0).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_what_is_known_and_nothing_else() {
        let snapshot = Snapshot {
            trial: 1,
            trials: 2,
            phase: Phase::Measure,
            sent: 12,
            backlog: Some(3),
            ..Snapshot::default()
        };
        let line = line(&snapshot);
        assert!(
            line.contains("trial 1/2 measure") && line.contains("backlog 3") && !line.contains("p99"),
            "{line}"
        );
    }

    #[test]
    fn the_line_of_a_matrix_names_the_cell_and_the_time_left() {
        let snapshot = Snapshot {
            trial: 3,
            trials: 12,
            cell: "prefetch 10 · consumers 4".to_owned(),
            later_s: Some(150.0),
            load_s: Some(20.0),
            elapsed_s: 5.0,
            phase: Phase::Measure,
            ..Snapshot::default()
        };
        let text = line(&snapshot);
        assert!(
            text.starts_with("prefetch 10 · consumers 4  trial 3/12 measure"),
            "{text}"
        );
        assert!(text.ends_with("2 min 45 s left"), "{text}");
        let unknown = Snapshot {
            later_s: None,
            ..snapshot
        };
        assert!(!line(&unknown).contains("left"));
    }

    #[test]
    fn the_bar_follows_the_time_or_the_orders() {
        let by_time = Snapshot {
            phase: Phase::Measure,
            load_s: Some(10.0),
            elapsed_s: 5.0,
            ..Snapshot::default()
        };
        assert_eq!(share(&by_time), BAR / 2);
        let by_orders = Snapshot {
            phase: Phase::Measure,
            planned: Some(10),
            sent: 10,
            ..Snapshot::default()
        };
        assert_eq!(share(&by_orders), BAR);
    }
}
