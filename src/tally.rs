//! A counter that several processes may share.
//!
//! Counts of a worker process live in memory that the driver maps too: they are as fresh as its own, and a SIGKILL of the
//! worker loses none of them. Both sides lay the counters out by making them in the same order. Nothing here knows what
//! is counted.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

const SLOT_BYTES: usize = size_of::<AtomicU64>();

/// One counter, from 0.
#[derive(Debug, Default)]
pub struct Tally(Place);

#[derive(Debug)]
enum Place {
    Own(AtomicU64),
    Shared(Arc<Region>, usize),
}

impl Default for Place {
    fn default() -> Self {
        Place::Own(AtomicU64::default())
    }
}

impl Deref for Tally {
    type Target = AtomicU64;

    fn deref(&self) -> &AtomicU64 {
        match &self.0 {
            Place::Own(own) => own,
            Place::Shared(region, slot) => region.slot(*slot),
        }
    }
}

/// Makes counters, one after the other.
#[derive(Debug, Default)]
pub struct Tallies {
    region: Option<Arc<Region>>,
    next: usize,
}

impl Tallies {
    /// Of this process alone.
    pub fn own() -> Self {
        Tallies::default()
    }

    /// In memory of their own, `slots` at most, that other processes of this user may attach to while this value or one of its
    /// counters lives.
    ///
    /// # Errors
    /// When the kernel gives no memory.
    pub fn shared(slots: usize) -> io::Result<Self> {
        let memory = memfd_create("orderstorm-tallies", MFdFlags::MFD_CLOEXEC)?;
        nix::unistd::ftruncate(&memory, i64::try_from(slots * SLOT_BYTES).unwrap_or(i64::MAX))?;
        Tallies::of(memory, slots)
    }

    /// Those that another process has shared, by the path that [`Tallies::path`] gave there.
    ///
    /// # Errors
    /// When that process is gone, or has fewer.
    pub fn attach(path: &Path, slots: usize) -> io::Result<Self> {
        let file = std::fs::File::options().read(true).write(true).open(path)?;
        if file.metadata()?.len() < (slots * SLOT_BYTES) as u64 {
            return Err(io::Error::other("the shared memory is smaller than its counters"));
        }
        Tallies::of(file.into(), slots)
    }

    fn of(memory: OwnedFd, slots: usize) -> io::Result<Self> {
        Ok(Tallies {
            region: Some(Arc::new(Region::map(memory, slots)?)),
            next: 0,
        })
    }

    /// Where another process finds them; absent for those of one process.
    pub fn path(&self) -> Option<PathBuf> {
        let region = self.region.as_ref()?;
        let (pid, fd) = (std::process::id(), region.memory.as_raw_fd());
        Some(format!("/proc/{pid}/fd/{fd}").into())
    }

    /// The next counter.
    ///
    /// # Panics
    /// When a shared memory has no more of them.
    pub fn tally(&mut self) -> Tally {
        let slot = self.next;
        self.next += 1;
        match &self.region {
            None => Tally::default(),
            Some(region) => {
                assert!(slot < region.slots, "the shared memory has {} counters", region.slots);
                Tally(Place::Shared(Arc::clone(region), slot))
            }
        }
    }
}

/// Mapped memory; gone with its last counter.
#[derive(Debug)]
struct Region {
    base: NonNull<AtomicU64>,
    slots: usize,
    memory: OwnedFd,
}

// SAFETY: the memory is only ever touched as atomics, and unmapped by the last owner alone.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn map(memory: OwnedFd, slots: usize) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(slots * SLOT_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours, and the file has these bytes.
        let base = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, memory.as_fd(), 0)? };
        Ok(Region {
            base: base.cast(),
            slots,
            memory,
        })
    }

    fn slot(&self, slot: usize) -> &AtomicU64 {
        assert!(slot < self.slots, "a counter is in its region");
        // SAFETY: in bounds, aligned (a mapping starts on a page), all bit patterns are valid, and it lives as long as self.
        unsafe { self.base.add(slot).as_ref() }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and nobody has a reference any more.
        let _ = unsafe { munmap(self.base.cast(), self.slots * SLOT_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn both_sides_of_a_shared_memory_count_the_same() {
        let mut here = Tallies::shared(2).expect("memory");
        let mut there = Tallies::attach(&here.path().expect("a path"), 2).expect("the same memory");
        let (ours, theirs) = ([here.tally(), here.tally()], [there.tally(), there.tally()]);
        ours[1].fetch_add(5, Relaxed);
        theirs[1].fetch_add(2, Relaxed);
        assert_eq!((ours[0].load(Relaxed), ours[1].load(Relaxed)), (0, 7));
        drop((here, ours));
        assert_eq!(theirs[1].load(Relaxed), 7, "it lives as long as anybody maps it");
    }

    #[test]
    fn counters_of_one_process_are_apart() {
        let mut tallies = Tallies::own();
        let (one, other) = (tallies.tally(), tallies.tally());
        one.fetch_add(1, Relaxed);
        assert_eq!((one.load(Relaxed), other.load(Relaxed)), (1, 0));
        assert_eq!(tallies.path(), None);
    }

    #[test]
    fn memory_that_is_too_small_is_refused() {
        let here = Tallies::shared(1).expect("memory");
        assert!(Tallies::attach(&here.path().expect("a path"), 600).is_err());
    }
}
