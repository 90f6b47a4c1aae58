//! The messages of a queue that wait for a consumer: by priority, then by age, with a way back for those returned.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::message::Message;

/// One message in one queue.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    /// Where it stands in its queue: lower is older, and a requeued message keeps its number.
    pub(super) position: u64,
    pub(super) expires: Option<Instant>,
    /// Deliveries that ended without an ack.
    pub(super) returns: u32,
    pub(super) redelivered: bool,
}

/// The ready messages of one queue.
#[derive(Debug)]
pub(super) struct Ready {
    /// One line per priority; the last has the highest.
    lines: Vec<VecDeque<Entry>>,
    count: usize,
    bytes: u64,
}

impl Ready {
    pub(super) fn new(max_priority: u8) -> Self {
        Self {
            lines: vec![VecDeque::new(); usize::from(max_priority) + 1],
            count: 0,
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Sum of the bodies' lengths.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push_back(&mut self, entry: Entry) {
        self.count += 1;
        self.bytes += entry.message.body().len() as u64;
        self.line_of(&entry).push_back(entry);
    }

    /// Puts a message back to where its position says it was.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.count += 1;
        self.bytes += entry.message.body().len() as u64;
        let line = self.line_of(&entry);
        let at = line.partition_point(|other| other.position < entry.position);
        line.insert(at, entry);
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        self.lines.iter().rev().find_map(VecDeque::front)
    }

    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let entry = self.lines.iter_mut().rev().find_map(VecDeque::pop_front)?;
        self.count -= 1;
        self.bytes -= entry.message.body().len() as u64;
        Some(entry)
    }

    /// Drops everything and says how much it was.
    pub(super) fn clear(&mut self) -> usize {
        for line in &mut self.lines {
            *line = VecDeque::new();
        }
        self.bytes = 0;
        std::mem::take(&mut self.count)
    }

    fn line_of(&mut self, entry: &Entry) -> &mut VecDeque<Entry> {
        let highest = self.lines.len() - 1;
        &mut self.lines[usize::from(entry.message.priority).min(highest)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::embedded::memory::Gauge;
    use crate::broker::embedded::message::Draft;

    fn entry(position: u64, priority: u8) -> Entry {
        let mut draft = Draft::default();
        draft.address(b"", b"q");
        let message = draft
            .assemble(&[0; 14], 0, &Gauge::new(u64::MAX))
            .finish(priority, None);
        Entry {
            message: Arc::new(message),
            position,
            expires: None,
            returns: 0,
            redelivered: false,
        }
    }

    fn drain(ready: &mut Ready) -> Vec<u64> {
        std::iter::from_fn(|| ready.pop_front())
            .map(|entry| entry.position)
            .collect()
    }

    #[test]
    fn a_returned_message_goes_back_to_its_place() {
        let mut ready = Ready::new(0);
        for position in [0, 2, 5] {
            ready.push_back(entry(position, 0));
        }
        for position in [4, 1, 3] {
            ready.put_back(entry(position, 0));
        }
        assert_eq!(drain(&mut ready), [0, 1, 2, 3, 4, 5]);
        assert_eq!(ready.len(), 0);
    }

    #[test]
    fn higher_priorities_leave_first_and_too_high_ones_count_as_the_highest() {
        let mut ready = Ready::new(2);
        for (position, priority) in [(0, 0), (1, 1), (2, 9), (3, 2), (4, 1)] {
            ready.push_back(entry(position, priority));
        }
        assert_eq!(drain(&mut ready), [2, 3, 1, 4, 0]);
    }
}
