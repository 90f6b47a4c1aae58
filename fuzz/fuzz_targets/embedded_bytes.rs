//! Any bytes into the embedded broker. What must hold is in `tests/embedded_robustness/check.rs`.
//!
//! `sh fuzz/run.sh 600` fuzzes for ten minutes on stable Rust; `cargo +nightly fuzz run embedded_bytes` does where cargo-fuzz
//! is at hand. `tests/embedded_robustness.rs` replays the corpus and mutates it a little.

#![no_main]

#[path = "../../tests/embedded_robustness/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
