//! Any bytes into the embedded broker: it must not panic, and a bystander must still be served.
//!
//! `cargo +nightly fuzz run embedded_bytes` (needs `cargo install cargo-fuzz`). The same loop runs on stable Rust over
//! the corpus and its mutations in `tests/embedded_robustness.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    use orderstorm::broker::embedded::{EmbeddedOptions, ProbeBroker, ProbeState};
    let broker = ProbeBroker::new(EmbeddedOptions::default());
    let mut victim = broker.connect();
    // The first octet chooses how the rest is cut, so that frames arrive in pieces too.
    let Some((cut, rest)) = bytes.split_first() else {
        return;
    };
    for piece in rest.chunks(usize::from(*cut) + 1) {
        if victim.feed(piece) == ProbeState::Ended {
            break;
        }
        victim.take_output();
    }
    let mut bystander = broker.connect();
    assert_eq!(bystander.feed(b"AMQP\x00\x00\x09\x01"), ProbeState::Reading);
    assert!(!bystander.take_output().is_empty());
});
