//! What workers tell the driver, as bytes in a pipe.
//!
//! A record is 32 bytes and a tail. Each write is of whole records and of at most `PIPE_BUF` bytes, so that the kernel neither
//! mixes it with another's nor leaves it half written when its writer is killed. Facts are written at once, before anything
//! that follows from them can be seen outside (a publish, an acknowledgement); what is only measured waits for the next fact.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::events::{Event, Stage};
use crate::ledger::{Afar, Bitmap, Entry, ItemBook, Ledger, StepKey, Testimony};
use crate::measure::StageSpan;
use crate::orders::{Line, OrderNumber};

/// The most that the kernel writes as one (`PIPE_BUF` of Linux).
const WRITE_MAX: usize = 4096;
const HEAD: usize = 32;
/// Items of a stock book in one record.
const BOOK_PART: usize = 60;
/// Longest text in one record.
const TEXT_MAX: usize = 3000;

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::pipeline) enum Word {
    /// Its consumers consume, or are held back as they shall be.
    Ready,
    /// So many of its consumers consume.
    Consuming(u32),
    /// A strike has bitten.
    Bit { strike: u64, at: Nanos },
    /// Whoever was struck works again.
    Healed { strike: u64, at: Nanos },
    /// A connection was gone from then, until then.
    Absent {
        connection: String,
        start: Nanos,
        end: Option<Nanos>,
    },
    /// The broker had a connection blocked.
    Blocked {
        connection: String,
        reason: String,
        start: Nanos,
        end: Option<Nanos>,
    },
    /// Part of inventory's stock book, from this item on.
    Book { from: usize, items: Vec<ItemBook> },
    /// It remembers these orders, and asks which of them are closed.
    WhichClosed(Vec<OrderNumber>),
    /// Why it ends.
    Failed(String),
    /// Said by the driver: it has ended, and all that it told was read.
    Gone,
}

/// One record, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Entry(Entry),
    /// The effect of a step, with what goes with it.
    Step {
        step: StepKey,
        testimony: Testimony,
        entries: Vec<Entry>,
    },
    Span {
        stage: Stage,
        span: StageSpan,
        intended: Nanos,
        nanos: Nanos,
    },
    Busy {
        stage: Stage,
        started: Nanos,
        nanos: Nanos,
    },
    /// A message was acknowledged; where a fault takes the broker down.
    Acked {
        stage: Stage,
        key: (OrderNumber, Event),
        at: Nanos,
    },
    /// A message was delivered; likewise.
    Came {
        stage: Stage,
        key: (OrderNumber, Event),
        at: Nanos,
    },
    Word(u16, Word),
    /// Said by the driver: nobody writes any more.
    Over,
}

/// What a record is; the numbers are on the wire between processes of one build alone.
mod kind {
    pub(super) const ATTEMPTED: u8 = 1;
    pub(super) const EMITTED: u8 = 2;
    pub(super) const DELIVERED: u8 = 3;
    pub(super) const SETTLED: u8 = 4;
    pub(super) const SUPPRESSED: u8 = 5;
    pub(super) const EFFECT: u8 = 6;
    pub(super) const ENDED_BY: u8 = 7;
    pub(super) const CHARGED: u8 = 8;
    pub(super) const ACCOUNTED: u8 = 9;
    pub(super) const RESERVED: u8 = 10;
    pub(super) const COMMITTED: u8 = 11;
    pub(super) const RELEASED: u8 = 12;
    pub(super) const FAILED: u8 = 13;
    pub(super) const GAVE_UP: u8 = 14;
    pub(super) const STEP: u8 = 20;
    pub(super) const SPAN: u8 = 21;
    pub(super) const BUSY: u8 = 22;
    pub(super) const ACKED: u8 = 23;
    pub(super) const CAME: u8 = 24;
    pub(super) const WORD: u8 = 30;
    pub(super) const OVER: u8 = 31;
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    kind: u8,
    stage: u8,
    event: u8,
    flag: u8,
    worker: u16,
    tail: u16,
    numbers: [u64; 3],
}

impl Head {
    fn of(kind: u8, numbers: [u64; 3]) -> Self {
        Head {
            kind,
            numbers,
            ..Head::default()
        }
    }

    fn at(self, stage: Stage) -> Self {
        Head {
            stage: stage.index() as u8,
            ..self
        }
    }

    fn about(self, event: Event) -> Self {
        Head {
            event: event.index() as u8,
            ..self
        }
    }

    fn flagged(self, flag: u8) -> Self {
        Head { flag, ..self }
    }

    fn put(self, tail: &[u8], to: &mut Vec<u8>) {
        // Tails are bounded by what goes into one write.
        let length = u16::try_from(tail.len()).expect("a tail fits into one write");
        to.extend([self.kind, self.stage, self.event, self.flag]);
        to.extend(self.worker.to_le_bytes());
        to.extend(length.to_le_bytes());
        self.numbers.iter().for_each(|number| to.extend(number.to_le_bytes()));
        to.extend(tail);
    }

    fn get(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..HEAD)?;
        let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&head[at..at + 8]);
            u64::from_le_bytes(number)
        };
        Some(Head {
            kind: head[0],
            stage: head[1],
            event: head[2],
            flag: head[3],
            worker: short(4),
            tail: short(6),
            numbers: [number(8), number(16), number(24)],
        })
    }
}

fn lines_to_bytes(lines: &[Line]) -> Vec<u8> {
    let words = lines.iter().flat_map(|line| [line.item, line.quantity]);
    words.flat_map(u32::to_le_bytes).collect()
}

fn lines_of_bytes(bytes: &[u8]) -> Vec<Line> {
    let word = |at: &[u8]| u32::from_le_bytes([at[0], at[1], at[2], at[3]]);
    let pairs = bytes.chunks_exact(8);
    pairs
        .map(|pair| Line {
            item: word(&pair[..4]),
            quantity: word(&pair[4..]),
        })
        .collect()
}

fn put_entry(entry: &Entry, to: &mut Vec<u8>) {
    let mut tail = Vec::new();
    let head = match entry {
        Entry::Attempted { number, event } => Head::of(kind::ATTEMPTED, [*number, 0, 0]).about(*event),
        Entry::Emitted { number, event, at } => Head::of(kind::EMITTED, [*number, *at, 0]).about(*event),
        Entry::Delivered {
            number,
            stage,
            redelivered,
        } => Head::of(kind::DELIVERED, [*number, 0, 0])
            .at(*stage)
            .flagged(u8::from(*redelivered)),
        Entry::Settled { number, stage, event } => Head::of(kind::SETTLED, [*number, 0, 0]).at(*stage).about(*event),
        Entry::Failed {
            number,
            stage,
            event,
            allowed,
        } => Head::of(kind::FAILED, [*number, u64::from(*allowed), 0])
            .at(*stage)
            .about(*event),
        Entry::GaveUp { number } => Head::of(kind::GAVE_UP, [*number, 0, 0]),
        Entry::Suppressed { number, stage } => Head::of(kind::SUPPRESSED, [*number, 0, 0]).at(*stage),
        Entry::Effect { number, stage, event } => Head::of(kind::EFFECT, [*number, 0, 0]).at(*stage).about(*event),
        Entry::EndedBy {
            number,
            stage,
            event,
            at,
            accounted,
        } => Head::of(kind::ENDED_BY, [*number, *at, *accounted])
            .at(*stage)
            .about(*event),
        Entry::Charged { number, cents } => Head::of(kind::CHARGED, [*number, *cents, 0]),
        Entry::Accounted { number, nanos } => Head::of(kind::ACCOUNTED, [*number, *nanos, 0]),
        Entry::Reserved { number, lines } => {
            tail = lines_to_bytes(lines);
            Head::of(kind::RESERVED, [*number, 0, 0])
        }
        Entry::Committed { lines } => {
            tail = lines_to_bytes(lines);
            Head::of(kind::COMMITTED, [0; 3])
        }
        Entry::Released { lines } => {
            tail = lines_to_bytes(lines);
            Head::of(kind::RELEASED, [0; 3])
        }
    };
    head.put(&tail, to);
}

fn get_entry(head: Head, tail: &[u8]) -> Option<Entry> {
    let [number, second, third] = head.numbers;
    let stage = Stage::ALL.get(usize::from(head.stage)).copied()?;
    let event = Event::ALL.get(usize::from(head.event)).copied()?;
    Some(match head.kind {
        kind::ATTEMPTED => Entry::Attempted { number, event },
        kind::EMITTED => Entry::Emitted {
            number,
            event,
            at: second,
        },
        kind::DELIVERED => Entry::Delivered {
            number,
            stage,
            redelivered: head.flag != 0,
        },
        kind::SETTLED => Entry::Settled { number, stage, event },
        kind::FAILED => Entry::Failed {
            number,
            stage,
            event,
            allowed: u32::try_from(second).ok()?,
        },
        kind::GAVE_UP => Entry::GaveUp { number },
        kind::SUPPRESSED => Entry::Suppressed { number, stage },
        kind::EFFECT => Entry::Effect { number, stage, event },
        kind::ENDED_BY => Entry::EndedBy {
            number,
            stage,
            event,
            at: second,
            accounted: third,
        },
        kind::CHARGED => Entry::Charged { number, cents: second },
        kind::ACCOUNTED => Entry::Accounted { number, nanos: second },
        kind::RESERVED => Entry::Reserved {
            number,
            lines: lines_of_bytes(tail),
        },
        kind::COMMITTED => Entry::Committed {
            lines: lines_of_bytes(tail),
        },
        kind::RELEASED => Entry::Released {
            lines: lines_of_bytes(tail),
        },
        _ => return None,
    })
}

/// Why bytes are no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbled;

/// The first record of `bytes` and its length; absent if it is not whole yet.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Told, usize)>, Garbled> {
    let Some(head) = Head::get(bytes) else { return Ok(None) };
    let length = HEAD + usize::from(head.tail);
    let Some(tail) = bytes.get(HEAD..length) else {
        return Ok(None);
    };
    let stage = || Stage::ALL.get(usize::from(head.stage)).copied().ok_or(Garbled);
    let event = || Event::ALL.get(usize::from(head.event)).copied().ok_or(Garbled);
    let [first, second, _] = head.numbers;
    let told = match head.kind {
        kind::STEP => Told::Step {
            step: StepKey {
                number: first,
                stage: stage()?,
                event: event()?,
            },
            testimony: match head.flag {
                0 => Testimony::Committed,
                _ => Testimony::Found,
            },
            entries: entries(tail)?,
        },
        kind::SPAN => Told::Span {
            stage: stage()?,
            span: *StageSpan::ALL.get(usize::from(head.flag)).ok_or(Garbled)?,
            intended: first,
            nanos: second,
        },
        kind::BUSY => Told::Busy {
            stage: stage()?,
            started: first,
            nanos: second,
        },
        kind::ACKED => Told::Acked {
            stage: stage()?,
            key: (first, event()?),
            at: second,
        },
        kind::CAME => Told::Came {
            stage: stage()?,
            key: (first, event()?),
            at: second,
        },
        kind::WORD => Told::Word(head.worker, serde_json::from_slice(tail).map_err(|_| Garbled)?),
        kind::OVER => Told::Over,
        _ => Told::Entry(get_entry(head, tail).ok_or(Garbled)?),
    };
    Ok(Some((told, length)))
}

fn entries(mut bytes: &[u8]) -> Result<Vec<Entry>, Garbled> {
    let mut entries = Vec::new();
    while let Some((told, length)) = read(bytes)? {
        let Told::Entry(entry) = told else { return Err(Garbled) };
        entries.push(entry);
        bytes = &bytes[length..];
    }
    if bytes.is_empty() { Ok(entries) } else { Err(Garbled) }
}

thread_local! {
    /// What this thread enters as one.
    static TOGETHER: RefCell<Option<Vec<Entry>>> = const { RefCell::new(None) };
}

/// Orders in one question: as many as surely fit a record.
const ORDERS_PART: usize = 150;

/// Who knows which orders are closed.
#[derive(Debug)]
pub(super) enum Knows {
    /// A worker, as far as its driver has told it. Without that it is nothing, and ends.
    AsTold(Mutex<Bitmap>),
    /// The driver's own ledger.
    Ledger(Arc<Ledger>),
}

/// The writing end of the pipe in one process.
#[derive(Debug)]
pub(in crate::pipeline) struct Teller {
    worker: u16,
    knows: Knows,
    /// Held while the effect of a step is told: what changes the books is told in the order in which it changed them.
    steps: Mutex<()>,
    out: Mutex<Out>,
}

#[derive(Debug)]
struct Out {
    pipe: File,
    waiting: Vec<u8>,
}

impl Out {
    /// Adds whole records, making room for them first.
    fn add(&mut self, records: &[u8]) -> std::io::Result<()> {
        if self.waiting.len() + records.len() > WRITE_MAX {
            self.flush()?;
        }
        self.waiting.extend(records);
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let written = self.pipe.write_all(&self.waiting);
        self.waiting.clear();
        written
    }
}

/// When a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    AtOnce,
    WithTheNext,
}

impl Teller {
    /// Worker number `worker`, or the driver itself, telling through `pipe`.
    pub(super) fn new(worker: u16, pipe: File, knows: Knows) -> Self {
        Teller {
            worker,
            knows,
            steps: Mutex::default(),
            out: Mutex::new(Out {
                pipe,
                waiting: Vec::with_capacity(WRITE_MAX),
            }),
        }
    }

    /// A write leaves whole records behind it, whatever panics elsewhere.
    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, records: &[u8], haste: Haste) {
        let mut out = self.out();
        let put = out.add(records).and_then(|()| match haste {
            Haste::AtOnce => out.flush(),
            Haste::WithTheNext => Ok(()),
        });
        self.checked(put);
    }

    /// A pipe that nobody reads: the driver is gone, and a worker with it.
    fn checked(&self, written: std::io::Result<()>) {
        if let (Err(_), Knows::AsTold(_)) = (written, &self.knows) {
            std::process::exit(1);
        }
    }

    /// Writes what waits.
    pub(in crate::pipeline) fn flush(&self) {
        let flushed = self.out().flush();
        self.checked(flushed);
    }

    /// A part of a delivery's time.
    pub(in crate::pipeline) fn span(&self, stage: Stage, span: StageSpan, intended: Nanos, nanos: Nanos) {
        let mut record = Vec::with_capacity(HEAD);
        let head = Head::of(kind::SPAN, [intended, nanos, 0]).at(stage);
        head.flagged(span as u8).put(&[], &mut record);
        self.put(&record, Haste::WithTheNext);
    }

    /// Work that began at `started`.
    pub(in crate::pipeline) fn busy(&self, stage: Stage, started: Nanos, nanos: Nanos) {
        let mut record = Vec::with_capacity(HEAD);
        Head::of(kind::BUSY, [started, nanos, 0])
            .at(stage)
            .put(&[], &mut record);
        self.put(&record, Haste::WithTheNext);
    }

    /// A message was acknowledged.
    pub(in crate::pipeline) fn acked(&self, stage: Stage, key: (OrderNumber, Event), at: Nanos) {
        self.message(kind::ACKED, stage, key, at);
    }

    /// A message was delivered.
    pub(in crate::pipeline) fn came(&self, stage: Stage, key: (OrderNumber, Event), at: Nanos) {
        self.message(kind::CAME, stage, key, at);
    }

    fn message(&self, kind: u8, stage: Stage, (number, event): (OrderNumber, Event), at: Nanos) {
        let mut record = Vec::with_capacity(HEAD);
        let head = Head::of(kind, [number, at, 0]).at(stage).about(event);
        head.put(&[], &mut record);
        self.put(&record, Haste::WithTheNext);
    }

    /// Says something of this worker.
    pub(in crate::pipeline) fn word(&self, word: &Word) {
        self.word_of(self.worker, word);
    }

    /// The driver says something of a worker.
    pub(super) fn word_of(&self, worker: u16, word: &Word) {
        let text = match word {
            Word::Failed(why) => serde_json::to_vec(&Word::Failed(why.chars().take(TEXT_MAX / 4).collect())),
            word => serde_json::to_vec(word),
        };
        // Words are plain data: they can always be written.
        let tail = text.unwrap_or_default();
        let mut record = Vec::with_capacity(HEAD + tail.len());
        let head = Head {
            worker,
            ..Head::of(kind::WORD, [0; 3])
        };
        head.put(&tail, &mut record);
        self.put(&record, Haste::AtOnce);
    }

    /// Inventory's stock book, in parts.
    pub(super) fn book(&self, items: &[ItemBook]) {
        for (part, items) in items.chunks(BOOK_PART).enumerate() {
            self.word(&Word::Book {
                from: part * BOOK_PART,
                items: items.to_vec(),
            });
        }
    }

    /// Asks which of these orders are closed, in parts; [`Teller::closed`] takes the answer.
    pub(super) fn ask(&self, orders: &[OrderNumber]) {
        for part in orders.chunks(ORDERS_PART) {
            self.word(&Word::WhichClosed(part.to_vec()));
        }
    }

    /// The driver says that these orders are closed.
    pub(super) fn closed(&self, orders: &[OrderNumber]) {
        if let Knows::AsTold(closed) = &self.knows {
            let mut closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
            for order in orders {
                closed.insert(*order);
            }
        }
    }

    /// The driver says that nobody writes any more.
    pub(super) fn over(&self) {
        let mut record = Vec::new();
        Head::of(kind::OVER, [0; 3]).put(&[], &mut record);
        self.put(&record, Haste::AtOnce);
    }
}

/// Ends what a thread enters as one, a panic in it included.
struct TogetherGuard;

impl Drop for TogetherGuard {
    fn drop(&mut self) {
        TOGETHER.with_borrow_mut(|together| *together = None);
    }
}

impl Afar for Teller {
    fn enter(&self, entry: Entry) {
        let alone = TOGETHER.with_borrow_mut(|together| match together {
            Some(entries) => {
                entries.push(entry);
                None
            }
            None => Some(entry),
        });
        let Some(entry) = alone else { return };
        let haste = match entry {
            // Of them nothing can be seen before the fact that comes next.
            Entry::Attempted { .. } | Entry::Accounted { .. } => Haste::WithTheNext,
            _ => Haste::AtOnce,
        };
        let mut record = Vec::with_capacity(2 * HEAD);
        put_entry(&entry, &mut record);
        self.put(&record, haste);
    }

    fn together(&self, step: StepKey, testimony: Testimony, entries: &mut dyn FnMut()) {
        let _in_order = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        TOGETHER.with_borrow_mut(|together| *together = Some(Vec::new()));
        let guard = TogetherGuard;
        entries();
        let told = TOGETHER.with_borrow_mut(Option::take).unwrap_or_default();
        drop(guard);
        let mut tail = Vec::new();
        told.iter().for_each(|entry| put_entry(entry, &mut tail));
        let mut record = Vec::with_capacity(HEAD + tail.len());
        let head = Head::of(kind::STEP, [step.number, 0, 0])
            .at(step.stage)
            .about(step.event);
        head.flagged(testimony as u8).put(&tail, &mut record);
        self.put(&record, Haste::AtOnce);
    }

    fn is_closed(&self, number: OrderNumber) -> bool {
        match &self.knows {
            Knows::AsTold(closed) => closed.lock().unwrap_or_else(PoisonError::into_inner).contains(number),
            Knows::Ledger(ledger) => ledger.is_closed(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    /// What was told into a pipe by `tell`.
    fn told(tell: impl FnOnce(&Teller)) -> Vec<Told> {
        let (mut read_end, write_end) = std::io::pipe().expect("a pipe");
        let teller = Teller::new(
            7,
            File::from(std::os::fd::OwnedFd::from(write_end)),
            Knows::AsTold(Mutex::default()),
        );
        tell(&teller);
        teller.flush();
        drop(teller);
        let mut bytes = Vec::new();
        read_end.read_to_end(&mut bytes).expect("read");
        let mut found = Vec::new();
        let mut rest = &bytes[..];
        while let Some((told, length)) = read(rest).expect("whole records") {
            found.push(told);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        found
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let stage = (0..Stage::ALL.len()).prop_map(|at| Stage::ALL[at]);
        let event = (0..Event::ALL.len()).prop_map(|at| Event::ALL[at]);
        let line = (any::<u32>(), any::<u32>()).prop_map(|(item, quantity)| Line { item, quantity });
        let lines = prop::collection::vec(line, 0..100);
        (0..14u8, any::<u64>(), any::<u64>(), any::<u64>(), stage, event, lines).prop_map(
            |(which, number, at, accounted, stage, event, lines)| match which {
                0 => Entry::Attempted { number, event },
                1 => Entry::Emitted { number, event, at },
                2 => Entry::Delivered {
                    number,
                    stage,
                    redelivered: at % 2 == 0,
                },
                3 => Entry::Settled { number, stage, event },
                4 => Entry::Suppressed { number, stage },
                5 => Entry::Effect { number, stage, event },
                6 => Entry::EndedBy {
                    number,
                    stage,
                    event,
                    at,
                    accounted,
                },
                7 => Entry::Charged { number, cents: at },
                8 => Entry::Accounted { number, nanos: at },
                9 => Entry::Reserved { number, lines },
                10 => Entry::Committed { lines },
                11 => Entry::Failed {
                    number,
                    stage,
                    event,
                    allowed: at as u32,
                },
                12 => Entry::GaveUp { number },
                _ => Entry::Released { lines },
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_told_is_read_as_it_was_and_in_its_order(entries in prop::collection::vec(entry(), 0..40)) {
            let heard = told(|teller| entries.iter().for_each(|entry| teller.enter(entry.clone())));
            prop_assert_eq!(heard, entries.into_iter().map(Told::Entry).collect::<Vec<_>>());
        }

        #[test]
        fn a_record_that_is_cut_is_not_read(entry in entry(), keep in 0.0f64..1.0) {
            let mut bytes = Vec::new();
            put_entry(&entry, &mut bytes);
            let cut = &bytes[..(bytes.len() as f64 * keep) as usize];
            prop_assert_eq!(read(cut), Ok(None));
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn what_belongs_to_a_step_arrives_as_one() {
        let step = StepKey {
            number: 3,
            stage: Stage::Payment,
            event: Event::InventoryReserved,
        };
        let charged = Entry::Charged { number: 3, cents: 5 };
        let suppressed = Entry::Suppressed {
            number: 4,
            stage: Stage::Payment,
        };
        let heard = told(|teller| {
            teller.together(step, Testimony::Found, &mut || teller.enter(charged.clone()));
            teller.enter(suppressed.clone());
        });
        let whole = Told::Step {
            step,
            testimony: Testimony::Found,
            entries: vec![charged],
        };
        assert_eq!(heard, [whole, Told::Entry(suppressed)]);
    }

    #[test]
    fn measures_wait_for_the_next_fact_and_words_bear_their_worker() {
        let heard = told(|teller| {
            teller.span(Stage::Audit, StageSpan::Commit, 5, 6);
            teller.busy(Stage::Audit, 7, 8);
            assert_eq!(teller.out().waiting.len(), 2 * HEAD);
            teller.word(&Word::Consuming(2));
            assert!(teller.out().waiting.is_empty());
            teller.book(&[ItemBook { reserved: 1, sold: 2 }; BOOK_PART + 1]);
            teller.over();
        });
        let span = Told::Span {
            stage: Stage::Audit,
            span: StageSpan::Commit,
            intended: 5,
            nanos: 6,
        };
        assert_eq!((&heard[0], &heard[2]), (&span, &Told::Word(7, Word::Consuming(2))));
        let last = Word::Book {
            from: BOOK_PART,
            items: vec![ItemBook { reserved: 1, sold: 2 }],
        };
        assert_eq!(heard[4..], [Told::Word(7, last), Told::Over]);
    }

    #[test]
    fn an_order_of_the_most_lines_fits_into_one_write() {
        let lines = vec![
            Line {
                item: u32::MAX,
                quantity: u32::MAX
            };
            100
        ];
        let step = StepKey {
            number: 0,
            stage: Stage::Inventory,
            event: Event::OrderCreated,
        };
        let heard = told(|teller| {
            teller.together(step, Testimony::Committed, &mut || {
                for _ in 0..3 {
                    teller.enter(Entry::Reserved {
                        number: 0,
                        lines: lines.clone(),
                    });
                }
            });
            assert!(teller.out().waiting.is_empty());
        });
        assert!(matches!(&heard[..], [Told::Step { entries, .. }] if entries.len() == 3));
        let mut record = Vec::new();
        put_entry(&Entry::Reserved { number: 0, lines }, &mut record);
        assert!(3 * record.len() + 4 * HEAD <= WRITE_MAX);
    }
}
