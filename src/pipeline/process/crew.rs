//! All worker processes of a trial: what they share, what they cost, and their end.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::desk::Desk;
use super::job::Job;
use super::post::{Post, Whom};
use super::tell::{Knows, Teller, Word};
use crate::amqp::PublishMeter;
use crate::clock::Nanos;
use crate::events::Stage;
use crate::ledger::{ItemBook, Ledger};
use crate::orders::OrderNumber;
use crate::pipeline::store::StoreSite;
use crate::pipeline::strike::{Strike, Targets};
use crate::pipeline::switch::StageSwitch;
use crate::pipeline::{AckLog, StageMeter};
use crate::tally::{Tallies, Tally};
use crate::wire::{Peer, Wiring};
use crate::workload::model::{Placement, StageSettings};

/// The driver's own number as a teller.
const DRIVER: u16 = u16::MAX;
/// What the pipe holds before writers wait, bytes.
const PIPE_BYTES: i32 = 1 << 20;

/// Counters of one worker process.
#[derive(Debug)]
pub(super) struct ProcessTallies {
    pub publishes: Arc<PublishMeter>,
    /// Processor time of all processes that had this place, nanoseconds.
    pub cpu_ns: Tally,
    /// From when on what is intended is measured; 0: that is not known yet.
    pub measured_from: Tally,
    /// Resident memory of the one that has it, bytes.
    pub rss_bytes: Tally,
}

/// Slots that the counters of a stage take.
pub(super) fn slots(settings: &StageSettings) -> usize {
    StageMeter::tallies(settings.consumers) + settings.processes as usize * (PublishMeter::TALLIES + 3)
}

/// The counters of a stage and of its processes; worker and driver lay them out by the same calls.
pub(super) fn lay_out(settings: &StageSettings, tallies: &mut Tallies) -> (StageMeter, Vec<ProcessTallies>) {
    let meter = StageMeter::within(settings.consumers, tallies);
    let processes = (0..settings.processes).map(|_| ProcessTallies {
        publishes: Arc::new(PublishMeter::within(tallies)),
        cpu_ns: tallies.tally(),
        measured_from: tallies.tally(),
        rss_bytes: tallies.tally(),
    });
    (meter, processes.collect())
}

/// The consumers of process number `process` of so many.
pub(super) fn share_out(consumers: u32, processes: u32, process: u32) -> Range<u32> {
    let first = |process: u32| (u64::from(consumers) * u64::from(process) / u64::from(processes)) as u32;
    first(process)..first(process + 1)
}

/// What the posts of a crew share.
#[derive(Debug)]
pub(super) struct Common {
    pub wiring: Wiring,
    pub program: PathBuf,
    pub teller: Arc<Teller>,
    /// The pipe's writing end, to be handed to each worker.
    pub told: OwnedFd,
    /// Inventory's stock book, as its worker told it at its end.
    pub book: Mutex<Vec<ItemBook>>,
    /// A worker was killed: what it had committed may stand untold.
    pub killed: AtomicBool,
}

impl Common {
    pub(super) fn book(&self, from: usize, items: &[ItemBook]) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if book.len() < from + items.len() {
            book.resize(from + items.len(), ItemBook::default());
        }
        book[from..from + items.len()].copy_from_slice(items);
    }
}

/// The worker processes of a trial.
#[derive(Debug)]
pub struct Crew {
    common: Arc<Common>,
    ledger: Arc<Ledger>,
    stages: Vec<CrewStage>,
    acks: Vec<Option<Arc<AckLog>>>,
    desk: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct CrewStage {
    stage: Stage,
    meter: Arc<StageMeter>,
    /// The number of the first of its workers.
    first: u16,
    processes: Vec<Arc<ProcessTallies>>,
    tallies: PathBuf,
    words: Vec<mpsc::UnboundedReceiver<Word>>,
}

/// The places of one stage: its posts, and how faults find them.
#[derive(Debug)]
pub(in crate::pipeline) struct StageSeats {
    pub posts: Vec<Post>,
    /// Answers once each worker is ready, or why it is not.
    pub ready: Vec<oneshot::Receiver<Result<(), String>>>,
    pub targets: Targets,
}

impl Crew {
    /// The crew of a trial; absent if all of its stages run in this process. Workers run `program`.
    ///
    /// # Errors
    /// When there is no pipe, no shared memory or no thread to be had.
    pub(in crate::pipeline) fn open(
        wiring: &Wiring,
        finished: Option<mpsc::UnboundedSender<OrderNumber>>,
        program: &Path,
    ) -> io::Result<Option<Self>> {
        let workload = &wiring.workload;
        let stages = workload.pipeline.stages().iter().copied();
        let placed: Vec<Stage> = stages
            .filter(|stage| workload.stage(*stage).placement == Placement::Process)
            .collect();
        if placed.is_empty() {
            return Ok(None);
        }
        let (read_end, write_end) = io::pipe()?;
        let told = OwnedFd::from(write_end);
        // Where the user's limit for pipes is lower, writers wait sooner.
        let _ = nix::fcntl::fcntl(&told, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        let knows = Knows::Ledger(Arc::clone(&wiring.ledger));
        let teller = Arc::new(Teller::new(DRIVER, File::from(told.try_clone()?), knows));
        let mut posts = Vec::new();
        let mut meters: Vec<Option<Arc<StageMeter>>> = Stage::ALL.iter().map(|_| None).collect();
        let log = |stage: &Stage| {
            let logged = placed.contains(stage) && workload.faults.take_broker_down();
            logged.then(Arc::<AckLog>::default)
        };
        let acks: Vec<Option<Arc<AckLog>>> = Stage::ALL.iter().map(log).collect();
        let mut crew = Vec::new();
        for stage in placed {
            let settings = workload.stage(stage);
            let mut tallies = Tallies::shared(slots(settings))?;
            let (meter, processes) = lay_out(settings, &mut tallies);
            let meter = Arc::new(meter);
            meters[stage.index()] = Some(Arc::clone(&meter));
            processes
                .iter()
                .for_each(|process| wiring.publishes.include(&process.publishes));
            let first = posts.len() as u16;
            let (senders, words): (Vec<_>, Vec<_>) = processes.iter().map(|_| mpsc::unbounded_channel()).unzip();
            posts.extend(senders);
            crew.push(CrewStage {
                stage,
                meter,
                first,
                processes: processes.into_iter().map(Arc::new).collect(),
                tallies: tallies.path().unwrap_or_default(),
                words,
            });
        }
        let desk = Desk {
            wiring: wiring.clone(),
            finished,
            meters,
            acks: acks.clone(),
            posts,
            found: HashSet::new(),
        };
        let pipe = File::from(OwnedFd::from(read_end));
        let desk = std::thread::Builder::new()
            .name("workers' desk".to_owned())
            .spawn(move || desk.run(pipe))?;
        let ledger = Ledger::elsewhere(workload.pipeline, Arc::clone(&teller) as Arc<dyn crate::ledger::Afar>);
        Ok(Some(Crew {
            ledger: Arc::new(ledger),
            common: Arc::new(Common {
                wiring: wiring.clone(),
                program: program.to_owned(),
                teller,
                told,
                book: Mutex::default(),
                killed: AtomicBool::default(),
            }),
            stages: crew,
            acks,
            desk: Some(desk),
        }))
    }

    /// What stages in this process tell: it goes the way of the workers' words, or it would overtake them.
    pub(in crate::pipeline) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The stages in processes, and the ledger that books.
    pub(in crate::pipeline) fn booked(&self) -> (Vec<Stage>, Arc<Ledger>) {
        let stages = self.stages.iter().map(|one| one.stage);
        (stages.collect(), Arc::clone(&self.common.wiring.ledger))
    }

    fn stage(&self, stage: Stage) -> Option<&CrewStage> {
        self.stages.iter().find(|one| one.stage == stage)
    }

    /// The counts of a stage that runs in processes.
    pub(in crate::pipeline) fn meter(&self, stage: Stage) -> Option<&Arc<StageMeter>> {
        self.stage(stage).map(|one| &one.meter)
    }

    /// What its stages acknowledge, where a fault takes the broker down.
    pub(in crate::pipeline) fn ack_logs(&self) -> Vec<Arc<AckLog>> {
        self.acks.iter().flatten().cloned().collect()
    }

    /// The posts of a stage that runs in processes; they can be had once. `site`: where its database is.
    pub(in crate::pipeline) fn seats(
        &mut self,
        stage: Stage,
        switch: &Arc<StageSwitch>,
        site: &StoreSite,
    ) -> Option<StageSeats> {
        let common = Arc::clone(&self.common);
        let (wiring, ground) = (&common.wiring, site.ground());
        let settings = wiring.workload.stage(stage).clone();
        let own = self.stages.iter_mut().find(|one| one.stage == stage)?;
        let (mut posts, mut ready) = (Vec::new(), Vec::new());
        let (mut seats, mut processes) = (Vec::new(), Vec::new());
        for (process, words) in (0..settings.processes).zip(own.words.drain(..)) {
            let range = share_out(settings.consumers, settings.processes, process);
            let (strike, strikes) = mpsc::unbounded_channel::<(Whom, Strike)>();
            seats.extend(range.clone().map(|consumer| (consumer, strike.clone())));
            processes.push(strike);
            let (answer, answered) = oneshot::channel();
            ready.push(answered);
            let job = Job {
                worker: own.first + process as u16,
                stage,
                seats: range,
                process,
                processes: settings.processes,
                open: true,
                broker: wiring.connector.address().expose_for_client(),
                workload: (*wiring.workload).clone(),
                seed: wiring.seed,
                topology: wiring.topology.prefix().to_owned(),
                ids: wiring.encoder.ids().prefix().to_owned(),
                clock_origin_ns: wiring.timer.clock().origin(),
                tallies: own.tallies.clone(),
                ways: wiring.connector_of(Peer::Stage(stage)).ways().to_vec(),
                site: site.path().map(Path::to_owned),
                postgres: ground
                    .postgres
                    .as_ref()
                    .map(|address| address.exposed().expose().to_owned()),
                detours: ground.detours.clone(),
                run: ground.run.clone(),
                trial: ground.trial,
            };
            let tallies = Arc::clone(&own.processes[process as usize]);
            posts.push(Post::new(
                Arc::clone(&common),
                job,
                (Arc::clone(&own.meter), tallies),
                Arc::clone(switch),
                (words, strikes),
                answer,
            ));
        }
        Some(StageSeats {
            posts,
            ready,
            targets: Targets::in_processes(seats, processes),
        })
    }

    /// Whether a worker was killed so far.
    pub(in crate::pipeline) fn lost_somebody(&self) -> bool {
        self.common.killed.load(Ordering::Acquire)
    }

    /// What is intended from `start` on is measured.
    pub(in crate::pipeline) fn measures_from(&self, start: Nanos) {
        let processes = self.stages.iter().flat_map(|stage| &stage.processes);
        processes.for_each(|process| process.measured_from.store(start.max(1), Ordering::Release));
    }

    /// What the workers cost so far, handed to those who look while they run.
    pub fn costs(&self) -> Costs {
        let processes = self.stages.iter().flat_map(|stage| stage.processes.iter().cloned());
        Costs(processes.collect())
    }

    /// Reads to the end what was told; nobody may tell anything any more. Returns inventory's stock book, if a worker kept it.
    pub(in crate::pipeline) async fn close(&mut self) -> Option<Vec<ItemBook>> {
        self.finish().await;
        self.stage(Stage::Inventory).map(|_| {
            let mut book = self.common.book.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *book)
        })
    }

    async fn finish(&mut self) {
        let Some(desk) = self.desk.take() else { return };
        self.common.teller.over();
        // A panic in there would have been a defect that the ledger shows.
        let _ = tokio::task::spawn_blocking(move || desk.join()).await;
    }
}

impl Drop for Crew {
    /// A crew that nobody closed: its desk ends all the same.
    fn drop(&mut self) {
        if self.desk.is_some() {
            self.common.teller.over();
        }
    }
}

/// What the worker processes of a trial cost.
#[derive(Debug, Clone, Default)]
pub struct Costs(Vec<Arc<ProcessTallies>>);

impl Costs {
    fn sum(&self, of: fn(&ProcessTallies) -> &Tally) -> u64 {
        self.0.iter().map(|process| of(process).load(Ordering::Relaxed)).sum()
    }

    /// Processor time so far, seconds.
    pub fn cpu_s(&self) -> f64 {
        self.sum(|process| &process.cpu_ns) as f64 / 1e9
    }

    /// Resident memory now, bytes.
    pub fn rss_bytes(&self) -> u64 {
        self.sum(|process| &process.rss_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_consumer_is_in_one_process_and_no_process_is_empty(consumers in 1u32..200, processes in 1u32..64) {
            prop_assume!(processes <= consumers);
            let shares: Vec<Range<u32>> =
                (0..processes).map(|process| share_out(consumers, processes, process)).collect();
            prop_assert!(shares.iter().all(|share| !share.is_empty()));
            let all: Vec<u32> = shares.into_iter().flatten().collect();
            prop_assert_eq!(all, (0..consumers).collect::<Vec<_>>());
        }
    }
}
