//! What is known of a connection while it is open: blocked, closing, gone; and its socket, kept to be cut.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Whether the broker lets a connection publish.
#[derive(Debug, Default)]
pub(super) struct Gate {
    blocked: AtomicBool,
    opened: Notify,
    /// We are closing it ourselves: its end is no incident.
    closing: AtomicBool,
    /// It is gone.
    lost: AtomicBool,
    left: Notify,
}

impl Gate {
    pub(super) fn block(&self) {
        self.blocked.store(true, Ordering::Release);
    }

    pub(super) fn unblock(&self) {
        self.blocked.store(false, Ordering::Release);
        self.opened.notify_waiters();
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    /// Waits until the broker lets the connection publish; at once if it does.
    pub(super) async fn unblocked(&self) {
        loop {
            let opened = self.opened.notified();
            if !self.is_blocked() {
                return;
            }
            opened.await;
        }
    }

    /// From now on its end is no incident.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Waits until the connection is gone, which `is_lost` may know before the gate does.
    pub(super) async fn lost(&self, is_lost: impl Fn() -> bool) {
        loop {
            let left = self.left.notified();
            if is_lost() {
                return;
            }
            left.await;
        }
    }

    /// Takes note that the connection is gone; says whether that is news.
    pub(super) fn lose(&self) -> bool {
        let news = !self.lost.swap(true, Ordering::AcqRel);
        self.left.notify_waiters();
        // Nobody is held back by the block of a connection that is gone.
        self.unblock();
        news
    }
}

/// What the loss of a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterLoss {
    /// The end of the trial.
    End,
    /// A new connection.
    Renew,
}

/// The socket of a connection, kept to be cut; the client has its own handle on it.
#[derive(Debug, Default)]
pub(super) struct Socket(Mutex<Option<TcpStream>>);

impl Socket {
    pub(super) fn keep(&self, socket: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    /// Shuts it, with no goodbye.
    pub(super) fn cut(&self) {
        if let Some(socket) = self.release() {
            // A socket that the broker has closed already needs no cut.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Lets go of it, so that nothing of ours keeps a dead connection open.
    pub(super) fn release(&self) -> Option<TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
