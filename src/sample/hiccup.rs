//! How late a thread wakes that wants to sleep for a millisecond: what this machine does to every timer, the load's among them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::measure::Recorder;

/// What the sleeper asks for.
const NAP: Duration = Duration::from_millis(1);

/// A sleeper beside the load; ends with its value.
#[derive(Debug)]
pub struct HiccupProbe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Recorder>>,
}

impl HiccupProbe {
    /// Starts sleeping.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(clock: Clock) -> io::Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("hiccup".to_owned())
            .spawn(move || sleep_until_asked(clock, &asked))?;
        Ok(HiccupProbe {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the sleeper, within a nap; the lateness of each wake-up, nanoseconds.
    pub fn finish(mut self) -> Recorder {
        self.stop.store(true, Ordering::Relaxed);
        // The thread only sleeps and counts; one that panicked has measured nothing.
        self.thread
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for HiccupProbe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn sleep_until_asked(clock: Clock, stop: &AtomicBool) -> Recorder {
    // As the load's timer does; failure shows in the figure.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut lateness = Recorder::default();
    while !stop.load(Ordering::Relaxed) {
        let deadline = clock.now() + NAP.as_nanos() as u64;
        std::thread::sleep(NAP);
        lateness.record(clock.now().saturating_sub(deadline));
    }
    lateness
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nap_is_recorded_and_none_ends_early() {
        let clock = Clock::start();
        let probe = HiccupProbe::start(clock).expect("a thread");
        while clock.now() < 30_000_000 {
            std::thread::sleep(NAP);
        }
        let (lateness, elapsed) = (probe.finish(), clock.now());
        assert!(lateness.count() > 0 && lateness.count() <= elapsed / 1_000_000);
        assert!(lateness.max().is_some_and(|worst| worst < elapsed));
    }
}
