//! Names that the broker makes: of queues, consumer tags.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// A name that no other call in this process returns and that no client can guess from the last one.
pub(super) fn generated(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(number);
    format!("{prefix}{number:x}-{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_names_are_equal() {
        let names: std::collections::HashSet<_> = (0..1000).map(|_| super::generated("amq.gen-")).collect();
        assert_eq!(names.len(), 1000);
    }
}
