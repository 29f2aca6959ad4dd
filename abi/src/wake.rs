// SPDX-License-Identifier: MIT OR GPL-2.0

//! Who sleeps, and until when: the producer wakes nobody who has not asked for it.
//!
//! A sleeper joins a wait queue, *arms* the gate and then looks at the counters once more. The
//! producer publishes its counter and then looks at the gate. Each stores before a full fence and
//! loads after it, so at least one of the two sees the other's store: either the sleeper finds the
//! bytes and does not sleep, or the producer finds the gate armed and wakes it.

use super::sync::{
    full_fence,
    AtomicU64, //
};

/// The value of a gate that nobody waits at. A `write_count` gets there after a million years of
/// stereo at 48 kHz.
const NOBODY: u64 = u64::MAX;

/// The gate between a producer and those who sleep until there is something to read.
pub struct Gate {
    /// The `write_count` at which to wake, or [`NOBODY`].
    at: AtomicU64,
}

impl Gate {
    /// A gate that nobody waits at.
    pub fn new() -> Self {
        Self {
            at: AtomicU64::new(NOBODY),
        }
    }

    /// Asks for a wake-up when `write_count` reaches `at`, for all who wait: a later call replaces an
    /// earlier one. The caller is on the wait queue already, and afterwards looks at the counters
    /// before it sleeps.
    #[inline]
    pub fn arm(&self, at: u64) {
        // ORDERING: Relaxed; the fence orders it before the caller's look at the counters. Partner:
        // the fence in `pass`.
        self.at.store_relaxed(at);
        full_fence();
    }

    /// Forgets who has asked; nobody is on the wait queue.
    pub fn disarm(&self) {
        // ORDERING: Relaxed; whoever arms next does so later by the caller's own ordering.
        self.at.store_relaxed(NOBODY);
    }

    /// Whether those on the wait queue are to be woken now that `write_count` is published. Where
    /// this is `true` the gate is open again: one wake-up for one arming.
    ///
    /// `urgent` wakes at any count.
    #[inline]
    pub fn pass(&self, write_count: u64, urgent: bool) -> bool {
        full_fence();
        // ORDERING: Relaxed; the fence orders it after the publication of `write_count`. Partner:
        // the fence in `arm`.
        let at = self.at.load_relaxed();
        if at == NOBODY {
            return false;
        }
        // OVERFLOW: The counters are free-running; the sign of their distance is what matters.
        if !urgent && write_count.wrapping_sub(at) > u64::MAX / 2 {
            return false;
        }
        // ORDERING: Relaxed. A sleeper that arms between the load and this store is on the wait
        // queue already, so the wake-up that follows reaches it too.
        self.at.store_relaxed(NOBODY);
        true
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
