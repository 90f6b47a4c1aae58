//! A stage's database behind two threads: one writes, one looks up.
//!
//! All changes go through the writer, in the order in which they come, several steps in one transaction where the rule says
//! so (group commit). After a commit the writer does what waits for it, and only then answers and reads the outbox: so
//! nobody sees a message whose effect is not in the books.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::database::{Changed, Database, OutboxRow, PastStep, Remembered, Step, StoreError, Transaction};
use super::grip::{Grip, Place, Slowness};
use super::postgres::Closing;
use super::{CommitRule, Committed, Known, StoreMeter};
use crate::events::{Event, Stage};
use crate::orders::OrderNumber;
use crate::pipeline::order::Emit;
use crate::workload::model::Publishing;

/// What waits for a commit.
type Stands = Box<dyn FnOnce() + Send>;
type Answer<T> = oneshot::Sender<Result<T, StoreError>>;
type StepKey = (OrderNumber, Event);

/// Longest that a note of a published event waits for a transaction that it can join.
const NOTE_PATIENCE: Duration = Duration::from_millis(100);

struct Commit {
    step: Step,
    stands: Stands,
    answer: Answer<Committed>,
}

/// What the relay wants: these rows are sent, and what is next?
struct Next {
    sent: Vec<i64>,
    limit: usize,
    answer: Answer<Vec<OutboxRow>>,
}

enum Request {
    Commit(Commit),
    Next(Next),
    /// Events are out; see [`Notes`].
    Noted,
}

enum LookUp {
    One {
        key: StepKey,
        answer: Answer<Option<Remembered>>,
    },
    All {
        answer: Answer<Vec<PastStep>>,
    },
}

/// Steps whose event is out, and whose row does not say so yet. A crash forgets them: then the event goes out again.
type Notes = Arc<Mutex<HashSet<StepKey>>>;

/// A stage's database.
pub struct DurableStore {
    publish: Publishing,
    writer: Option<Sender<Request>>,
    reader: Option<Sender<LookUp>>,
    notes: Notes,
    written: Arc<Notify>,
    /// Ends the pauses of connections that come back.
    closing: Arc<Closing>,
    slowness: Arc<Slowness>,
    /// Where the database is; absent for one that no fault can get hold of.
    place: Option<Place>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableStore").finish_non_exhaustive()
    }
}

fn lock(notes: &Notes) -> MutexGuard<'_, HashSet<StepKey>> {
    // A set is whole after each of its calls.
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DurableStore {
    /// Starts the threads of a stage's store on two connections to the same database.
    ///
    /// # Errors
    /// When the database does not answer, or no thread can be had.
    pub fn start(
        stage: Stage,
        mut writer: Box<dyn Database>,
        reader: Box<dyn Database>,
        rule: CommitRule,
        meter: Arc<StoreMeter>,
    ) -> Result<Self, StoreError> {
        meter.found(writer.unsent_count()?);
        let (notes, written) = (Notes::default(), Arc::new(Notify::new()));
        let (to_writer, requests) = channel();
        let (to_reader, look_ups) = channel();
        let slowness = Arc::clone(meter.slowness());
        let desk = Writer {
            slowness: Arc::clone(&slowness),
            database: writer,
            rule,
            meter,
            notes: Arc::clone(&notes),
            written: Arc::clone(&written),
            requests,
            put_off: VecDeque::new(),
        };
        let publish = rule.publish;
        let threads = vec![
            spawn(&format!("{stage} commits"), move || desk.run())?,
            spawn(&format!("{stage} look-ups"), move || read(reader, &look_ups))?,
        ];
        Ok(DurableStore {
            publish,
            writer: Some(to_writer),
            reader: Some(to_reader),
            notes,
            written,
            closing: Arc::default(),
            slowness,
            place: None,
            threads,
        })
    }

    /// The same store, whose connections wait for nothing any more once `closing` is closed, as the store does at its end.
    pub fn closed_by(mut self, closing: Arc<Closing>) -> Self {
        self.closing = closing;
        self
    }

    /// The same store, at a place where a fault can get hold of it.
    pub(super) fn located_at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// A second hand on the database; absent where no fault can get hold of it.
    pub fn grip(&self) -> Option<Grip> {
        self.place.clone().map(|place| Grip {
            place,
            slowness: Arc::clone(&self.slowness),
        })
    }

    pub(super) async fn lookup(&self, number: OrderNumber, event: Event) -> Result<Known, StoreError> {
        let key = (number, event);
        // Before the row is read: a note is dropped only after its row was written.
        if lock(&self.notes).contains(&key) {
            return Ok(Known::Done);
        }
        let publish = self.publish;
        let found = ask(self.reader.as_ref(), |answer| LookUp::One { key, answer }).await?;
        Ok(match found {
            None => Known::Fresh,
            Some(step) if step.published || publish != Publishing::Republish => Known::Done,
            Some(step) => Known::Applied(step.emit),
        })
    }

    /// What a step emits, if the database has it.
    pub(in crate::pipeline) async fn remembered(
        &self,
        number: OrderNumber,
        event: Event,
    ) -> Result<Option<Emit>, StoreError> {
        let key = (number, event);
        let found = ask(self.reader.as_ref(), |answer| LookUp::One { key, answer }).await?;
        Ok(found.map(|step| step.emit))
    }

    /// All steps that the database has, in no order.
    pub(in crate::pipeline) async fn steps(&self) -> Result<Vec<PastStep>, StoreError> {
        ask(self.reader.as_ref(), |answer| LookUp::All { answer }).await
    }

    pub(super) async fn commit(&self, step: Step, stands: Stands) -> Result<Committed, StoreError> {
        ask(self.writer.as_ref(), |answer| {
            Request::Commit(Commit { step, stands, answer })
        })
        .await
    }

    pub(super) fn done(&self, number: OrderNumber, event: Event) {
        if self.publish != Publishing::Republish {
            return;
        }
        let first = {
            let mut notes = lock(&self.notes);
            notes.insert((number, event));
            notes.len() == 1
        };
        // The writer looks at all notes at once.
        if let (true, Some(writer)) = (first, &self.writer) {
            let _ = writer.send(Request::Noted);
        }
    }

    /// Marks rows of the outbox as sent, and reads the next ones, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer: then the marks must be made again.
    ///
    /// # Cancel safety
    /// The marks may have been made; to make them again does no harm.
    pub async fn next_unsent(&self, sent: Vec<i64>, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        ask(self.writer.as_ref(), |answer| {
            Request::Next(Next { sent, limit, answer })
        })
        .await
    }

    /// Waits until a row was added to the outbox since the last call returned.
    pub async fn outbox_grew(&self) {
        self.written.notified().await;
    }
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        drop((self.writer.take(), self.reader.take()));
        self.closing.close();
        for thread in self.threads.drain(..) {
            // What waits for a commit may hold the last handle of the store: then this is the writer's own thread.
            if thread.thread().id() != std::thread::current().id() {
                // A panic in there was counted where its answer was awaited.
                let _ = thread.join();
            }
        }
    }
}

async fn ask<R, T>(to: Option<&Sender<R>>, request: impl FnOnce(Answer<T>) -> R) -> Result<T, StoreError> {
    let (answer, answered) = oneshot::channel();
    let to = to.ok_or(StoreError::Closed)?;
    to.send(request(answer)).map_err(|_| StoreError::Closed)?;
    answered.await.map_err(|_| StoreError::Closed)?
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| StoreError::Failed {
            what: "starting a thread for a store",
            why: error.to_string(),
        })
}

/// Answers look-ups until nobody can ask any more.
fn read(mut database: Box<dyn Database>, look_ups: &Receiver<LookUp>) {
    for look_up in look_ups {
        // Who asked may have given up.
        match look_up {
            LookUp::One { key, answer } => drop(answer.send(database.look_up(key.0, key.1))),
            LookUp::All { answer } => drop(answer.send(database.steps())),
        }
    }
}

struct Writer {
    slowness: Arc<Slowness>,
    database: Box<dyn Database>,
    rule: CommitRule,
    meter: Arc<StoreMeter>,
    notes: Notes,
    written: Arc<Notify>,
    requests: Receiver<Request>,
    /// Came while a transaction was filling.
    put_off: VecDeque<Request>,
}

impl Writer {
    /// Works until nobody can ask any more.
    fn run(mut self) {
        let mut notes_due: Option<Instant> = None;
        loop {
            let request = match (self.put_off.pop_front(), notes_due) {
                (Some(request), _) => Ok(request),
                (None, Some(due)) => self
                    .requests
                    .recv_timeout(due.saturating_duration_since(Instant::now())),
                (None, None) => self.requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(Request::Commit(first)) => {
                    let group = self.group(first);
                    self.commit(group);
                    notes_due = None;
                }
                Ok(Request::Next(next)) => self.next(next),
                Ok(Request::Noted) => notes_due = Some(Instant::now() + NOTE_PATIENCE),
                Err(RecvTimeoutError::Timeout) => {
                    self.commit(Vec::new());
                    notes_due = None;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit(Vec::new());
                    return;
                }
            }
        }
    }

    /// The steps of the next transaction.
    fn group(&mut self, first: Commit) -> Vec<Commit> {
        let mut group = vec![first];
        let mut put_off = VecDeque::new();
        while group.len() < self.rule.batch
            && let Some(request) = self.put_off.pop_front()
        {
            match request {
                Request::Commit(commit) => group.push(commit),
                other => put_off.push_back(other),
            }
        }
        let due = Instant::now() + self.rule.flush;
        while group.len() < self.rule.batch {
            match self
                .requests
                .recv_timeout(due.saturating_duration_since(Instant::now()))
            {
                Ok(Request::Commit(commit)) => group.push(commit),
                Ok(other) => put_off.push_back(other),
                Err(_) => break,
            }
        }
        put_off.append(&mut self.put_off);
        self.put_off = put_off;
        group
    }

    /// One transaction: these steps, and whatever notes there are.
    fn commit(&mut self, group: Vec<Commit>) {
        let noted: Vec<StepKey> = lock(&self.notes).iter().copied().collect();
        if group.is_empty() && noted.is_empty() {
            return;
        }
        let (steps, waiting): (Vec<Step>, Vec<(Stands, Answer<Committed>)>) = group
            .into_iter()
            .map(|Commit { step, stands, answer }| (step, (stands, answer)))
            .unzip();
        let transaction = Transaction {
            steps: &steps,
            published: &noted,
            sent: &[],
        };
        self.dawdle();
        let new = match self.database.commit(&transaction) {
            Ok(changed) => changed.new,
            Err(error) => {
                // The notes stay for the next one.
                for (_, answer) in waiting {
                    let _ = answer.send(Err(error.clone()));
                }
                return;
            }
        };
        {
            let mut notes = lock(&self.notes);
            noted.iter().for_each(|key| {
                notes.remove(key);
            });
        }
        let rows = steps
            .iter()
            .zip(&new)
            .filter(|(step, new)| **new && step.message.is_some());
        let (rows, committed) = (rows.count() as u64, new.iter().filter(|new| **new).count() as u64);
        self.meter.committed(committed, rows);
        for ((stands, answer), new) in waiting.into_iter().zip(new) {
            let committed = if new {
                stands();
                Committed::Stands
            } else {
                Committed::Repetition
            };
            // Who asked may have given up: the step stands all the same.
            let _ = answer.send(Ok(committed));
        }
        if rows > 0 {
            self.written.notify_one();
        }
    }

    /// A fault makes each commit take longer.
    fn dawdle(&self) {
        let by = self.slowness.get();
        if !by.is_zero() {
            std::thread::sleep(by);
        }
    }

    fn next(&mut self, Next { sent, limit, answer }: Next) {
        let marked = match sent.is_empty() {
            true => Ok(Changed::default()),
            false => {
                self.dawdle();
                self.database.commit(&Transaction {
                    sent: &sent,
                    ..Transaction::default()
                })
            }
        };
        let rows = marked.and_then(|changed| {
            self.meter.sent(changed.sent);
            self.database.unsent(limit)
        });
        let _ = answer.send(rows);
    }
}
