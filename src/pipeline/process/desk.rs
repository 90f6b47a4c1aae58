//! Reads what all workers tell, and books it where in-process stages book: ledger, board and meters.
//!
//! A thread of its own, that waits for nobody: workers that write faster than it reads are held back by the pipe.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::tell::{self, Garbled, Told, Word};
use crate::ledger::{Entry, StepKey, Testimony};
use crate::measure::Series;
use crate::orders::OrderNumber;
use crate::pipeline::step::note_end;
use crate::pipeline::{AckLog, StageMeter};
use crate::wire::Wiring;

const READ_BYTES: usize = 64 * 1024;

/// The reader.
#[derive(Debug)]
pub(super) struct Desk {
    /// With the ledger that books.
    pub wiring: Wiring,
    /// Where ends of orders go, for a closed loop.
    pub finished: Option<mpsc::UnboundedSender<OrderNumber>>,
    /// By [`crate::events::Stage::index`]; absent for stages in this process.
    pub meters: Vec<Option<Arc<StageMeter>>>,
    /// What stages acknowledged lately, likewise; only where a fault takes the broker down.
    pub acks: Vec<Option<Arc<AckLog>>>,
    /// Where the words of each worker go.
    pub posts: Vec<mpsc::UnboundedSender<Word>>,
    /// Steps that were found in a store before anybody had told of their commit.
    pub found: HashSet<StepKey>,
}

impl Desk {
    /// Reads until somebody says that it is over, or nobody can write any more.
    pub(super) fn run(mut self, mut pipe: File) {
        let incidents = Arc::clone(self.wiring.connector.incidents());
        match self.read(&mut pipe) {
            Ok(()) => {}
            Err(error) => incidents.end(format!("what the worker processes tell cannot be read: {error}")),
        }
    }

    fn read(&mut self, pipe: &mut File) -> io::Result<()> {
        let (mut bytes, mut chunk) = (Vec::new(), vec![0; READ_BYTES]);
        loop {
            let count = match pipe.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            bytes.extend_from_slice(&chunk[..count]);
            let mut done = 0;
            while let Some((told, length)) = tell::read(&bytes[done..]).map_err(|Garbled| io::ErrorKind::InvalidData)? {
                done += length;
                if told == Told::Over {
                    return Ok(());
                }
                self.hear(told);
            }
            bytes.drain(..done);
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Entry(entry) => self.enter(entry),
            Told::Step {
                step,
                testimony,
                entries,
            } => {
                if self.is_news(step, testimony) {
                    entries.into_iter().for_each(|entry| self.enter(entry));
                }
            }
            Told::Span {
                stage,
                span,
                intended,
                nanos,
            } => {
                if self.wiring.window.contains(intended) {
                    self.wiring.board.record(Series::Stage(stage, span), nanos);
                }
            }
            Told::Busy { stage, started, nanos } => {
                if let (true, Some(meter)) = (self.wiring.window.contains(started), &self.meters[stage.index()]) {
                    meter.worked(nanos);
                }
            }
            Told::Acked { stage, key, at } => {
                if let Some(log) = &self.acks[stage.index()] {
                    log.acked(key, at);
                }
            }
            Told::Came { stage, key, at } => {
                if let Some(log) = &self.acks[stage.index()] {
                    log.delivered(key, at);
                }
            }
            Told::Word(worker, word) => {
                if let Some(post) = self.posts.get(usize::from(worker)) {
                    // Nobody keeps that post any more.
                    let _ = post.send(word);
                }
            }
            Told::Over => {}
        }
    }

    /// Whether the effect of a step is still to be booked. A store has each step once: found there and told by who committed
    /// it is the same effect, in whichever order it comes.
    fn is_news(&mut self, step: StepKey, testimony: Testimony) -> bool {
        match testimony {
            Testimony::Committed => !self.found.remove(&step),
            Testimony::Found if self.wiring.ledger.has_effect(step) => false,
            Testimony::Found => self.found.insert(step),
        }
    }

    fn enter(&self, entry: Entry) {
        let end = match entry {
            Entry::Emitted { number, at, .. } | Entry::EndedBy { number, at, .. } => Some((number, at)),
            _ => None,
        };
        let order = self.wiring.ledger.enter(entry);
        if let Some((number, at)) = end {
            note_end(&self.wiring, self.finished.as_ref(), number, at, order);
        }
    }
}
