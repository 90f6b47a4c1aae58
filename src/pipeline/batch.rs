//! Deliveries of one channel whose acknowledgement waits for others, and those that stand before them.
//!
//! Pure: it says what may be acknowledged how, and talks to no broker.

use std::collections::VecDeque;

use crate::amqp::Reach;
use crate::clock::Nanos;

/// Deliveries of one channel that are finished but not acknowledged, and those that stand before them.
///
/// An acknowledgement of several deliveries covers every tag up to its own, so it may reach no further than the first tag
/// that is not finished.
#[derive(Debug)]
pub(super) struct Batch {
    /// Tag of the first mark.
    first: u64,
    /// Tag of the next delivery.
    next: u64,
    /// By tag, which a channel counts up by one.
    marks: VecDeque<Mark>,
    /// Marks at the front none of which is open.
    front: usize,
    /// Finished ones among them.
    ready: usize,
    /// Finished ones in all.
    pub(super) waiting: usize,
    /// Since when the oldest of the finished waits.
    pub(super) oldest: Option<Nanos>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Open,
    Finished,
    Settled,
}

impl Default for Batch {
    /// For a channel that was just opened: its tags begin at 1.
    fn default() -> Self {
        Batch {
            first: 1,
            next: 1,
            marks: VecDeque::new(),
            front: 0,
            ready: 0,
            waiting: 0,
            oldest: None,
        }
    }
}

impl Batch {
    /// A delivery has come; tags of a channel follow one another.
    pub(super) fn taken(&mut self, tag: u64) {
        if self.marks.is_empty() {
            self.first = self.next;
        }
        self.next = tag + 1;
        // What was passed over stays open for ever: no acknowledgement may cover a delivery that nobody took.
        let at = (tag - self.first) as usize;
        self.marks.resize(self.marks.len().max(at + 1), Mark::Open);
    }

    /// Finished; its acknowledgement waits.
    pub(super) fn finished(&mut self, tag: u64, now: Nanos) {
        if self.mark(tag, Mark::Finished) {
            self.waiting += 1;
            self.oldest.get_or_insert(now);
            self.advance();
        }
    }

    /// Settled by itself.
    pub(super) fn settled(&mut self, tag: u64) {
        if self.mark(tag, Mark::Settled) {
            self.advance();
        }
    }

    /// Marks one that is open; says whether it was.
    fn mark(&mut self, tag: u64, mark: Mark) -> bool {
        let at = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.marks.get_mut(at)) {
            Some(open @ Mark::Open) => {
                *open = mark;
                true
            }
            _ => false,
        }
    }

    fn advance(&mut self) {
        while let Some(mark) = self.marks.get(self.front).filter(|mark| **mark != Mark::Open) {
            self.ready += usize::from(*mark == Mark::Finished);
            self.front += 1;
        }
        while self.marks.front() == Some(&Mark::Settled) {
            self.marks.pop_front();
            self.first += 1;
            self.front -= 1;
        }
    }

    /// Finished deliveries that one acknowledgement can cover.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Tags of all that is finished.
    pub(super) fn finished_tags(&self) -> impl Iterator<Item = u64> + '_ {
        let tags = (self.first..).zip(&self.marks);
        tags.filter(|(_, mark)| **mark == Mark::Finished).map(|(tag, _)| tag)
    }

    /// The acknowledgements that settle everything finished: one for the whole front, one for each delivery behind it.
    pub(super) fn take(&mut self) -> Vec<(u64, Reach)> {
        let before = self.first + self.front as u64;
        let mut acks = Vec::new();
        for tag in self.finished_tags() {
            match acks.last_mut() {
                Some((last, Reach::UpTo)) if tag < before => *last = tag,
                _ if tag < before => acks.push((tag, Reach::UpTo)),
                _ => acks.push((tag, Reach::One)),
            }
        }
        for mark in self.marks.iter_mut().filter(|mark| **mark == Mark::Finished) {
            *mark = Mark::Settled;
        }
        (self.ready, self.waiting, self.oldest) = (0, 0, None);
        self.advance();
        acks
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_acknowledgement_never_covers_an_unfinished_delivery() {
        let mut batch = Batch::default();
        (1..=5).for_each(|tag| batch.taken(tag));
        [1, 2, 4].into_iter().for_each(|tag| batch.finished(tag, 0));
        assert_eq!(batch.ready(), 2);
        assert_eq!(batch.take(), [(2, Reach::UpTo), (4, Reach::One)]);
        batch.finished(3, 0);
        assert_eq!(batch.ready(), 1);
        assert_eq!(batch.take(), [(3, Reach::UpTo)]);
        assert_eq!(batch.waiting, 0);
    }

    #[test]
    fn a_rejected_delivery_does_not_hold_the_batch_back() {
        let mut batch = Batch::default();
        (1..=3).for_each(|tag| batch.taken(tag));
        batch.settled(1);
        batch.finished(2, 0);
        assert_eq!(batch.take(), [(2, Reach::UpTo)]);
    }

    #[test]
    fn a_delivery_that_was_passed_over_is_never_covered() {
        let mut batch = Batch::default();
        [1, 2, 4, 5].into_iter().for_each(|tag| batch.taken(tag));
        [1, 2, 4, 5].into_iter().for_each(|tag| batch.finished(tag, 0));
        assert_eq!(batch.take(), [(2, Reach::UpTo), (4, Reach::One), (5, Reach::One)]);
        batch.taken(7);
        batch.finished(7, 0);
        assert_eq!(batch.take(), [(7, Reach::One)]);
    }

    proptest! {
        /// Against sets of tags, in which nothing can slip.
        #[test]
        fn every_finished_delivery_is_acknowledged_once_and_no_other(
            steps in prop::collection::vec((0u8..6, any::<prop::sample::Index>()), 1..200)
        ) {
            let (mut batch, mut next) = (Batch::default(), 1);
            let (mut open, mut finished) = (BTreeSet::new(), BTreeSet::new());
            for (what, which) in steps {
                let chosen = (!open.is_empty()).then(|| *open.iter().nth(which.index(open.len())).expect("one of them"));
                match (what, chosen) {
                    (0..=2, _) => {
                        batch.taken(next);
                        open.insert(next);
                        next += 1;
                    }
                    (3, Some(tag)) => {
                        batch.finished(tag, 0);
                        open.remove(&tag);
                        finished.insert(tag);
                    }
                    (4, Some(tag)) => {
                        batch.settled(tag);
                        open.remove(&tag);
                    }
                    _ => {
                        let mut acknowledged = BTreeSet::new();
                        for (tag, reach) in batch.take() {
                            prop_assert!(finished.contains(&tag));
                            match reach {
                                Reach::One => _ = acknowledged.insert(tag),
                                Reach::UpTo => {
                                    prop_assert!(open.first().is_none_or(|first| *first > tag));
                                    acknowledged.extend(finished.range(..=tag).copied());
                                }
                            }
                        }
                        prop_assert_eq!(&acknowledged, &finished);
                        finished.clear();
                    }
                }
                let front = open.first().copied().unwrap_or(u64::MAX);
                prop_assert_eq!(batch.ready(), finished.range(..front).count());
                prop_assert_eq!(batch.waiting, finished.len());
                prop_assert_eq!(batch.finished_tags().collect::<BTreeSet<_>>(), finished.clone());
            }
        }
    }
}
