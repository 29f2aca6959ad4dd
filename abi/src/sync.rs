// SPDX-License-Identifier: MIT OR GPL-2.0

//! The one seam between the ring and the atomics that it is compiled with.
//!
//! In the module these are the kernel's (the Linux kernel memory model), in user space `core`'s
//! (the C++ model), under loom those of the model checker. The orderings that the ring needs are
//! methods, so that a wrong one cannot be written by accident.

#[cfg(MODULE)]
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

#[cfg(not(any(MODULE, loom)))]
use core::sync::atomic::{
    self as model,
    Ordering, //
};

#[cfg(loom)]
use loom::sync::atomic::{
    self as model,
    Ordering, //
};

macro_rules! atomic {
    ($(#[$doc:meta])* $name:ident, $plain:ty, $model:ident) => {
        $(#[$doc])*
        #[cfg_attr(not(loom), repr(transparent))]
        pub struct $name(
            #[cfg(MODULE)] Atomic<$plain>,
            #[cfg(not(MODULE))] model::$model,
        );

        impl $name {
            /// Creates an atomic that holds `value`.
            pub fn new(value: $plain) -> Self {
                #[cfg(MODULE)]
                let inner = Atomic::new(value);
                #[cfg(not(MODULE))]
                let inner = model::$model::new(value);
                Self(inner)
            }

            /// Loads without ordering anything else.
            #[inline(always)]
            pub fn load_relaxed(&self) -> $plain {
                // ORDERING: The caller's to justify; this is only the seam.
                #[cfg(MODULE)]
                return self.0.load(Relaxed);
                #[cfg(not(MODULE))]
                return self.0.load(Ordering::Relaxed);
            }

            /// Loads; what follows in program order happens after it.
            #[inline(always)]
            pub fn load_acquire(&self) -> $plain {
                // ORDERING: The caller's to justify; this is only the seam.
                #[cfg(MODULE)]
                return self.0.load(Acquire);
                #[cfg(not(MODULE))]
                return self.0.load(Ordering::Acquire);
            }

            /// Stores without ordering anything else.
            #[inline(always)]
            pub fn store_relaxed(&self, value: $plain) {
                // ORDERING: The caller's to justify; this is only the seam.
                #[cfg(MODULE)]
                self.0.store(value, Relaxed);
                #[cfg(not(MODULE))]
                self.0.store(value, Ordering::Relaxed);
            }

            /// Stores; what precedes in program order happens before it.
            #[inline(always)]
            pub fn store_release(&self, value: $plain) {
                // ORDERING: The caller's to justify; this is only the seam.
                #[cfg(MODULE)]
                self.0.store(value, Release);
                #[cfg(not(MODULE))]
                self.0.store(value, Ordering::Release);
            }
        }
    };
}

atomic!(
    /// A 32-bit word that two parties share.
    AtomicU32,
    u32,
    AtomicU32
);
atomic!(
    /// A 64-bit word that two parties share.
    AtomicU64,
    u64,
    AtomicU64
);

/// Orders every access before it against every access after it, store-to-load included.
#[inline(always)]
pub fn full_fence() {
    // ORDERING: `smp_mb()` in the module, `SeqCst` elsewhere; the partner is at each call.
    #[cfg(MODULE)]
    crate::compat::smp_mb();
    #[cfg(not(MODULE))]
    model::fence(Ordering::SeqCst);
}
