//! The answers to the publishes of one channel: a ring by sequence number.
//!
//! Each publish ends in one [`Outcome`]: the broker's answer, the end of its time, or the end of the channel. A return comes before the
//! confirm of its publish and bears no number, so it is matched by what was published.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::amqp::publish::{Outcome, Refusal, Uncertainty};

/// Octets of a body that take part in its [`print`]: names and stamps of an order are among them.
const PRINTED: usize = 256;

/// The ring of one channel.
#[derive(Debug, Default)]
pub(super) struct Confirms(Mutex<Ring>);

/// Publishes in their order; the first of `slots` has the number `first`.
#[derive(Debug, Default)]
pub(super) struct Ring {
    slots: VecDeque<Slot>,
    /// Number of the first slot, less one: numbers begin at 1.
    before: u64,
    /// Slots at the front that have an answer, whether or not it was fetched.
    answered: usize,
    ended: bool,
}

#[derive(Debug)]
struct Slot {
    state: State,
    print: u64,
    returned: bool,
    /// When it was published, on the connection's coarse clock.
    at_ms: u64,
}

#[derive(Debug)]
enum State {
    Waiting(Waker),
    /// Nobody waits any more.
    Abandoned,
    Answered(Outcome),
    /// The answer was fetched, or nobody is going to.
    Settled,
}

/// How the broker answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Ack,
    Nack,
}

impl Confirms {
    pub(super) fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker answers publish `number`, and with `multiple` all before it that have no answer (0: all).
    pub(super) fn answered(&self, number: u64, multiple: bool, answer: Answer) {
        let mut ring = self.lock();
        let (open, place) = (ring.slots.len() as u64, number.saturating_sub(ring.before));
        let (first, last) = match multiple {
            true if number == 0 => (ring.answered, open),
            true => (ring.answered, place.min(open)),
            false if (1..=open).contains(&place) => (place as usize - 1, place),
            // It was answered before, or never published.
            false => (0, 0),
        };
        let last = last as usize;
        let woken: Vec<Waker> = (first..last).filter_map(|at| ring.slots[at].answer(answer)).collect();
        ring.advance();
        drop(ring);
        woken.into_iter().for_each(Waker::wake);
    }

    /// A message with this print came back: it is the oldest such publish that has no answer.
    pub(super) fn returned(&self, print: u64) {
        let mut ring = self.lock();
        let from = ring.answered;
        let open = |slot: &&mut Slot| slot.is_open() && !slot.returned;
        if let Some(slot) = (ring.slots.iter_mut().skip(from).filter(|slot| slot.print == print)).find(open) {
            slot.returned = true;
        }
    }

    /// The time of everything that was published at `until_ms` or before is up.
    pub(super) fn expire(&self, until_ms: u64) {
        let mut ring = self.lock();
        let mut woken = Vec::new();
        for at in ring.answered..ring.slots.len() {
            let slot = &mut ring.slots[at];
            if slot.at_ms > until_ms {
                break;
            }
            woken.extend(slot.resolve(Outcome::Unknown(Uncertainty::Timeout)));
        }
        ring.advance();
        drop(ring);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Nobody will answer any more.
    pub(super) fn end(&self) {
        let mut ring = self.lock();
        ring.ended = true;
        let lost = Outcome::Unknown(Uncertainty::ConnectionLost);
        let woken: Vec<Waker> = ring.slots.iter_mut().filter_map(|slot| slot.resolve(lost)).collect();
        ring.advance();
        drop(ring);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Fetches the answer to publish `number`, which was begun and not fetched or abandoned.
    pub(super) fn poll(&self, number: u64, waker: &Waker) -> Poll<Outcome> {
        let mut ring = self.lock();
        let slot = ring.slot(number);
        match &mut slot.state {
            State::Answered(outcome) => {
                let outcome = *outcome;
                slot.state = State::Settled;
                ring.advance();
                Poll::Ready(outcome)
            }
            State::Waiting(known) => {
                known.clone_from(waker);
                Poll::Pending
            }
            State::Abandoned | State::Settled => Poll::Pending,
        }
    }

    /// Nobody waits for the answer to publish `number` any more.
    pub(super) fn abandon(&self, number: u64) {
        let mut ring = self.lock();
        let slot = ring.slot(number);
        slot.state = match slot.state {
            State::Waiting(_) | State::Abandoned => State::Abandoned,
            State::Answered(_) | State::Settled => State::Settled,
        };
        ring.advance();
    }
}

impl Ring {
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes the next number for a publish that is being written.
    pub(super) fn begin(&mut self, waker: &Waker, print: u64, at_ms: u64) -> u64 {
        self.slots.push_back(Slot {
            state: State::Waiting(waker.clone()),
            print,
            returned: false,
            at_ms,
        });
        self.before + self.slots.len() as u64
    }

    fn slot(&mut self, number: u64) -> &mut Slot {
        &mut self.slots[(number - self.before - 1) as usize]
    }

    /// Lets go of what is settled at the front, and skips what has an answer.
    fn advance(&mut self) {
        while matches!(
            self.slots.front(),
            Some(Slot {
                state: State::Settled,
                ..
            })
        ) {
            self.slots.pop_front();
            self.before += 1;
            self.answered = self.answered.saturating_sub(1);
        }
        while self.slots.get(self.answered).is_some_and(|slot| !slot.is_open()) {
            self.answered += 1;
        }
    }
}

impl Slot {
    fn is_open(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Abandoned)
    }

    fn answer(&mut self, answer: Answer) -> Option<Waker> {
        self.resolve(match answer {
            // What led nowhere is confirmed all the same.
            _ if self.returned => Outcome::Refused(Refusal::Returned),
            Answer::Ack => Outcome::Confirmed,
            Answer::Nack => Outcome::Refused(Refusal::Nack),
        })
    }

    /// Gives it its outcome, unless it has one; whoever waits for it is to be woken.
    fn resolve(&mut self, outcome: Outcome) -> Option<Waker> {
        if !self.is_open() {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Answered(outcome)) {
            State::Waiting(waker) => Some(waker),
            _ => {
                self.state = State::Settled;
                None
            }
        }
    }
}

/// What a message is recognised by when it comes back: its way, its length and the beginning of its body. Two that are the
/// same in all of these go the same way, so it does not matter which is which.
pub(super) fn print(exchange: &[u8], routing_key: &[u8], body: &[u8]) -> u64 {
    /// Of FxHash, which is enough where nobody attacks.
    const MULTIPLIER: u64 = 0x51_7c_c1_b7_27_22_0a_95;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    let part = |hash: u64, bytes: &[u8]| {
        let (words, rest) = bytes.as_chunks::<8>();
        let hash = words
            .iter()
            .fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word)));
        let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        mix(mix(hash, rest), bytes.len() as u64)
    };
    let hash = part(part(body.len() as u64, exchange), routing_key);
    part(hash, &body[..body.len().min(PRINTED)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACKED: Poll<Outcome> = Poll::Ready(Outcome::Confirmed);
    const RETURNED: Poll<Outcome> = Poll::Ready(Outcome::Refused(Refusal::Returned));
    const TIMEOUT: Poll<Outcome> = Poll::Ready(Outcome::Unknown(Uncertainty::Timeout));
    const LOST: Poll<Outcome> = Poll::Ready(Outcome::Unknown(Uncertainty::ConnectionLost));

    fn begun(publishes: u64) -> Confirms {
        let confirms = Confirms::default();
        for number in 1..=publishes {
            assert_eq!(confirms.lock().begin(Waker::noop(), number, number), number);
        }
        confirms
    }

    fn poll(confirms: &Confirms, number: u64) -> Poll<Outcome> {
        confirms.poll(number, Waker::noop())
    }

    #[test]
    fn a_multiple_confirm_answers_all_before_it_and_none_after() {
        let confirms = begun(5);
        confirms.answered(2, false, Answer::Nack);
        confirms.answered(4, true, Answer::Ack);
        assert_eq!(poll(&confirms, 2), Poll::Ready(Outcome::Refused(Refusal::Nack)));
        assert_eq!([1, 3, 4].map(|number| poll(&confirms, number)), [ACKED; 3]);
        assert_eq!(poll(&confirms, 5), Poll::Pending);
        confirms.answered(0, true, Answer::Ack);
        assert_eq!(poll(&confirms, 5), ACKED);
        assert!(confirms.lock().slots.is_empty());
    }

    #[test]
    fn a_return_belongs_to_its_own_publish_whichever_is_confirmed_next() {
        let confirms = begun(3);
        confirms.returned(2);
        confirms.answered(1, false, Answer::Ack);
        confirms.answered(3, true, Answer::Ack);
        assert_eq!(
            [1, 2, 3].map(|number| poll(&confirms, number)),
            [ACKED, RETURNED, ACKED]
        );
    }

    #[test]
    fn the_time_of_the_old_is_up_before_that_of_the_young_and_a_late_answer_changes_nothing() {
        let confirms = begun(3);
        confirms.expire(2);
        confirms.answered(2, true, Answer::Ack);
        assert_eq!([1, 2].map(|number| poll(&confirms, number)), [TIMEOUT; 2]);
        assert_eq!(poll(&confirms, 3), Poll::Pending);
    }

    #[test]
    fn the_end_of_the_channel_answers_everything_and_what_nobody_waits_for_is_let_go() {
        let confirms = begun(3);
        confirms.abandon(1);
        confirms.answered(2, false, Answer::Ack);
        confirms.end();
        assert_eq!([2, 3].map(|number| poll(&confirms, number)), [ACKED, LOST]);
        assert!(confirms.lock().is_ended() && confirms.lock().slots.is_empty());
    }

    #[test]
    fn an_answer_to_what_was_never_published_harms_nobody() {
        let confirms = begun(1);
        confirms.answered(9, false, Answer::Ack);
        confirms.answered(1, false, Answer::Ack);
        confirms.answered(1, false, Answer::Ack);
        assert_eq!(poll(&confirms, 1), ACKED);
        confirms.answered(1, true, Answer::Nack);
    }

    proptest! {
        #[test]
        fn every_publish_has_exactly_one_outcome_whatever_the_order_of_the_answers(
            steps in prop::collection::vec((0u8..5, 1u64..40, any::<bool>()), 1..200)
        ) {
            let (confirms, mut begun, mut open) = (Confirms::default(), 0u64, std::collections::BTreeSet::new());
            let mut outcomes = std::collections::BTreeMap::new();
            for (what, number, multiple) in steps {
                match what {
                    0 | 1 => {
                        begun += 1;
                        confirms.lock().begin(Waker::noop(), begun, begun);
                        open.insert(begun);
                    }
                    2 => confirms.answered(number, multiple, if number % 3 == 0 { Answer::Nack } else { Answer::Ack }),
                    3 => confirms.expire(number / 4),
                    _ if open.remove(&number) => confirms.abandon(number),
                    _ => {}
                }
                for number in open.clone() {
                    if let Poll::Ready(outcome) = poll(&confirms, number) {
                        open.remove(&number);
                        prop_assert!(outcomes.insert(number, outcome).is_none());
                    }
                }
            }
            confirms.end();
            for number in open {
                prop_assert_eq!(poll(&confirms, number), LOST);
            }
            prop_assert!(confirms.lock().slots.is_empty());
        }

        #[test]
        fn what_differs_in_one_octet_has_another_print(body in prop::collection::vec(any::<u8>(), 1..256), at: prop::sample::Index) {
            let mut other = body.clone();
            other[at.index(body.len())] ^= 1;
            prop_assert_ne!(print(b"e", b"k", &body), print(b"e", b"k", &other));
            prop_assert_ne!(print(b"e", b"k", &body), print(b"ek", b"", &body));
        }
    }
}
