//! Plausible runs for the tests of reports: made up, but consistent with themselves.

use std::collections::BTreeMap;
use std::path::Path;

use crate::capacity::search;
use crate::events::{Event, PipelineKind, Stage};
use crate::ledger::{EffectCount, Fates, LedgerReport, Observed, StageCounts, StockReport, Trail, Verdict, judge};
use crate::measure::{Recorder, Series, StageSpan, Summary};
use crate::results::SeriesWriter;
use crate::results::capacity::{CapacityEnding, CapacityRecord, CapacitySetting};
use crate::results::record::*;
use crate::rng;
use crate::units::{Rate, Share, Span};
use crate::workload::check::{CheckedCell, Origin, check};
use crate::workload::model::{Prediction, StoreKind};

const LOAD_S: f64 = 60.0;
const WARM_UP_S: f64 = 5.0;
const DRAIN_S: f64 = 4.2;
const RATE: f64 = 500.0;
const ORDERS: u64 = 32_500;
/// When the load of each trial began, in the latency log.
const LOG_BEGAN_S: f64 = 1.25;

fn workload(text: &str) -> CheckedCell {
    check(
        "storm.toml",
        "storm",
        text.to_owned(),
        &["stage.payment.consumers=4".to_owned()],
    )
    .expect("a legal workload")
    .into_first()
}

const SAFE: &str = "# Does the pipeline keep up with 500 orders per second?\n\n[load]\narrival = \"poisson\"\nrate = \"500/s\"\nduration = \"60s\"\nwarm_up = \"5s\"\n";

fn settings(checked: &CheckedCell) -> Vec<SettingRecord> {
    let origin = |origin| match origin {
        Origin::Default => "default",
        Origin::File => "file",
        Origin::CommandLine => "command line",
    };
    let settings = checked.settings.iter().map(|setting| SettingRecord {
        path: setting.path.clone(),
        value: setting.value.clone(),
        origin: origin(setting.origin).to_owned(),
    });
    settings.collect()
}

/// A skewed distribution around `median_ms`, with a tail.
fn summary(series: &str, seed: u64, samples: u64, median_ms: f64) -> Summary {
    let mut recorder = Recorder::default();
    for i in 0..samples {
        let (a, b) = (rng::unit(seed, series, i), rng::unit(seed, "tail", i));
        let skewed = median_ms * (1.4 * (a - 0.5)).exp() * if b > 0.985 { 4.0 + 20.0 * a } else { 1.0 };
        recorder.record((skewed * 1e6) as u64);
    }
    recorder.summary(series.to_owned())
}

fn median_ms(series: Series) -> f64 {
    match series {
        Series::EndToEnd | Series::EndToEndUrgent | Series::EndToEndNormal => 48.0,
        Series::EndToEndFromSend => 46.5,
        Series::SendLag | Series::DriverLag => 0.18,
        Series::ConfirmLatency => 2.4,
        Series::Stage(stage, span) => {
            let weight = 1.0 + stage.index() as f64 * 0.4;
            match span {
                StageSpan::QueueWait => 1.9 * weight,
                StageSpan::BufferWait => 0.2 * weight,
                StageSpan::Service => {
                    if stage == Stage::Payment {
                        8.0
                    } else {
                        0.9
                    }
                }
                StageSpan::Commit => 2.6,
                StageSpan::Emit => 1.4,
            }
        }
    }
}

fn latencies(seed: u64) -> Vec<Summary> {
    let series = Series::all().filter(|series| {
        // Notifications go nowhere from here, so nothing is emitted.
        !matches!(
            series,
            Series::Stage(Stage::Email | Stage::Sms | Stage::Audit, StageSpan::Emit)
        ) && !matches!(series, Series::Stage(stage, StageSpan::Commit) if *stage != Stage::Payment)
    });
    series
        .map(|series| {
            let samples = match series {
                Series::Stage(Stage::Customer, _) => 600,
                Series::Stage(..) => 2_000,
                _ => 12_000,
            };
            summary(&series.to_string(), seed, samples, median_ms(series))
        })
        .collect()
}

fn ledger(fates: Fates) -> LedgerReport {
    let placed = fates.total();
    let effects = PipelineKind::Orders.stages().iter().copied().flat_map(|stage| {
        stage.consumes().iter().map(move |event| EffectCount {
            stage,
            event: *event,
            orders: placed,
            repeated: 0,
        })
    });
    LedgerReport {
        placed,
        confirmed: placed - fates.nacked - fates.returned - fates.unknown,
        nacked: fates.nacked,
        returned: fates.returned,
        unanswered: fates.unknown,
        recovered: 0,
        fates,
        not_audited: 0,
        not_notified: 0,
        unfinished: 0,
        duplicate_effect: 0,
        charged_again: 0,
        captured_cents: fates.completed * 2_499,
        due_cents: fates.completed * 2_499,
        causeless: 0,
        stock: StockReport {
            sold: fates.completed * 3,
            ..StockReport::default()
        },
        effects: effects.collect(),
        stages: PipelineKind::Orders
            .stages()
            .iter()
            .copied()
            .map(|stage| StageCounts {
                stage,
                delivered: placed,
                redelivered: 0,
                suppressed: 0,
                dropped: 0,
            })
            .collect(),
        residual_share: (placed > 0).then_some(0.0004),
        dead_letters: Vec::new(),
        foreign_dead_letters: 0,
        bad_dead_letters: BTreeMap::new(),
        beyond_retry_limit: 0,
        set_aside: 0,
        residue_complete: true,
        dropped_by_broker: None,
        examples: BTreeMap::new(),
    }
}

fn band(name: &str, start_s: f64, end_s: f64) -> Band {
    Band {
        name: name.to_owned(),
        start_s,
        end_s,
    }
}

fn phases() -> Vec<Band> {
    let end = WARM_UP_S + LOAD_S;
    vec![
        band("provision", -2.5, -0.9),
        band("declare", -0.9, 0.0),
        band("warm-up", 0.0, WARM_UP_S),
        band("measure", WARM_UP_S, end),
        band("drain", end, end + DRAIN_S),
        band("verify", end + DRAIN_S, end + DRAIN_S + 0.4),
    ]
}

fn stage_record(stage: Stage) -> StageRecord {
    StageRecord {
        stage,
        consumers: if stage == Stage::Payment { 4 } else { 1 },
        delivered: ORDERS,
        redelivered: 0,
        suppressed: 0,
        refused: 0,
        dropped: 0,
        dropped_as: None,
        delivery_age_ns_max: Some(120_000_000),
        backlog_messages_max: Some(40 + 30 * stage.index() as u64),
        utilisation: Some(0.1 + 0.09 * stage.index() as f64),
        unacked_messages_max: 100,
        unacked_messages_mean: Some(12.5),
        delivery_share_ratio: (stage == Stage::Payment).then_some(1.5),
        delivery_gini: (stage == Stage::Payment).then_some(0.1),
        repeated: 0,
        retry: None,
        store: (stage == Stage::Payment).then_some(StoreRecord {
            kind: StoreKind::Sqlite,
            commits: ORDERS / 4,
            steps: ORDERS,
            errors: 0,
            connections_lost: 0,
            outbox: Some(OutboxRecord {
                unsent_max: 37,
                unsent: 0,
                unroutable: 0,
            }),
        }),
        each_consumer: each_consumer(stage),
    }
}

fn each_consumer(stage: Stage) -> Vec<ConsumerRecord> {
    let shares: &[u64] = if stage == Stage::Payment {
        &[6_500, 6_500, 9_750, 9_750]
    } else {
        &[ORDERS]
    };
    let consumer = |delivered: &u64| ConsumerRecord {
        slow: *delivered == 6_500,
        delivered: *delivered,
        busy_s: *delivered as f64 * 0.001,
        unacked_messages_max: 25,
    };
    shares.iter().map(consumer).collect()
}

/// A backlog of 5,000 messages that cleared in 5.1 s.
pub fn backlog() -> BacklogRecord {
    BacklogRecord {
        stage: Stage::Payment,
        cause: BacklogCause::Outage,
        held_s: 30.0,
        returned_s: Some(40.0),
        arrivals_stopped: Some(false),
        messages: Some(5_000),
        level_messages: Some(40),
        drain_time_s: Some(5.1),
        drain_rate_per_s: Some(1_480.0),
        arrival_rate_per_s: Some(507.5),
        service_rate_per_s: Some(1_500.0),
        ideal_time_s: Some(5.0),
        ratio_to_ideal: Some(1.02),
    }
}

fn trial(checked: &CheckedCell, number: u32) -> TrialRecord {
    let fates = Fates {
        completed: 31_200,
        cancelled_payment_declined: 1_000,
        cancelled_out_of_stock: 300,
        ..Fates::default()
    };
    let ledger = ledger(fates);
    let observed = Observed {
        drained: true,
        prefetch_exceeded: 0,
        left_behind: Some(0),
        ..Observed::default()
    };
    TrialRecord {
        trial: number,
        cell: 0,
        repeat: number,
        seed: 42 + u64::from(number),
        started: "2026-11-21T10:00:00Z".to_owned(),
        log_began_s: Some(LOG_BEGAN_S),
        phases: phases(),
        load_phases: Vec::new(),
        faults: Vec::new(),
        fault_events: Vec::new(),
        lost_connections: Vec::new(),
        blocked: Vec::new(),
        blocked_connections: Vec::new(),
        blocked_s: 0.0,
        orders: OrderCounts {
            planned: Some(ORDERS),
            published: ORDERS,
            unsent: 0,
            measured: 30_011,
        },
        messages: MessageCounts {
            published: 351_000,
            confirmed: 351_000,
            nacked: 0,
            returned: 0,
            delivered: 610_000,
            redelivered: 0,
            malformed: 0,
            not_for_stage: 0,
            acks: 42_000,
            beside: Vec::new(),
        },
        rates: Rates {
            offered_load_per_s: Some(RATE),
            achieved_rate_per_s: Some(499.6),
            goodput_per_s: Some(498.9 - f64::from(number)),
        },
        latencies: latencies(u64::from(number)),
        stages: PipelineKind::Orders
            .stages()
            .iter()
            .copied()
            .map(stage_record)
            .collect(),
        backlog: None,
        drain: DrainRecord {
            drained: true,
            time_s: Some(DRAIN_S),
            deadline_s: 60.0,
        },
        overloads: Vec::new(),
        backlog_messages_max: Some(812),
        backlog_slope_messages_per_s: Some(0.2),
        backlog_slope_low_messages_per_s: Some(-0.4),
        backlog_slope_high_messages_per_s: Some(0.8),
        resources: Resources {
            driver_cpu_s: Some(38.2),
            driver_cpu_share: Some(0.31),
            driver_rss_bytes_max: Some(48 << 20),
            broker_cpu_s: Some(71.0),
            broker_cpu_share: Some(0.55),
            broker_rss_bytes_max: Some(190 << 20),
            broker_message_bytes_max: None,
        },
        validity: Validity {
            valid: true,
            reasons: Vec::new(),
            warnings: Vec::new(),
            checks: Checks::default(),
        },
        promises: judge(&checked.workload, &ledger, &observed),
        ledger,
        verdict: Verdict::Pass,
        aborted: None,
        interrupted: false,
    }
}

fn record(checked: &CheckedCell, trials: Vec<TrialRecord>) -> RunRecord {
    RunRecord {
        schema_version: SCHEMA_VERSION,
        method_version: METHOD_VERSION,
        id: "storm-20261121T100000Z-a1b2c3".to_owned(),
        started: "2026-11-21T10:00:00Z".to_owned(),
        finished: "2026-11-21T10:01:14Z".to_owned(),
        outcome: Outcome {
            verdict: Verdict::Pass,
            exit_code: 0,
            reason: "all promises that the configuration gives were kept in all trials".to_owned(),
        },
        command: "orderstorm run workloads/storm.toml --set stage.payment.consumers=4".to_owned(),
        database: None,
        driver_ceiling: Some(DriverCeiling {
            orders_per_s: Some(2_400.0),
            messages_per_s: Some(108_000.0),
            users: 256,
        }),
        tool: Tool {
            version: "0.1.0".to_owned(),
            client: "lapin 4.12.3".to_owned(),
            build: "release".to_owned(),
        },
        commit: Some(Commit {
            hash: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            branch: Some("main".to_owned()),
            dirty: true,
        }),
        machine: Machine {
            os: "Debian GNU/Linux 12".to_owned(),
            kernel: Some("6.1.0-25-amd64".to_owned()),
            cpu: "AMD EPYC 7B13".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
        },
        broker: BrokerRecord {
            kind: "managed".to_owned(),
            product: "RabbitMQ".to_owned(),
            version: "3.10.8".to_owned(),
            platform: Some("Erlang/OTP 25.2.3".to_owned()),
            address: "amqp://guest:***@127.0.0.1:40001/".to_owned(),
            co_located: true,
            nodes: None,
        },
        name: checked.workload.name.clone(),
        question: checked.workload.question.clone(),
        cells: vec![CellRecord {
            label: String::new(),
            varied: Vec::new(),
            workload: checked.workload.clone(),
            settings: settings(checked),
            objectives: Vec::new(),
        }],
        capacity: None,
        rng: "ChaCha12".to_owned(),
        progress: Progress {
            trials_planned: trials.len() as u32,
            ..Progress::default()
        },
        trials,
    }
}

/// One trial in which all went well.
pub fn pass() -> RunRecord {
    let checked = workload(SAFE);
    let trial = trial(&checked, 1);
    record(&checked, vec![trial])
}

/// Three of them.
pub fn three_trials() -> RunRecord {
    let checked = workload(SAFE);
    let trials = (1..=3).map(|number| trial(&checked, number)).collect();
    record(&checked, trials)
}

/// A capacity search over one, two and four consumers, which carry a hundred orders a second each.
pub fn capacity() -> RunRecord {
    static MADE: std::sync::OnceLock<RunRecord> = std::sync::OnceLock::new();
    MADE.get_or_init(make_capacity).clone()
}

fn make_capacity() -> RunRecord {
    let text = format!("{SAFE}\n[objectives]\nend_to_end_p99 = \"<= 500ms\"\n");
    let checked = workload(&text);
    let mut record = record(&checked, Vec::new());
    (record.name, record.cells) = ("sizing".to_owned(), Vec::new());
    let varied = |dimension: &str, value: String, number: f64| VariedRecord {
        dimension: dimension.to_owned(),
        value,
        number: Some(number),
    };
    let consumers = |n: u32| varied("stage.payment.consumers", n.to_string(), f64::from(n));
    let setting = |n: u32| CapacitySetting {
        label: format!("consumers {n}"),
        varied: vec![consumers(n)],
        start_per_s: Some(80.0 * f64::from(n)),
        low_per_s: None,
        low_confirmed: false,
        high_per_s: None,
        high_confirmed: false,
        driver_per_s: None,
        ending: CapacityEnding::Unfinished,
        rates: Vec::new(),
        breaks: None,
        knee_per_s: None,
        knee_absent_because: None,
    };
    let asked = CapacityRecord {
        objectives: vec!["end_to_end_p99 <= 500ms".to_owned()],
        arrival: "poisson".to_owned(),
        overridden: vec!["load.rate = 500/s: the searched rate instead".to_owned()],
        from_per_s: None,
        to_per_s: None,
        resolution: 0.05,
        repeats: 3,
        curve_rates: 12,
        budget_s: 600.0,
        settings: [1, 2, 4].map(setting).to_vec(),
    };
    let mut model = trial(&checked, 1);
    let read = [
        Series::EndToEnd,
        Series::Stage(Stage::Payment, StageSpan::QueueWait),
        Series::Stage(Stage::Payment, StageSpan::Service),
    ];
    let read = read.map(|series| series.to_string());
    model.latencies.retain(|summary| read.contains(&summary.series));
    let bounds = asked.bounds();
    for (n, setting) in [1, 2, 4].into_iter().zip(&asked.settings) {
        let capacity = 100.0 * f64::from(n);
        let mut answers: Vec<search::Trial> = Vec::new();
        loop {
            let rate = match search::step(&bounds, 80.0 * f64::from(n), &answers) {
                search::Step::Try(rate) => rate,
                search::Step::Done(_) => match search::further(&bounds, &answers, 12) {
                    Some(rate) => rate,
                    None => break,
                },
            };
            let number = record.trials.len() as u32 + 1;
            let trial = at_load(&model, number, rate, capacity);
            let answer = crate::results::capacity::answer(&checked.workload, &trial).0;
            answers.push(search::Trial { rate, answer });
            let dimensions = vec![
                varied("load.rate", format!("{rate}/s"), rate),
                setting.varied[0].clone(),
            ];
            let cell = match record.cells.iter().position(|cell| cell.varied == dimensions) {
                Some(cell) => cell,
                None => {
                    record.cells.push(CellRecord {
                        label: format!("{} · rate {rate}/s", setting.label),
                        varied: dimensions,
                        workload: checked.workload.clone(),
                        settings: settings(&checked),
                        objectives: Vec::new(),
                    });
                    record.cells.len() - 1
                }
            };
            record.trials.push(TrialRecord {
                cell: cell as u32,
                repeat: 1,
                ..trial
            });
        }
    }
    record.progress.trials_planned = record.trials.len() as u32;
    record.capacity = Some(asked);
    crate::results::capacity::judge(&mut record);
    record
}

/// A trial at a rate of a pipeline that carries `capacity`.
fn at_load(model: &TrialRecord, number: u32, rate: f64, capacity: f64) -> TrialRecord {
    let mut trial = TrialRecord {
        trial: number,
        ..model.clone()
    };
    let load = (rate / capacity).min(1.0);
    // Steep enough that the least step beyond the capacity is told.
    let growth = 5.0 * (rate - capacity).max(0.0);
    trial.rates = Rates {
        offered_load_per_s: Some(rate),
        achieved_rate_per_s: Some(rate * 0.999),
        goodput_per_s: Some(rate.min(capacity)),
    };
    trial.backlog_slope_messages_per_s = Some(growth);
    trial.backlog_slope_low_messages_per_s = Some(growth * 0.9 - 0.05);
    trial.backlog_slope_high_messages_per_s = Some(growth * 1.1 + 0.05);
    let waited = 1.0 / (1.1 - load) + growth * 40.0;
    for one in &mut trial.latencies {
        if one.series == Series::EndToEnd.to_string() {
            *one = summary(&one.series.clone(), u64::from(number), 1_100, 5.0 + waited);
        }
        if one.series == Series::Stage(Stage::Payment, StageSpan::QueueWait).to_string() {
            *one = summary(&one.series.clone(), u64::from(number), 1_100, waited);
        }
    }
    for stage in &mut trial.stages {
        let share = if stage.stage == Stage::Payment {
            load
        } else {
            load * 0.4
        };
        stage.utilisation = Some(share);
    }
    trial
}

/// A dimension of a made-up matrix: its key, and its values with their numbers.
pub type Varied<'a> = (&'a str, &'a [(&'a str, Option<f64>)]);

/// The usual sweep: prefetch, unlimited among it and not in order, by consumers.
pub const PREFETCH_BY_CONSUMERS: [Varied<'_>; 2] = [
    (
        "stage.payment.prefetch",
        &[
            ("1", Some(1.0)),
            ("100", Some(100.0)),
            ("10", Some(10.0)),
            ("unlimited", None),
            ("1000", Some(1_000.0)),
        ],
    ),
    ("stage.payment.consumers", &[("1", Some(1.0)), ("4", Some(4.0))]),
];

/// A run over the cross product of `dimensions`: prefetch and consumers have the effect that they have in life, other
/// dimensions a small one by their place; noise is some 2 %. The rounds are interleaved.
pub fn matrix(dimensions: &[Varied<'_>], repeats: u32) -> RunRecord {
    let checked = workload(SAFE);
    let mut places: Vec<Vec<usize>> = vec![Vec::new()];
    for (_, values) in dimensions {
        let longer = |place: &Vec<usize>| -> Vec<Vec<usize>> {
            (0..values.len()).map(|at| [place.as_slice(), &[at]].concat()).collect()
        };
        places = places.iter().flat_map(longer).collect();
    }
    let mut record = record(&checked, Vec::new());
    record.name = "prefetch-sweep".to_owned();
    record.question = "Which prefetch is enough?".to_owned();
    record.cells = places
        .iter()
        .map(|place| matrix_cell(&checked, dimensions, place))
        .collect();
    let mut model = trial(&checked, 1);
    let urgent = [Series::EndToEndUrgent, Series::EndToEndNormal].map(|series| series.to_string());
    model.latencies.retain(|summary| !urgent.contains(&summary.series));
    for repeat in 1..=repeats {
        for (cell, place) in places.iter().enumerate() {
            let number = record.trials.len() as u32 + 1;
            let mut trial = TrialRecord {
                trial: number,
                cell: cell as u32,
                repeat,
                seed: 42 + u64::from(repeat),
                ..model.clone()
            };
            let varied = record.cells[cell].varied.clone();
            matrix_figures(&mut trial, &varied, place);
            record.trials.push(trial);
        }
    }
    record.progress.trials_planned = record.trials.len() as u32;
    record
}

fn matrix_cell(checked: &CheckedCell, dimensions: &[Varied<'_>], place: &[usize]) -> CellRecord {
    let varied: Vec<VariedRecord> = dimensions
        .iter()
        .zip(place)
        .map(|((name, values), at)| VariedRecord {
            dimension: (*name).to_owned(),
            value: values[*at].0.to_owned(),
            number: values[*at].1,
        })
        .collect();
    let label = varied.iter().map(|varied| {
        let name = varied.dimension.rsplit('.').next().unwrap_or_default();
        format!("{name} {}", varied.value)
    });
    let mut settings = settings(checked);
    for varied in &varied {
        for setting in settings.iter_mut().filter(|setting| setting.path == varied.dimension) {
            (setting.value, setting.origin) = (varied.value.clone(), "file".to_owned());
        }
    }
    CellRecord {
        label: label.collect::<Vec<_>>().join(", "),
        varied,
        workload: checked.workload.clone(),
        settings,
        objectives: Vec::new(),
    }
}

/// Gives a trial the figures of its cell.
fn matrix_figures(trial: &mut TrialRecord, varied: &[VariedRecord], place: &[usize]) {
    let number = |name: &str, otherwise: f64| {
        let known = varied.iter().find(|varied| varied.dimension.ends_with(name));
        known.map_or(otherwise, |varied| varied.number.unwrap_or(1e4))
    };
    let (prefetch, consumers) = (number("prefetch", 100.0), number("consumers", 4.0));
    let words: usize = varied
        .iter()
        .zip(place)
        .filter(|(varied, _)| varied.number.is_none())
        .map(|(_, at)| at)
        .sum();
    let noise = |name: &str| 0.98 + 0.04 * rng::unit(u64::from(trial.trial), name, 1);
    let capacity = consumers * 160.0 * prefetch / (prefetch + 1.5) * (1.0 + 0.02 * words as f64);
    let goodput = capacity.min(RATE) * noise("goodput");
    let load = RATE / capacity;
    let slow = (1.0 + 3.0 * (load - 0.6).max(0.0)).powi(3) * (1.0 + prefetch / 2_000.0) * noise("latency");
    trial.rates.goodput_per_s = Some(goodput);
    for summary in &mut trial.latencies {
        let quantiles = [&mut summary.p50, &mut summary.p90, &mut summary.p99, &mut summary.p999];
        for quantile in quantiles.into_iter().flatten() {
            quantile.ns = (quantile.ns as f64 * slow) as u64;
        }
    }
    let backlog = (800.0 * noise("backlog") + LOAD_S * (RATE - goodput).max(0.0)) as u64;
    trial.backlog_messages_max = Some(backlog);
    trial.drain.time_s = Some(0.4 + backlog as f64 / capacity);
    trial.messages.redelivered = trial.seed % 2 * 40 / consumers as u64;
    trial.resources.driver_cpu_s = Some(30.0 * noise("cpu") + 40.0 / (1.0 + prefetch));
    trial.resources.broker_rss_bytes_max = Some((150 << 20) + backlog * 900);
}

/// Against the built-in broker, in a debug build.
pub fn embedded() -> RunRecord {
    let mut record = pass();
    record.broker = BrokerRecord {
        kind: "embedded".to_owned(),
        product: "orderstorm embedded".to_owned(),
        version: "0.1.0".to_owned(),
        platform: None,
        address: "amqp://127.0.0.1:40001/".to_owned(),
        co_located: true,
        nodes: None,
    };
    record.tool.build = "debug".to_owned();
    record
}

fn trails(orders: std::ops::Range<u64>, missing: &str) -> Vec<Trail> {
    orders
        .map(|n| Trail {
            order: 1_000 + n * 37,
            publish: "confirmed".to_owned(),
            events: vec![Event::OrderCreated, Event::InventoryReserved],
            missing: vec![missing.to_owned()],
        })
        .collect()
}

/// Orders lost and charged twice, an unfinished drain, faults, a blocked connection, a driver that did not keep up, and
/// promises that the configuration does not give.
pub fn failed() -> RunRecord {
    let checked = workload(&format!("{SAFE}[stage.audit]\nack = \"auto\"\n"));
    let mut trial = trial(&checked, 1);
    let fates = Fates {
        completed: 30_000,
        cancelled_payment_declined: 900,
        dead_lettered: 12,
        still_queued: 1_500,
        lost: 40,
        nacked: 3,
        returned: 2,
        unknown: 43,
        ..Fates::default()
    };
    let mut ledger = ledger(fates);
    (ledger.duplicate_effect, ledger.charged_again, ledger.not_audited) = (7, 7, 18);
    ledger.captured_cents += 7 * 2_499;
    ledger.dead_letters = vec![
        ("orderstorm.payment.dead".to_owned(), Some("rejected".to_owned()), 11),
        ("orderstorm.audit.dead".to_owned(), None, 1),
    ];
    ledger.examples = BTreeMap::from([
        ("lost".to_owned(), trails(0..10, "payment: inventory.reserved")),
        ("charged_again".to_owned(), trails(3..6, "shipping: payment.success")),
        ("not_audited".to_owned(), trails(6..8, "audit: order.paid")),
    ]);
    let observed = Observed {
        drained: false,
        prefetch_exceeded: 0,
        left_behind: Some(0),
        ..Observed::default()
    };
    trial.promises = judge(&checked.workload, &ledger, &observed);
    trial.ledger = ledger;
    trial.verdict = Verdict::Fail;
    trial.faults = vec![band("broker pause", 30.0, 34.0)];
    trial.overloads = vec![OverloadRecord {
        stage: Stage::Payment,
        capacity_per_s: 400.0,
        begins_s: 35.0,
        peak_s: 45.0,
        backlog_orders_predicted: 1_000.0,
        backlog_messages_max: Some(1_012),
        clear_time_predicted_s: 10.0,
        clear_time_s: Some(10.4),
        finished_per_s: Some(398.0),
    }];
    trial.backlog = Some(backlog());
    let phase = |name, start_s, end_s, orders_sent| LoadPhaseRecord {
        band: band(name, start_s, end_s),
        orders_offered: orders_sent + 20,
        orders_sent,
    };
    trial.load_phases = vec![phase("calm", 0.0, 35.0, 17_480), phase("storm", 35.0, 65.0, 14_980)];
    trial.blocked = vec![
        band("blocked", 40.0, 40.6),
        band("blocked", 41.0, 41.2),
        band("blocked", 42.0, 43.0),
    ];
    trial.drain = DrainRecord {
        drained: false,
        time_s: None,
        deadline_s: 60.0,
    };
    trial.validity = Validity {
        valid: false,
        reasons: vec!["send lag p99 is 14.2 ms, above the 4.8 ms that 10 % of end-to-end p99 allow".to_owned()],
        warnings: vec!["noisy host: other processes used 12 % of the machine".to_owned()],
        checks: Checks::default(),
    };
    let mut record = record(&checked, vec![trial]);
    record.outcome = Outcome {
        verdict: Verdict::Fail,
        exit_code: 3,
        reason: "nothing_lost: 40 of 32452 confirmed orders lost".to_owned(),
    };
    record
}

/// Interrupted before the first order.
pub fn no_data() -> RunRecord {
    let checked = workload(SAFE);
    let mut trial = trial(&checked, 1);
    trial.ledger = ledger(Fates::default());
    trial.ledger.residue_complete = false;
    trial.promises = judge(&checked.workload, &trial.ledger, &Observed::default());
    trial.verdict = Verdict::Unknown;
    trial.phases = Vec::new();
    trial.latencies = Vec::new();
    trial.stages = Vec::new();
    trial.orders = OrderCounts {
        planned: None,
        published: 0,
        unsent: 0,
        measured: 0,
    };
    trial.rates = Rates {
        offered_load_per_s: None,
        achieved_rate_per_s: None,
        goodput_per_s: None,
    };
    trial.drain = DrainRecord {
        drained: false,
        time_s: None,
        deadline_s: 60.0,
    };
    trial.backlog_messages_max = None;
    trial.resources = Resources {
        driver_cpu_s: Some(0.1),
        driver_cpu_share: None,
        driver_rss_bytes_max: None,
        broker_cpu_s: None,
        broker_cpu_share: None,
        broker_rss_bytes_max: None,
        broker_message_bytes_max: None,
    };
    trial.aborted = Some("interrupted by Ctrl-C".to_owned());
    let mut record = record(&checked, vec![trial]);
    record.outcome = Outcome {
        verdict: Verdict::Unknown,
        exit_code: 130,
        reason: "interrupted by Ctrl-C".to_owned(),
    };
    record.commit = None;
    record
}

/// What every foreign text of [`hostile`] carries.
pub const HOSTILE: &str = "=cmd()<script>alert(1)</script>\u{1b}[31m\"'&\u{7}\u{202e}]]>";

/// A broker, a machine and a queue that mean harm.
pub fn hostile() -> RunRecord {
    let mut record = failed();
    let bad = || HOSTILE.to_owned();
    record.broker.product = bad();
    record.broker.version = bad();
    record.broker.platform = Some(bad());
    record.broker.address = bad();
    record.machine.cpu = bad();
    record.machine.os = bad();
    record.command = bad();
    record.id = bad();
    record.outcome.reason = bad();
    record.name = bad();
    record.question = bad();
    record.commit = Some(Commit {
        hash: bad(),
        branch: Some(bad()),
        dirty: false,
    });
    record.cells[0].settings.push(SettingRecord {
        path: bad(),
        value: bad(),
        origin: bad(),
    });
    let trial = &mut record.trials[0];
    trial.ledger.dead_letters.push((bad(), Some(bad()), 1));
    trial.validity.reasons.push(bad());
    trial.validity.warnings.push(bad());
    trial.faults.push(band(HOSTILE, 50.0, 52.0));
    trial.promises[0].finding = bad();
    trial.promises[0].statement = bad();
    trial.aborted = Some(bad());
    for trails in trial.ledger.examples.values_mut() {
        trails[0].missing = vec![bad()];
        trails[0].publish = bad();
    }
    record
}

/// The names of the series that a sample of an order pipeline has.
pub fn series_names() -> Vec<String> {
    let record = pass();
    let mut names = Vec::new();
    sample_row(&record.trials[0], 1.0, &mut |name: &str, _| names.push(name.to_owned()));
    names
}

/// Writes the `series.csv` that belongs to `record`; no rows for trials without orders.
pub fn write_series(record: &RunRecord, path: &Path) {
    let mut writer = SeriesWriter::create(path).expect("created");
    for trial in record.trials.iter().filter(|trial| trial.orders.published > 0) {
        for sample in 0..140_u32 {
            let time_s = f64::from(sample) * 0.5;
            let mut put =
                |series: &str, value: f64| writer.append(trial.trial, time_s, series, value).expect("written");
            sample_row(trial, time_s, &mut put);
        }
    }
    writer.flush().expect("flushed");
}

fn sample_row(trial: &TrialRecord, time_s: f64, put: &mut impl FnMut(&str, f64)) {
    let noise = |name: &str| rng::unit(trial.seed, name, (time_s * 2.0) as u64);
    let loading = time_s < WARM_UP_S + LOAD_S;
    let paused = trial
        .faults
        .iter()
        .any(|fault| (fault.start_s..fault.end_s).contains(&time_s));
    let healed = trial
        .faults
        .iter()
        .any(|fault| (fault.end_s..fault.end_s + 8.0).contains(&time_s));
    put("offered_load_per_s", if loading { RATE } else { 0.0 });
    if loading {
        put("achieved_rate_per_s", RATE + 40.0 * (noise("achieved") - 0.5));
    }
    let goodput = match (loading, paused, healed) {
        (_, true, _) => 0.0,
        (true, _, true) => 740.0,
        (true, ..) => RATE,
        (false, ..) => RATE * (1.0 - (time_s - LOAD_S - WARM_UP_S) / 5.0).max(0.0),
    };
    put("goodput_per_s", goodput * (0.96 + 0.08 * noise("goodput")));
    let surge = match (paused, healed) {
        (true, _) => 1_800.0,
        (_, true) => 900.0,
        _ => 0.0,
    };
    for stage in PipelineKind::Orders.stages().iter().copied() {
        let weight = (9 - stage.index()) as f64;
        let ready =
            (noise(stage.name()) * 20.0 * weight + if stage == Stage::Payment { surge } else { surge / 9.0 }).round();
        put(&format!("backlog_messages.{stage}.ready"), ready);
        put(
            &format!("backlog_messages.{stage}.unacked"),
            (noise("unacked") * 16.0).round(),
        );
    }
    put("dead_letters_messages", 0.0);
    put("driver_cpu_share", 0.28 + 0.08 * noise("cpu"));
    put("driver_rss_bytes", (40.0 + time_s / 10.0) * 1_048_576.0);
    put(
        "broker_cpu_share",
        if paused { 0.0 } else { 0.5 + 0.1 * noise("broker") },
    );
    put("broker_rss_bytes", (150.0 + surge / 40.0) * 1_048_576.0);
    if !paused {
        let slow = if healed { 60.0 } else { 1.0 };
        put("end_to_end_ns_p50", slow * 48e6 * (0.9 + 0.2 * noise("p50")));
        put("end_to_end_ns_p99", slow * 190e6 * (0.7 + 0.6 * noise("p99")));
    }
}

/// A run folder as the conductor leaves it.
pub fn folder(record: &RunRecord) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let json = serde_json::to_vec_pretty(record).expect("a record is JSON");
    std::fs::write(folder.path().join("run.json"), json).expect("written");
    write_series(record, &folder.path().join("series.csv"));
    folder
}

/// [`failed`], of a workload that a plan foretold something of.
pub(crate) fn foretold() -> RunRecord {
    let mut record = failed();
    let workload = &mut record.cells[0].workload;
    workload.prediction = Prediction {
        sustainable_rate: Some(Rate(400.0)),
        drain_time: Some(Span::from_secs(10)),
        backlog_max: Some(1_000),
        end_to_end_p99: None,
    };
    let payment = workload.pipeline.position(Stage::Payment).expect("a stage of orders");
    workload.stages[payment].predicted_utilisation = Some(Share(0.8));
    record
}

/// A work queue at these rates, jobs of 10 ms on 2 workers: utilisation and waits as the model would have them, 5 % longer.
pub(crate) fn rates(rates: &[f64]) -> RunRecord {
    let model = pass().trials.remove(0);
    let mut record = pass();
    (record.cells, record.trials) = (Vec::new(), Vec::new());
    record.name = "jobs".to_owned();
    for (position, rate) in rates.iter().enumerate() {
        let text = format!(
            "# Jobs?\npipeline = \"work-queue\"\n[load]\narrival = \"poisson\"\nrate = \"{rate}/s\"\n[stage.worker]\nconsumers = 2\nprefetch = 1\nservice_time = \"10ms\"\n"
        );
        let checked = check("jobs.toml", "jobs", text, &[])
            .expect("a legal workload")
            .into_first();
        record.cells.push(CellRecord {
            label: format!("rate {rate}/s"),
            varied: Vec::new(),
            settings: settings(&checked),
            objectives: Vec::new(),
            workload: checked.workload,
        });
        record.trials.push(at_rate(&model, position, *rate));
    }
    record.progress.trials_planned = rates.len() as u32;
    record
}

fn at_rate(model: &TrialRecord, position: usize, rate: f64) -> TrialRecord {
    let station = crate::queueing::Station {
        servers: 2,
        arrival_per_s: rate,
        arrival_scv: 1.0,
        service_s: 0.01,
        service_scv: 0.0,
    };
    let wait = station.wait().expect("it keeps up");
    let (wait_s, p99_s) = (wait.mean_s * 1.05, wait.quantile_s(0.99) + 0.010_4);
    let constant = |series: Series, s: f64| {
        let mut recorder = Recorder::default();
        (0..2_000).for_each(|_| recorder.record((s * 1e9) as u64));
        let mut summary = recorder.summary(series.to_string());
        // The mean without the histogram's rounding.
        summary.mean_ns = Some(s * 1e9);
        summary
    };
    let span = |span| Series::Stage(Stage::Worker, span);
    let mut queue_wait = constant(span(StageSpan::QueueWait), 0.000_2);
    queue_wait.mean_ns = Some((0.000_2 + wait_s) * 1e9);
    let mut trial = model.clone();
    (trial.trial, trial.cell, trial.repeat) = (position as u32 + 1, position as u32, 1);
    trial.rates = Rates {
        offered_load_per_s: Some(rate),
        achieved_rate_per_s: Some(rate),
        goodput_per_s: Some(rate),
    };
    trial.latencies = vec![
        constant(Series::EndToEnd, p99_s),
        constant(Series::SendLag, 0.000_1),
        queue_wait,
        constant(span(StageSpan::BufferWait), 0.000_002),
        constant(span(StageSpan::Service), 0.010_1),
    ];
    let mut worker = trial.stages[0].clone();
    worker.stage = Stage::Worker;
    worker.consumers = 2;
    worker.delivered = trial.orders.published;
    worker.utilisation = Some(rate * 0.010_1 / 2.0);
    trial.stages = vec![worker];
    trial.ledger.effects = vec![EffectCount {
        stage: Stage::Worker,
        event: Event::JobQueued,
        orders: trial.orders.published,
        repeated: 0,
    }];
    trial.messages.published = trial.orders.published;
    trial.messages.delivered = trial.orders.published;
    trial
}
