//! The worker process itself: consumers of one stage, run by the very code that runs them in the driver.
//!
//! It ends when it is told to, when its driver is gone, and when something in it ends that nobody had planned.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::crew::{ProcessTallies, lay_out, slots};
use super::job::{Command, Job};
use super::tell::{Knows, Teller, Word};
use crate::amqp::uri::BrokerUri;
use crate::amqp::{Absence, BlockedPeriod, Connector, Incidents};
use crate::clock::{Clock, Nanos};
use crate::events::Stage;
use crate::ledger::{Afar, Ledger};
use crate::pipeline::AckLog;
use crate::pipeline::consumer::{Ended, StageContext};
use crate::pipeline::order::{Context, Inventory, service};
use crate::pipeline::running::StartError;
use crate::pipeline::staff::{Staff, Staffed};
use crate::pipeline::store::postgres::PostgresAddress;
use crate::pipeline::store::{Store, StoreGround, StoreSite};
use crate::pipeline::strike::{Mark, Strike};
use crate::pipeline::switch::StageSwitch;
use crate::tally::Tallies;
use crate::timer::Timer;
use crate::wire::Wiring;
use crate::wire::topology::Topology;

/// Between two accounts of what the worker costs.
const TICK: Duration = Duration::from_millis(20);
/// Longest wait for consumers to finish when the trial is over; the driver's own patience is a little longer.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Works until told to stop; what it tells goes to standard output, which must be the driver's pipe.
///
/// # Errors
/// Why it could not go on, for people; the driver was told.
pub async fn work() -> Result<(), String> {
    let no_driver = || "a worker is started by `orderstorm run`, not by hand".to_owned();
    let mut orders = orders().map_err(|error| format!("no thread: {error}"))?;
    let first = orders.recv().await.ok_or_else(no_driver)?;
    let job: Job = serde_json::from_str(&first).map_err(|_| no_driver())?;
    let pipe = told().map_err(|error| format!("no way to tell the driver anything: {error}"))?;
    let teller = Arc::new(Teller::new(job.worker, pipe, Knows::AsTold(Mutex::default())));
    let done = match Worker::start(job, &teller).await {
        Ok(worker) => worker.run(orders).await,
        Err(why) => Err(why),
    };
    if let Err(why) = &done {
        teller.word(&Word::Failed(why.clone()));
    }
    teller.flush();
    done
}

/// The lines of standard input. Where it ends the driver is gone, and there is nothing to work for: so does the process,
/// whatever else it does.
fn orders() -> std::io::Result<mpsc::UnboundedReceiver<String>> {
    let (to, orders) = mpsc::unbounded_channel();
    let read = move || {
        let mut job = false;
        for line in std::io::stdin().lines().map_while(Result::ok) {
            job = true;
            // Nobody listens any more as the process ends.
            let _ = to.send(line);
        }
        if job {
            std::process::exit(1);
        }
    };
    std::thread::Builder::new().name("orders".to_owned()).spawn(read)?;
    Ok(orders)
}

/// The pipe to the driver; from now on standard output is standard error, so that nothing else gets into it.
fn told() -> std::io::Result<File> {
    std::io::stdout().flush()?;
    let pipe = std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned()?;
    nix::unistd::dup2_stdout(std::io::stderr())?;
    Ok(pipe.into())
}

struct Worker {
    teller: Arc<Teller>,
    clock: Clock,
    incidents: Arc<Incidents>,
    tallies: ProcessTallies,
    switch: Arc<StageSwitch>,
    inventory: Option<Arc<Inventory>>,
    first_seat: u32,
    staffed: Staffed,
    consumers: JoinSet<Ended>,
    stop: CancellationToken,
    heals: HashMap<u64, CancellationToken>,
    told: Told,
    cpu_ns: u64,
}

/// What the driver knows of the connections.
#[derive(Debug, Default)]
struct Told {
    absences: HashSet<(String, Nanos, bool)>,
    blocks: HashSet<(String, Nanos, bool)>,
}

impl Worker {
    async fn start(job: Job, teller: &Arc<Teller>) -> Result<Self, String> {
        let settings = job.workload.stage(job.stage).clone();
        let shared = Tallies::attach(&job.tallies, slots(&settings));
        let mut shared = shared.map_err(|error| format!("the driver's counters cannot be reached: {error}"))?;
        let (meter, processes) = lay_out(&settings, &mut shared);
        let own = processes.into_iter().nth(job.process as usize);
        let tallies = own.ok_or("a process that its stage does not have")?;
        let clock = Clock::with_origin(job.clock_origin_ns);
        let timer = Timer::start(clock).map_err(|error| format!("no timer: {error}"))?;
        let uri: BrokerUri = job
            .broker
            .parse()
            .map_err(|_| "the broker's address cannot be read".to_owned())?;
        let incidents = Arc::new(Incidents::new(clock));
        let workload = Arc::new(job.workload);
        let mut connector = Connector::new(&uri, Arc::clone(&incidents)).with_client(workload.driver.client);
        if let Some(heartbeat) = workload.recovery.heartbeat {
            connector = connector.with_heartbeat(heartbeat.0.as_secs() as u16);
        }
        // Each worker begins at another node: they all have few connections.
        connector = connector.over(job.ways, usize::from(job.worker) * 2);
        let take_broker_down = workload.faults.take_broker_down();
        let afar = Arc::clone(teller) as Arc<dyn Afar>;
        let wiring = Wiring {
            ledger: Arc::new(Ledger::elsewhere(workload.pipeline, afar)),
            publishes: Arc::clone(&tallies.publishes),
            ..Wiring::new(
                connector,
                Arc::clone(&workload),
                job.seed,
                Topology::new(&job.topology, workload.pipeline),
                &job.ids,
                timer,
            )
        };
        let context = Context {
            seed: job.seed,
            workload,
            ledger: Arc::clone(&wiring.ledger),
        };
        let inventory = Arc::new(Inventory::new(context.clone()));
        let switch = Arc::new(StageSwitch::new(clock, job.seats.len() as u32, job.open));
        let (mut consumers, stop) = (JoinSet::new(), CancellationToken::new());
        let service = service(job.stage, &context, &inventory);
        let ground = StoreGround {
            postgres: (job.postgres.as_deref())
                .map(PostgresAddress::parse)
                .transpose()
                .map_err(|error| error.to_string())?,
            detours: job.detours,
            run: job.run,
            trial: job.trial,
            recovery: context.workload.recovery,
            seed: job.seed,
        };
        let site = StoreSite::of_another(job.site, ground);
        let store = Store::open(job.stage, &settings, &site, meter.store()).map_err(|error| error.to_string())?;
        if let (Stage::Inventory, Some(database)) = (job.stage, store.durable()) {
            let steps = database.steps().await.map_err(|error| error.to_string())?;
            inventory.recover(&steps);
        }
        let staff = Staff {
            stage: job.stage,
            wiring,
            service,
            store,
            meter: Arc::new(meter),
            switch: Arc::clone(&switch),
            seats: job.seats.clone(),
            whose: match job.processes {
                1 => String::new(),
                _ => format!(" process {}", job.process),
            },
            open: job.open,
            finished: None,
            teller: Some(Arc::clone(teller)),
            acks: take_broker_down.then(|| Arc::new(AckLog::told(Arc::clone(teller), job.stage))),
        };
        let staffed = staff.start(&mut consumers, &stop).await;
        let staffed = staffed.map_err(|error: StartError| error.to_string())?;
        Ok(Worker {
            teller: Arc::clone(teller),
            clock,
            incidents,
            tallies,
            switch,
            inventory: (job.stage == Stage::Inventory).then_some(inventory),
            first_seat: job.seats.start,
            staffed,
            consumers,
            stop,
            heals: HashMap::new(),
            told: Told::default(),
            cpu_ns: 0,
        })
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<String>) -> Result<(), String> {
        let mut consuming = self.switch.consuming();
        self.teller.word(&Word::Consuming(*consuming.borrow_and_update()));
        self.teller.word(&Word::Ready);
        let lost = self.incidents.lost_token().clone();
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                Some(order) = orders.recv() => {
                    let command: Command = serde_json::from_str(&order).map_err(|error| format!("`{order}`: {error}"))?;
                    if command == Command::Stop {
                        break;
                    }
                    self.obey(command);
                }
                changed = consuming.changed() => self.say_consuming(changed.is_ok(), &mut consuming),
                Some(ended) = self.consumers.join_next() => {
                    if !matches!(ended, Ok(Ended::Told)) {
                        // With its connection gone, the connection's own word comes a moment later and says more.
                        let _ = tokio::time::timeout(Duration::from_secs(1), lost.cancelled()).await;
                        let unknown = || "a consumer ended that nobody had stopped (it panicked, or the broker cancelled it)".to_owned();
                        return Err(self.incidents.loss().unwrap_or_else(unknown));
                    }
                }
                () = lost.cancelled() => return Err(self.incidents.loss().unwrap_or_default()),
                _ = ticks.tick() => {
                    self.account();
                    if let Some(why) = self.staffed.stage.meter.store().gave_up() {
                        return Err(why.to_owned());
                    }
                }
            }
        }
        self.end().await;
        Ok(())
    }

    fn say_consuming(&self, changed: bool, consuming: &mut watch::Receiver<u32>) {
        if changed {
            self.teller.word(&Word::Consuming(*consuming.borrow_and_update()));
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Strike {
                strike,
                consumer,
                what,
                point,
                restart_after,
            } => {
                let heal = CancellationToken::new();
                self.heals.insert(strike, heal.clone());
                let told = Strike {
                    what,
                    point,
                    restart_after,
                    heal,
                    mark: Mark::told(self.clock, Arc::clone(&self.teller), strike),
                };
                let seats = &self.staffed.strikes;
                let struck: &[mpsc::UnboundedSender<Strike>] = match consumer {
                    None => seats,
                    Some(consumer) => {
                        let at = consumer.saturating_sub(self.first_seat) as usize;
                        seats.get(at..=at).unwrap_or_default()
                    }
                };
                for seat in struck {
                    // A consumer that is gone for good cannot be struck; the mark shows it.
                    let _ = seat.send(told.clone());
                }
            }
            Command::Heal { strike } => {
                if let Some(heal) = self.heals.remove(&strike) {
                    heal.cancel();
                }
            }
            Command::Closed { orders } => self.teller.closed(&orders),
            Command::Open => self.switch.open(),
            Command::Close => self.switch.close(),
            Command::Stop => self.stop.cancel(),
        }
    }

    /// What the worker has cost so far, and what the broker did to its connections.
    fn account(&mut self) {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            let nanos =
                |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000_000 + time.tv_usec() as u64 * 1000;
            let cpu_ns = nanos(usage.user_time()) + nanos(usage.system_time());
            let since = cpu_ns.saturating_sub(std::mem::replace(&mut self.cpu_ns, cpu_ns));
            self.tallies.cpu_ns.fetch_add(since, Ordering::Relaxed);
        }
        if let Some(bytes) = resident_bytes() {
            self.tallies.rss_bytes.store(bytes, Ordering::Relaxed);
        }
        for Absence { connection, start, end } in self.incidents.absences() {
            if self.told.absences.insert((connection.clone(), start, end.is_some())) {
                self.teller.word(&Word::Absent { connection, start, end });
            }
        }
        for period in self.incidents.blocked_periods() {
            let BlockedPeriod {
                connection,
                reason,
                start,
                end,
            } = period;
            if self.told.blocks.insert((connection.clone(), start, end.is_some())) {
                self.teller.word(&Word::Blocked {
                    connection,
                    reason,
                    start,
                    end,
                });
            }
        }
        let StageContext { store, wiring, .. } = &*self.staffed.stage;
        if let Store::Memory(memory) = store {
            self.teller.ask(&memory.doubtful(&wiring.ledger));
        }
        let measured_from = self.tallies.measured_from.load(Ordering::Acquire);
        if measured_from > 0 {
            self.staffed.stage.wiring.window.open(measured_from);
        }
        self.teller.flush();
    }

    /// Stops the consumers. What they hold goes back to its queue.
    async fn end(mut self) {
        self.account();
        self.incidents.closing();
        self.stop.cancel();
        let ending = async { while self.consumers.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, ending).await.is_err() {
            self.consumers.abort_all();
            while self.consumers.join_next().await.is_some() {}
        }
        let Staffed { stage, lines, .. } = self.staffed;
        futures_util::future::join_all(lines.iter().map(|line| line.close())).await;
        // The store goes with it, and writes what it still has to.
        drop(stage);
        if let Some(inventory) = &self.inventory {
            self.teller.book(&inventory.book());
        }
    }
}

/// Resident memory of this process (proc(5), `statm`).
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string(PathBuf::from("/proc/self/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * u64::try_from(page).ok()?)
}
