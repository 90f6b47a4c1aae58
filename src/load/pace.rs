//! When an open loop looks again: on time for what is due, and not for every order apart.

use crate::clock::Nanos;

/// The load wakes no more often than this: what falls due in between is sent together. Far below what a queue adds, and it
/// keeps the driver's cost flat at high rates.
pub const TICK_NS: Nanos = 130_000;

/// When to wake for an order intended at `intended`, after having been awake at `last_wake`.
pub const fn wake_at(intended: Nanos, last_wake: Nanos) -> Nanos {
    let earliest = last_wake + TICK_NS;
    if intended > earliest { intended } else { earliest }
}
