//! The driver's own ceiling: the same pipeline and payload at full speed on the embedded broker.
//!
//! A result near its driver's ceiling measured the driver. The ceiling is an estimate from below: the embedded broker takes
//! its share of the same processors.

use std::sync::Arc;

use tokio::sync::watch;

use super::run::{AtEnd, Interrupt, RunError, RunRequest, run};
use super::snapshot::Snapshot;
use crate::broker::{BrokerChoice, StartOptions};
use crate::plan::Plan;
use crate::report::Extent;
use crate::results::record::DriverCeiling;
use crate::units::Span;
use crate::workload::Workload;
use crate::workload::model::{Arrival, BadMessages, Broker, Faults, HandlerErrors, ServiceTime, StoreKind, Until};

/// Orders under way at once; enough to keep every stage busy.
const USERS: u32 = 256;
const WARM_UP: Span = Span::from_secs(1);
const DURATION: Span = Span::from_secs(3);

/// Measures the ceiling for `plan`'s pipeline and payload; takes about five seconds.
///
/// # Errors
/// [`RunError`], as a run of its own.
pub async fn measure_ceiling(plan: &Plan, interrupt: &Interrupt) -> Result<DriverCeiling, RunError> {
    let results = std::env::temp_dir().join(format!("orderstorm-ceiling-{}", std::process::id()));
    let request = RunRequest {
        plan: full_speed(plan),
        choice: BrokerChoice::Embedded,
        start: StartOptions::default(),
        results: results.clone(),
        program: super::own_program(),
        command: String::new(),
        ceiling: None,
        report: Extent::Tables,
        at_end: AtEnd::Delete,
        postgres: None,
        search: None,
    };
    let screen = watch::channel(Snapshot::default()).0;
    let finished = run(request, &screen, interrupt, |_| ()).await;
    // The measured figure is all that is wanted of this run.
    let _ = std::fs::remove_dir_all(&results);
    let record = finished?.record;
    let trial = record.trials.first();
    let orders_per_s = trial.and_then(|trial| trial.rates.goodput_per_s);
    let messages_per_order = trial.and_then(|trial| {
        let orders = trial.orders.published;
        (orders > 0).then(|| (trial.messages.published + trial.messages.delivered) as f64 / orders as f64)
    });
    Ok(DriverCeiling {
        orders_per_s,
        messages_per_s: orders_per_s.zip(messages_per_order).map(|(orders, each)| orders * each),
        users: USERS,
    })
}

/// One trial of the first cell, with nothing to wait for.
fn full_speed(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.cells.truncate(1);
    plan.trials.retain(|trial| trial.cell == 0);
    plan.trials.truncate(1);
    for cell in &mut plan.cells {
        cell.workload = Arc::new(at_full_speed(&cell.workload));
    }
    plan
}

/// The same pipeline with nothing to wait for.
fn at_full_speed(workload: &Workload) -> Workload {
    let mut workload = workload.clone();
    workload.load.arrival = Arrival::Closed {
        users: USERS,
        think_time: Span::ZERO,
    };
    workload.load.until = Until::Duration(DURATION);
    workload.load.warm_up = WARM_UP;
    workload.load.confirm_window = None;
    workload.orders.stock_per_item = None;
    workload.backlog = None;
    workload.faults = Faults::default();
    workload.canary = None;
    workload.broker = Broker::default();
    // The ceiling says nothing about the run's own broker.
    workload.promises.survives_broker_restart = false;
    for stage in &mut workload.stages {
        stage.service_time = ServiceTime::None;
        stage.errors = HandlerErrors::default();
        if stage.store == StoreKind::Postgres {
            // The server's share of the processors is not the driver's.
            stage.store = StoreKind::Sqlite;
        }
    }
    workload.messages = BadMessages::default();
    workload
}
