//! One seed, named sub-streams: adding a consumer of randomness moves no other.
//!
//! ChaCha8 by name, not the library's `StdRng`, whose algorithm may change between its releases: the same seed must give
//! the same arrivals, payloads and faults for as long as results are compared.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The algorithm's name, written into each result beside the seed.
pub const ALGORITHM: &str = "ChaCha8, sub-streams by FNV-1a of their name";

/// The generator of one sub-stream.
pub type Stream = ChaCha8Rng;

/// The sub-stream `name` of `seed`; `index` sets members of a family apart (consumers, trials).
pub fn stream(seed: u64, name: &str, index: u64) -> Stream {
    let mut generator = ChaCha8Rng::seed_from_u64(seed ^ fnv1a(name));
    generator.set_stream(index);
    generator
}

/// A number in [0, 1) that depends on nothing but its arguments: the fate of `index` under `name`, in whatever order and
/// however often it is asked for.
pub fn unit(seed: u64, name: &str, index: u64) -> f64 {
    let mut mixed = seed ^ fnv1a(name) ^ index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    // SplitMix64's finaliser.
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

/// What tells one text from another in a record; no defence against forgery.
pub fn fingerprint(text: &str) -> String {
    format!("fnv1a64:{:016x}", fnv1a(text))
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn the_same_seed_and_name_give_the_same_numbers() {
        let draw = |seed, name, index| -> Vec<u64> {
            let mut stream = stream(seed, name, index);
            (0..8).map(|_| stream.next_u64()).collect()
        };
        assert_eq!(draw(1, "arrival", 0), draw(1, "arrival", 0));
        assert_ne!(draw(1, "arrival", 0), draw(1, "payload", 0));
        assert_ne!(draw(1, "arrival", 0), draw(2, "arrival", 0));
        assert_ne!(draw(1, "arrival", 0), draw(1, "arrival", 1));
    }

    #[test]
    fn unit_numbers_are_spread_over_the_whole_interval() {
        let mut tenths = [0u32; 10];
        for index in 0..10_000 {
            tenths[(unit(7, "payment", index) * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (900..1100).contains(count)), "{tenths:?}");
    }
}
