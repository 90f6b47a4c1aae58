//! One worker's post: it starts the process, hands commands on, does to it what faults do to processes, and starts it
//! again. Whoever dies with nobody having planned it ends the trial.

use std::collections::HashMap;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::crew::{Common, ProcessTallies};
use super::job::{Command, Job};
use super::nursery;
use super::tell::Word;
use crate::amqp::{Absence, BlockedPeriod};
use crate::clock::Nanos;
use crate::pipeline::StageMeter;
use crate::pipeline::consumer::Ended;
use crate::pipeline::strike::Strike;
use crate::pipeline::switch::StageSwitch;
use crate::workload::model::FaultKind;

/// Longest wait for a worker that was told to end, before it is killed; the pipeline's own patience is a little longer.
const STOP_PATIENCE_NS: Nanos = 4_000_000_000;

/// Whom of a process a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Whom {
    /// One of its consumers, by its number in the stage.
    Consumer(u32),
    /// The process.
    Process,
}

/// One worker's post.
#[derive(Debug)]
pub(in crate::pipeline) struct Post {
    common: Arc<Common>,
    job: Job,
    meter: Arc<StageMeter>,
    tallies: Arc<ProcessTallies>,
    switch: Arc<StageSwitch>,
    words: mpsc::UnboundedReceiver<Word>,
    strikes: mpsc::UnboundedReceiver<(Whom, Strike)>,
    ready: Option<oneshot::Sender<Result<(), String>>>,
    /// Strikes that the worker knows of, by their number.
    known: HashMap<u64, Known>,
    next_strike: u64,
    /// Struck with the process that died, and healed when the next one works.
    away: Vec<Strike>,
    /// Times at which the worker's connections were gone or blocked, and are still.
    absent: HashMap<(String, Nanos), Absence>,
    blocked: HashMap<(String, Nanos), BlockedPeriod>,
}

#[derive(Debug)]
struct Known {
    whom: Whom,
    strike: Strike,
    bit: bool,
}

/// How a worker's life ended.
#[derive(Debug)]
enum Death {
    /// It was told to end.
    Told,
    /// A fault killed it.
    Planned(Strike),
    /// Nobody had planned it.
    Unplanned(String),
}

/// A process under way.
#[derive(Debug)]
struct Life {
    child: Child,
    commands: mpsc::UnboundedSender<Command>,
    consuming: u32,
    works: bool,
    /// The fault that kills it.
    killed_by: Option<Strike>,
    /// Stopped until then, by that fault.
    stopped: Option<(Nanos, Strike)>,
    /// Told to end; when the patience with it is over.
    ending: Option<Nanos>,
    failure: Option<String>,
}

impl Life {
    fn signal(&self, signal: Signal) {
        // It is collected by this post alone, so its number is nobody else's; one that has ended needs no signal.
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn tell(&self, command: Command) {
        // One that is gone is noticed by its end.
        let _ = self.commands.send(command);
    }

    fn go_on(&mut self) {
        if let Some((_, strike)) = self.stopped.take() {
            self.signal(Signal::SIGCONT);
            strike.healed();
        }
    }
}

impl Post {
    pub(super) fn new(
        common: Arc<Common>,
        job: Job,
        (meter, tallies): (Arc<StageMeter>, Arc<ProcessTallies>),
        switch: Arc<StageSwitch>,
        (words, strikes): (mpsc::UnboundedReceiver<Word>, mpsc::UnboundedReceiver<(Whom, Strike)>),
        ready: oneshot::Sender<Result<(), String>>,
    ) -> Self {
        Post {
            common,
            job,
            meter,
            tallies,
            switch,
            words,
            strikes,
            ready: Some(ready),
            known: HashMap::new(),
            next_strike: 0,
            away: Vec::new(),
            absent: HashMap::new(),
            blocked: HashMap::new(),
        }
    }

    fn name(&self) -> String {
        format!("worker process {} of the {} stage", self.job.process, self.job.stage)
    }

    fn now(&self) -> Nanos {
        self.common.wiring.timer.clock().now()
    }

    /// Keeps a worker at work until told to stop.
    pub(in crate::pipeline) async fn keep(mut self, stop: CancellationToken) -> Ended {
        loop {
            let death = match self.live(&stop).await {
                Ok(death) => death,
                Err(error) => Death::Unplanned(format!("cannot be started: {error}")),
            };
            match death {
                Death::Told => return Ended::Told,
                Death::Unplanned(why) => {
                    let why = format!("{}: {why}", self.name());
                    if let Some(ready) = self.ready.take() {
                        // Nobody waits any more for one that starts.
                        let _ = ready.send(Err(why));
                    } else {
                        self.common.wiring.connector.incidents().end(why);
                    }
                    return Ended::Untold;
                }
                Death::Planned(strike) => {
                    self.common.killed.store(true, Ordering::Release);
                    let timer = &self.common.wiring.timer;
                    let back_at = timer.clock().now() + strike.restart_after;
                    tokio::select! {
                        () = timer.sleep_until(back_at) => {}
                        () = strike.heal.cancelled() => {}
                        () = stop.cancelled() => return Ended::Told,
                    }
                    self.away.push(strike);
                }
            }
        }
    }

    /// One process, from its start to its end.
    async fn live(&mut self, stop: &CancellationToken) -> io::Result<Death> {
        let mut life = self.begin().await?;
        let (timer, switch) = (self.common.wiring.timer.clone(), Arc::clone(&self.switch));
        let mut open = self.job.open;
        let status = loop {
            let stopped_until = life.stopped.as_ref().map(|(until, _)| *until);
            let revoked = life.stopped.as_ref().map(|(_, strike)| strike.heal.clone());
            tokio::select! {
                // Words first: what was said before the end is heard before it.
                biased;
                Some(word) = self.words.recv() => self.hear(word, &mut life),
                status = life.child.wait() => break status?,
                Some((whom, strike)) = self.strikes.recv() => self.struck(whom, strike, &mut life),
                () = switch.is(!open) => {
                    open = !open;
                    life.tell(if open { Command::Open } else { Command::Close });
                }
                () = timer.sleep_until(stopped_until.unwrap_or_default()), if stopped_until.is_some() => life.go_on(),
                () = async { if let Some(heal) = &revoked { heal.cancelled().await } }, if revoked.is_some() => life.go_on(),
                () = stop.cancelled(), if life.ending.is_none() => {
                    life.go_on();
                    life.tell(Command::Stop);
                    life.ending = Some(self.now() + STOP_PATIENCE_NS);
                }
                () = timer.sleep_until(life.ending.unwrap_or_default()), if life.ending.is_some() => {
                    life.signal(Signal::SIGKILL);
                    life.ending = Some(self.now() + STOP_PATIENCE_NS);
                }
            }
        };
        self.bury(&mut life).await;
        Ok(self.cause(life, status))
    }

    /// Starts the process and tells it its job, and of the faults that wait for it.
    async fn begin(&mut self) -> io::Result<Life> {
        self.job.open = self.switch.is_open();
        let told = self.common.told.try_clone()?;
        let mut child = nursery::start(&self.common.program, told).await?;
        let (commands, waiting) = mpsc::unbounded_channel();
        let orders = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        tokio::spawn(dictate(orders, line(&self.job), waiting));
        let life = Life {
            child,
            commands,
            consuming: 0,
            works: false,
            killed_by: None,
            stopped: None,
            ending: None,
            failure: None,
        };
        let still_armed: Vec<u64> = self.known.keys().copied().collect();
        for strike in still_armed {
            self.arm(strike, &life);
        }
        Ok(life)
    }

    /// Tells the worker of a strike, and of its heal when it comes.
    fn arm(&self, number: u64, life: &Life) {
        let Some(Known { whom, strike, .. }) = self.known.get(&number) else {
            return;
        };
        life.tell(Command::Strike {
            strike: number,
            consumer: match whom {
                Whom::Consumer(consumer) => Some(*consumer),
                Whom::Process => None,
            },
            what: strike.what,
            point: strike.point,
            restart_after: strike.restart_after,
        });
        let (heal, commands) = (strike.heal.clone(), life.commands.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = heal.cancelled() => {
                    // One that is gone needs no heal.
                    let _ = commands.send(Command::Heal { strike: number });
                }
                () = commands.closed() => {}
            }
        });
    }

    fn struck(&mut self, whom: Whom, strike: Strike, life: &mut Life) {
        if strike.heal.is_cancelled() || life.ending.is_some() {
            return;
        }
        match strike.what {
            FaultKind::Sigkill if strike.point.is_none() => {
                strike.bit();
                life.signal(Signal::SIGKILL);
                // Struck twice, it dies once; both are healed when it is back.
                self.away.extend(life.killed_by.replace(strike));
            }
            FaultKind::Sigstop(lasts) => {
                strike.bit();
                life.signal(Signal::SIGSTOP);
                let until = self.now() + lasts.as_nanos();
                if let Some((before, earlier)) = life.stopped.replace((until, strike)) {
                    earlier.healed();
                    if let Some((until, _)) = &mut life.stopped {
                        *until = before.max(*until);
                    }
                }
            }
            _ => {
                let number = self.next_strike;
                self.next_strike += 1;
                let bit = false;
                self.known.insert(number, Known { whom, strike, bit });
                self.arm(number, life);
            }
        }
    }

    fn hear(&mut self, word: Word, life: &mut Life) {
        match word {
            Word::Ready => {
                life.works = true;
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send(Ok(()));
                }
                self.back(life);
            }
            Word::Consuming(consumers) => {
                self.consume(consumers, life);
                self.back(life);
            }
            Word::Bit { strike, at } => {
                let Some(known) = self.known.get_mut(&strike) else {
                    return;
                };
                known.bit = true;
                known.strike.bit_at(at);
                if known.strike.what == FaultKind::Sigkill
                    && let Some(known) = self.known.remove(&strike)
                {
                    self.away.extend(life.killed_by.replace(known.strike));
                }
            }
            Word::Healed { strike, at } => {
                if let Some(known) = self.known.remove(&strike) {
                    known.strike.healed_at(at);
                }
            }
            Word::Absent { connection, start, end } => {
                let key = (connection.clone(), start);
                let absence = Absence { connection, start, end };
                self.common.wiring.connector.incidents().note_absence(&absence);
                match end {
                    None => self.absent.insert(key, absence),
                    Some(_) => self.absent.remove(&key),
                };
            }
            Word::Blocked {
                connection,
                reason,
                start,
                end,
            } => {
                let key = (connection.clone(), start);
                let period = BlockedPeriod {
                    connection,
                    reason,
                    start,
                    end,
                };
                self.common.wiring.connector.incidents().note_block(&period);
                match end {
                    None => self.blocked.insert(key, period),
                    Some(_) => self.blocked.remove(&key),
                };
            }
            Word::Book { from, items } => self.common.book(from, &items),
            Word::WhichClosed(mut orders) => {
                let ledger = &self.common.wiring.ledger;
                orders.retain(|order| ledger.is_closed(*order));
                if !orders.is_empty() {
                    life.tell(Command::Closed { orders });
                }
            }
            Word::Failed(why) => life.failure = Some(why),
            Word::Gone => {}
        }
    }

    fn consume(&self, consumers: u32, life: &mut Life) {
        let before = std::mem::replace(&mut life.consuming, consumers);
        (before..consumers).for_each(|_| self.switch.entered());
        (consumers..before).for_each(|_| self.switch.left());
    }

    /// Whoever was away is back, once all consumers consume, or are held back by somebody else.
    fn back(&mut self, life: &Life) {
        let all = life.consuming as usize == self.job.seats.len();
        if life.works && (all || !self.switch.is_open()) {
            self.away.drain(..).for_each(|strike| strike.healed());
        }
    }

    /// Hears the last words of a process that has ended, and takes it out of all accounts.
    async fn bury(&mut self, life: &mut Life) {
        // The pipe keeps the order: what it told is read before this.
        self.common.teller.word_of(self.job.worker, &Word::Gone);
        while let Some(word) = self.words.recv().await {
            if word == Word::Gone {
                break;
            }
            self.hear(word, life);
        }
        self.consume(0, life);
        self.meter.died(self.job.seats.clone());
        self.tallies.publishes.abandon();
        self.tallies.rss_bytes.store(0, Ordering::Relaxed);
        let (now, incidents) = (self.now(), self.common.wiring.connector.incidents());
        for (_, absence) in self.absent.drain() {
            incidents.note_absence(&Absence {
                end: Some(now),
                ..absence
            });
        }
        for (_, period) in self.blocked.drain() {
            incidents.note_block(&BlockedPeriod {
                end: Some(now),
                ..period
            });
        }
        // A stop ends with its process; what had bitten is healed with the next.
        self.away.extend(life.stopped.take().map(|(_, strike)| strike));
        let bitten: Vec<u64> = self
            .known
            .iter()
            .filter(|(_, known)| known.bit)
            .map(|(number, _)| *number)
            .collect();
        for number in bitten {
            self.away.extend(self.known.remove(&number).map(|known| known.strike));
        }
        self.known.retain(|_, known| !known.strike.heal.is_cancelled());
    }

    fn cause(&self, life: Life, status: ExitStatus) -> Death {
        if life.ending.is_some() {
            return Death::Told;
        }
        match (life.killed_by, life.failure) {
            (Some(strike), _) => Death::Planned(strike),
            (None, Some(why)) => Death::Unplanned(why),
            (None, None) => Death::Unplanned(format!("it ended and nobody had planned it ({status})")),
        }
    }
}

fn line<T: serde::Serialize>(value: &T) -> Vec<u8> {
    // Jobs and commands are plain data: they can always be written.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Writes the job and then each command; a worker whose orders end, ends.
async fn dictate(mut orders: ChildStdin, job: Vec<u8>, mut commands: mpsc::UnboundedReceiver<Command>) {
    if orders.write_all(&job).await.is_err() {
        return;
    }
    while let Some(command) = commands.recv().await {
        if orders.write_all(&line(&command)).await.is_err() {
            return;
        }
    }
}
