//! The reference of workload files in Markdown, `docs/WORKLOADS.md`, made from the table in [`super::keys`].
//!
//! A test holds the committed file equal to what this makes.

use super::keys::{self, KEYS, Key, Kind};
use crate::events::Stage;
use crate::units::{Size, Span};

/// What every reader needs before the first table.
const OPENING: &str = "\
# Workload files

<!-- Made from the table in src/workload/keys.rs. Do not edit: change the table, then ORDERSTORM_BLESS=1 cargo test --test docs -->

A workload is one TOML file: one experiment. Its first comment is the question that it answers. Every key has a default or may
be absent, so an empty file is a legal workload. `orderstorm check FILE` prints every setting with its value and where it came
from, and touches no broker.

- Unknown keys, wrong types or units, values out of range and settings that contradict each other are refused, all at once, with
  file, line, column and a hint; the exit code is 2.
- A setting that would have no effect is refused too: `load.users` without a closed loop, `stage.*.ack_flush` without a batch.
- Keys can be written as tables (`[load]`, then `rate = \"5/s\"`), dotted (`load.rate = \"5/s\"`) or inline.
- `--set KEY=VALUE` changes a key from the command line and outranks the file; quotes around text may be left out:
  `--set load.rate=500/s --set stage.payment.service_time=5ms`.
- `workloads/schema.json` (`orderstorm schema`) gives editors completion and checks, through a first line
  `#:schema ./schema.json`.

## Values

| value | written |
|---|---|
| duration | `\"250ms\"`, `\"5s\"`, `\"1m 30s\"`; units ns, us, ms, s, m, h, d |
| rate | `\"200/s\"`, `\"3000/m\"`, `\"1/h\"` |
| size | `\"0B\"`, `\"512B\"`, `\"4KiB\"`, `\"1MB\"` |
| share | `\"2%\"`, `\"0.5%\"` |
| limit | a whole number, or `\"unlimited\"` |
| service time | `\"none\"`, a duration, or a distribution: `{ uniform = [\"1ms\", \"9ms\"] }`, `{ exponential = \"5ms\" }` (its mean), `{ lognormal = { median = \"5ms\", p99 = \"50ms\" } }`; at most 1 h |

## Varying settings

Any key but `name`, `seed` and those of `[trial]` can have a list of values. Each list is a dimension; the run goes through the cross
product of all dimensions, and each combination is a **cell**, checked as a workload of its own:

```toml
stage.payment.prefetch = [1, 10, 100, \"unlimited\"]
stage.payment.ack_batch = [1, 50]

[[matrix.exclude]]                      # 50 acknowledgements never fill with a prefetch of 1 or 10: leave these cells out
stage.payment.prefetch = [1, 10]
stage.payment.ack_batch = 50
```

Named variants set several keys at once. All tables of one name are one dimension, of which each cell has one:

```toml
[[variants.strategy]]
name = \"small-prefetch\"
stage.payment.prefetch = 2

[[variants.strategy]]
name = \"batched\"
[variants.strategy.stage.payment]
prefetch = 100
ack_batch = 50
```

- A variant outranks the rest of the file. A key belongs to one dimension only. Lists do not stand inside variants.
- An exclusion leaves out the cells in which **each** setting that it names has one of the values given; `variants.strategy = \"batched\"`
  names a variant.
- A key whose value is a list itself is varied by a list of lists.
- `--set stage.payment.prefetch=[1,10]` makes or narrows a dimension, `--set stage.payment.prefetch=5` collapses it;
  `--set variants.strategy=batched` picks variants.
- Each cell runs `trial.repeats` times, in rounds: every round runs all cells once, in an order of its own that the seed draws. The cells
  of a round have the same seed, hence the same arrivals and orders. A run has at most 1,000 trials.
- `orderstorm check FILE` prints the dimensions, what each cell has of its own, and what they share.
";

/// What a section is about, above its table.
fn introduction(section: &str) -> &'static str {
    match section {
        "" => "Keys at the top of the file.",
        "load" => {
            "How orders arrive. In open loop every instant is drawn from the seed beforehand and nothing delays it; with \
             `closed` each user waits for the end of its order, and with `saturate` publishers only for room in \
             `load.confirm_window` and the socket. docs/METHOD.md says what that does to the figures. Times \
             inside a shape count from the start of the load, the warm-up among it."
        }
        "orders" => "What is in an order, and what may go wrong with it.",
        "publish" => "How messages are published, by the load and by every stage.",
        "topology" => "Exchanges and queues.",
        "stage" => {
            "Settings of one stage. `*` stands for the stage's name, for example `[stage.payment]`; each stage has all of them. `worker` is the stage \
             of `pipeline = \"work-queue\"`, the others are those of `pipeline = \"orders\"`."
        }
        "promises" => {
            "Promises that you count on. What a configuration promises follows from its settings and is checked whether it is \
             stated or not; stating it has settings refused that cannot give it."
        }
        "objectives" => {
            "Figures that must keep a bound. They are checked in each cell, over its repeats: their median speaks for the cell, or, for lost, \
             duplicated and oversold orders and for `==`, the worst of them. One that is missed makes the run exit with 4 and says by how much; \
             one that cannot be told (too few samples, no full drain, repeats missing) is never met: then the run exits with 5."
        }
        "compare" => {
            "Changes that matter when `orderstorm compare` or `orderstorm ab` sets runs of this workload against each other: a smaller one is no \
             regression, however sure it is. The new side's file counts; `--threshold` outranks it. A share of the base's value, but for \
             `redelivered`. They change nothing that is measured."
        }
        "prediction" => {
            "What a plan (`orderstorm plan`) foretells of a run of this workload. It changes nothing that is measured: the report shows each \
             figure beside what was measured, with the error. Absent: nothing was foretold."
        }
        "drain" => "The end of a trial.",
        "driver" => "What the driver speaks to the broker through.",
        "sample" => "How often things are looked at.",
        "trial" => "Repeats.",
        "backlog" => {
            "A backlog that is to build up: the stage's consumers are held back until so many messages are ready, and how the \
             queue clears then is measured (docs/METHOD.md). Absent: none."
        }
        "broker" => {
            "The broker that `--broker managed` starts. With several nodes they form one cluster on this machine: each connection begins at another \
             node and goes on to the next when its own does not answer, queues are spread over the nodes (`queue_leader_locator = balanced`), a node \
             that is cut off from the majority stops serving until it is back (`cluster_partition_handling = pause_minority`), and what belongs to a \
             stage with quorum queues (its retry and dead-letter queues) is in quorum queues too."
        }
        "fault" => "What is done to the broker or to a stage in the middle of a trial. Absent: nothing.",
        "recovery" => {
            "How a stage's or the load's lost connection, channel or consumer comes back: it is opened anew with pauses that double, up to a limit, \
             with jitter from the seed. What a stage had not had confirmed is published again before its input is acknowledged; what the load had \
             not had confirmed stays unknown, unless its effect is seen."
        }
        "retry" => {
            "What becomes of a delivery whose handler failed (`stage.*.errors`), until the limit sends it to the dead-letter queue. Every retry that is \
             published is confirmed before the failed delivery is acknowledged. docs/METHOD.md compares the policies."
        }
        "messages" => {
            "What the load publishes beside its orders: copies of them, and messages that no consumer can take, which belong into the dead-letter queues. \
             For which orders is drawn from the seed. Absent: none."
        }
        "canary" => "Defects planted on purpose, to see the ledger find them. Absent: none.",
        _ => "",
    }
}

/// What phases are about, above their table.
const PHASES_INTRODUCTION: &str = "\
One table for each phase, in sequence; each is a band in the charts and a row in the record. A phase has the keys of a shape
that `[load]` has, and times inside it count from its start. A rate of 0/s is a pause. On the command line a phase is named by
its position, from 1: `--set load.phases.2.rate=50/s`.";

/// What the fault script is about, above its table.
const FAULTS_INTRODUCTION: &str = "\
One table for each fault. Each names what is done, to which stage, and when, by one of `at`, `every`, `random`, `on` and `after`. A fault of the
network without a stage is everybody's; one of the broker has none. Whom a fault strikes and, for `random`, when, are drawn from the seed. Faults end with the load, and what is away then comes back at once. On the
command line a fault is named by its position, from 1: `--set faults.1.count=2`.";

/// The whole reference: one table for each section, in the order of the sections' first keys.
pub fn reference() -> String {
    let section_of = |path: &'static str| match path.split_once('.') {
        Some((section, _)) => section,
        None if path == keys::FAULTS => path,
        None => "",
    };
    let mut sections: Vec<&str> = Vec::new();
    for key in KEYS {
        // The table is in the order of writing: a section may go on after another.
        let section = section_of(key.path);
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    let mut text = OPENING.to_owned();
    for section in sections {
        if section == keys::FAULTS {
            text.push_str(&faults());
            continue;
        }
        text.push_str(&heading(section));
        for key in KEYS.iter().filter(|key| section_of(key.path) == section) {
            text.push_str(&row(key.path, key));
        }
        if section == "load" {
            text.push_str(&phases());
        }
    }
    text
}

/// The keys of a phase, after those of the load.
fn phases() -> String {
    let rows: String = keys::phase_keys().map(|(name, key)| row(name, key)).collect();
    format!(
        "\n## `[[{}]]`\n\n{PHASES_INTRODUCTION}\n\n| key | value | default | meaning |\n|---|---|---|---|\n{rows}",
        keys::PHASES
    )
}

fn faults() -> String {
    let rows: String = keys::FAULT_KEYS.iter().map(|key| row(key.path, key)).collect();
    format!(
        "\n## `[[{}]]`\n\n{FAULTS_INTRODUCTION}\n\n| key | value | default | meaning |\n|---|---|---|---|\n{rows}",
        keys::FAULTS
    )
}

fn heading(section: &str) -> String {
    let title = match section {
        "" => "Top level".to_owned(),
        "stage" => "`[stage.*]`".to_owned(),
        name => format!("`[{name}]`"),
    };
    let stages = if section == "stage" {
        let names: Vec<String> = Stage::ALL.iter().map(|stage| format!("`{stage}`")).collect();
        format!(" The stages are {}.", names.join(", "))
    } else {
        String::new()
    };
    format!(
        "\n## {title}\n\n{}{stages}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
        introduction(section)
    )
}

fn row(name: &str, key: &Key) -> String {
    let default = match key.default {
        Some(written) => format!("`{}`", key.kind.default_value(written)),
        None => "absent".to_owned(),
    };
    format!(
        "| `{}` | {} | {default} | {} |\n",
        name,
        cell(&range(key.kind)),
        cell(key.doc)
    )
}

/// The legal values, shorter than in an error message.
fn range(kind: Kind) -> String {
    match kind {
        Kind::Duration { min_ms, max_ms } => format!(
            "duration, {} to {}",
            Span::from_millis(min_ms),
            Span::from_millis(max_ms)
        ),
        Kind::Rate { max } => format!("rate, up to {max}/s"),
        Kind::Size { max } => format!("size, up to {}", Size(max)),
        Kind::Share => "share, 0% to 100%".to_owned(),
        Kind::Count { min, max } if max == i64::MAX as u64 => format!("whole number from {min}"),
        Kind::Count { min, max } => format!("whole number, {min} to {max}"),
        Kind::Limit { min, max } => format!("whole number, {min} to {max}, or `\"unlimited\"`"),
        Kind::Flag => "`true` or `false`".to_owned(),
        Kind::Choice(words) => {
            let shown = |word: &&str| match word.parse::<u64>() {
                Ok(number) => format!("`{number}`"),
                Err(_) => format!("`\"{word}\"`"),
            };
            let words: Vec<String> = words.iter().map(shown).collect();
            words.join(", ")
        }
        Kind::Name => "letters, digits, `.`, `_`, `-`; at most 64".to_owned(),
        Kind::ServiceTime => "service time".to_owned(),
        Kind::Bound(unit) => format!("bound: {}", unit.example()),
        Kind::File => "file".to_owned(),
        Kind::Condition => "condition of a queue".to_owned(),
        Kind::Faults => format!("tables, up to {}", keys::FAULTS_MAX),
        Kind::Phases => format!("tables, up to {}, see below", keys::PHASES_MAX),
    }
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
