// SPDX-License-Identifier: GPL-2.0

//! A high-resolution timer that may be set anew from any context.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)
//!
//! `kernel::time::hrtimer` ties a running timer to a handle whose drop cancels it and waits for its
//! callback. A PCM sets its timer in `trigger`, under the stream lock that the callback takes too:
//! there no handle may be dropped, hence not replaced either. C drivers just start the timer again,
//! and so does this type.

use core::{
    marker::PhantomPinned,
    mem::offset_of, //
};

use kernel::{
    bindings,
    prelude::*,
    types::Opaque, //
};

use crate::compat::HRTIMER_NORESTART;

/// Nanoseconds of `CLOCK_MONOTONIC` now.
pub fn now() -> u64 {
    // SAFETY: For any context but suspend, which none of our code runs in.
    let now = unsafe { bindings::ktime_get() };
    now.unsigned_abs()
}

/// What a [`Timer`] is embedded in.
///
/// # Safety
///
/// `from_timer` returns the object whose [`Timer`] it is given.
pub unsafe trait HasTimer: Sync {
    /// The object around `timer`.
    ///
    /// # Safety
    ///
    /// `timer` is the C timer in the [`Timer`] of a live object of this type.
    unsafe fn from_timer(timer: *mut bindings::hrtimer) -> *const Self;

    /// Called in soft interrupt context when the time has come.
    fn expired(&self);
}

/// A one-shot timer on `CLOCK_MONOTONIC` that fires in soft interrupt context.
#[pin_data(PinnedDrop)]
pub struct Timer {
    #[pin]
    inner: Opaque<bindings::hrtimer>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The C timer has its own locking and belongs to no thread.
unsafe impl Send for Timer {}
// SAFETY: As above.
unsafe impl Sync for Timer {}

impl Timer {
    /// A timer that is not set, to be embedded in a `T`.
    pub fn new<T: HasTimer>() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::hrtimer| {
                // SAFETY: The slot is pinned memory for a timer, and `expired` has the signature and
                // the contract that the C side expects.
                unsafe {
                    bindings::hrtimer_setup(
                        slot,
                        Some(expired::<T>),
                        // CAST: A small constant.
                        bindings::CLOCK_MONOTONIC as i32,
                        bindings::hrtimer_mode_HRTIMER_MODE_ABS_SOFT,
                    )
                };
            }),
            _pin: PhantomPinned,
        })
    }

    /// Where in a `Timer` the C timer is.
    pub const OFFSET: usize = offset_of!(Self, inner);

    /// Sets the timer to fire at `time`, in nanoseconds of `CLOCK_MONOTONIC`, whether it was set or
    /// not. For any context.
    pub fn set(&self, time: u64) {
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        // SAFETY: By construction the timer is initialized, and its drop cancels it.
        unsafe {
            bindings::hrtimer_start_range_ns(
                self.inner.get(),
                time,
                0,
                bindings::hrtimer_mode_HRTIMER_MODE_ABS_SOFT,
            )
        };
    }

    /// Unsets the timer unless its callback is running. For any context.
    pub fn try_unset(&self) {
        // SAFETY: By construction the timer is initialized.
        unsafe { bindings::hrtimer_try_to_cancel(self.inner.get()) };
    }

    /// Unsets the timer and waits for its callback to return. For process context, without a lock
    /// that the callback takes.
    pub fn unset(&self) {
        // SAFETY: By construction the timer is initialized.
        unsafe { bindings::hrtimer_cancel(self.inner.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for Timer {
    fn drop(self: Pin<&mut Self>) {
        self.unset();
    }
}

/// # Safety
///
/// Called by the timer core for a timer made by [`Timer::new`] of a `T`.
unsafe extern "C" fn expired<T: HasTimer>(
    timer: *mut bindings::hrtimer,
) -> bindings::hrtimer_restart {
    // SAFETY: The timer is embedded in a `T`, which is live: its drop waits for this function.
    let object = unsafe { &*T::from_timer(timer) };
    object.expired();
    HRTIMER_NORESTART
}
