//! How much a pipeline carries: the search for its highest sustainable rate, and the knee of its latency curve.
//!
//! Pure functions over what trials answered; nothing here runs a trial or knows what one is. docs/CAPACITY.md has the method
//! in words.

pub mod knee;
pub mod search;

pub use knee::{Knee, knee};
pub use search::{Answer, Bounds, Edge, Ending, Interval, Point, Status, Step, Trial, interval, points, step};
