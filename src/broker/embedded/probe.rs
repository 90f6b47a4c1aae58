//! Connections without sockets, for property tests, fuzzing and benchmarks: the very code that serves real ones.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;

use super::options::EmbeddedOptions;
use super::server::BrokerHandle;
use super::session::{Progress, Session};
use super::shared::Shared;

/// A broker that listens nowhere. Times to live do not pass in it: it has no timer.
pub struct ProbeBroker {
    shared: Arc<Shared>,
}

/// One connection to a [`ProbeBroker`].
pub struct Probe {
    session: Session,
    input: BytesMut,
    output: Vec<u8>,
}

/// What a connection would do next if it had a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeState {
    /// Read on.
    Reading,
    /// Not read until the client takes its output ([`Probe::take_output`]).
    Congested,
    /// Not read until the memory alarm is over.
    Blocked,
    /// The broker sent connection.close and waits for the answer.
    Closing,
    /// Closed.
    Ended,
}

impl fmt::Debug for ProbeBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeBroker").finish_non_exhaustive()
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("unread", &self.input.len())
            .finish_non_exhaustive()
    }
}

impl ProbeBroker {
    /// A broker with these options, of which the address and the runtime do not matter.
    pub fn new(options: EmbeddedOptions) -> Self {
        Self {
            shared: Shared::new(options),
        }
    }

    /// A connection that has sent nothing yet.
    pub fn connect(&self) -> Probe {
        Probe {
            session: Session::new(self.shared.clone()),
            input: BytesMut::new(),
            output: Vec::new(),
        }
    }

    /// Counts and controls.
    pub fn handle(&self) -> BrokerHandle {
        BrokerHandle::of(self.shared.clone())
    }
}

impl Probe {
    /// Gives the broker bytes from the client.
    pub fn feed(&mut self, bytes: &[u8]) -> ProbeState {
        self.input.extend_from_slice(bytes);
        match self.session.process(&mut self.input) {
            Progress::Read => ProbeState::Reading,
            Progress::Congested => ProbeState::Congested,
            Progress::Blocked => ProbeState::Blocked,
            Progress::Closing => ProbeState::Closing,
            Progress::Ended => ProbeState::Ended,
        }
    }

    /// Takes what the broker has written to this client, as the client's reading would, and lets it go on writing.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.session.outbox.take(&mut self.output);
        self.session.outbox.written(self.output.len());
        self.session.resume_deliveries();
        std::mem::take(&mut self.output)
    }
}
