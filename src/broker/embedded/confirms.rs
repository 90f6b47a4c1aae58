//! Publisher confirms: numbered publishes, answered in batches.

use super::channel::ChannelKey;
use super::vhost::State;
use crate::amqp::frame;

/// The broker's answer to a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Ack,
    Nack,
}

/// Consecutive publishes with the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    last: u64,
    count: u64,
    answer: Answer,
}

/// A channel in confirm mode.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// Number of the last publish.
    last: u64,
    /// Answers that were not sent yet.
    due: Vec<Run>,
}

impl Confirms {
    /// Numbers one publish and keeps its answer.
    fn push(&mut self, answer: Answer) {
        self.last += 1;
        match self.due.last_mut() {
            Some(run) if run.answer == answer => {
                run.last = self.last;
                run.count += 1;
            }
            _ => self.due.push(Run {
                last: self.last,
                count: 1,
                answer,
            }),
        }
    }
}

impl State {
    /// Answers the publish that was just handled, if the channel is in confirm mode. Sent at the end of the batch.
    pub(super) fn answer_publish(&mut self, key: ChannelKey, answer: Answer) {
        let Some(confirms) = self.channels.get_mut(key).and_then(|channel| channel.confirms.as_mut()) else {
            return;
        };
        if confirms.due.is_empty() {
            self.to_confirm.push(key);
        }
        confirms.push(answer);
        match answer {
            Answer::Ack => self.counts.confirmed += 1,
            Answer::Nack => self.counts.refused += 1,
        }
    }

    /// Sends the answers that are due: one frame per run. All earlier publishes are answered before, so a run can use
    /// `multiple`.
    pub(super) fn send_confirms(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let number = channel.number;
        let Some(confirms) = channel.confirms.as_mut() else {
            return;
        };
        if confirms.due.is_empty() {
            return;
        }
        channel.outbox.append(|out| {
            for run in confirms.due.drain(..) {
                frame::write_confirm(out, number, run.last, run.count > 1, run.answer == Answer::Ack);
            }
        });
        let outbox = channel.outbox.clone();
        self.filled(&outbox);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_answers_make_one_run() {
        let mut confirms = Confirms::default();
        for answer in [Answer::Ack, Answer::Ack, Answer::Nack, Answer::Ack] {
            confirms.push(answer);
        }
        assert_eq!(
            confirms.due,
            [
                Run {
                    last: 2,
                    count: 2,
                    answer: Answer::Ack
                },
                Run {
                    last: 3,
                    count: 1,
                    answer: Answer::Nack
                },
                Run {
                    last: 4,
                    count: 1,
                    answer: Answer::Ack
                },
            ]
        );
    }
}
