// SPDX-License-Identifier: GPL-2.0

//! All that differs between the kernels this is built for.
//!
//! The rest is written for Linux 7.3, and takes from here what Linux 7.2 has otherwise: `LINUX_7_2`,
//! which `module/Kbuild` sets. There, too:
//!
//! - constants of ALSA are C that bindgen does not follow: `compat.h`;
//! - misc devices do not own their module: `misc.rs` says on either kernel who does;
//! - [`SpinLockIrq`] is a lock of ours.

use core::borrow::Borrow;

pub use self::linux::*;

/// What the value of a module parameter is: Linux 7.2 gives a reference to it.
pub fn value<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}

#[cfg(not(LINUX_7_2))]
mod linux {
    use kernel::{
        bindings,
        device::{
            Bound,
            Device, //
        },
        error::Error,
        faux,
        module,
        sync::barrier,
        ThisModule, //
    };

    pub use kernel::{
        new_spinlock_irq,
        sync::SpinLockIrq, //
    };

    /// What a timer's callback returns that does not set it anew.
    pub const HRTIMER_NORESTART: bindings::hrtimer_restart =
        bindings::hrtimer_restart::HRTIMER_NORESTART;

    /// `EBADFD`.
    pub const fn ebadfd() -> Error {
        kernel::error::code::EBADFD
    }

    /// This module.
    pub const fn this_module() -> &'static ThisModule {
        module::this_module::<crate::LocalModule>()
    }

    /// The device of a faux device, which is bound as long as that is registered.
    pub fn device_of(faux: &faux::Registration) -> &Device<Bound> {
        faux.as_ref().as_ref()
    }

    /// A full memory barrier.
    #[inline(always)]
    pub fn smp_mb() {
        barrier::smp_mb(barrier::Full);
    }
}

#[cfg(LINUX_7_2)]
mod linux {
    use kernel::{
        bindings,
        device::{
            Bound,
            Device, //
        },
        error::Error,
        faux,
        ffi::{
            c_char,
            c_int,
            c_ulong, //
        },
        sync::lock::{
            Backend,
            Lock, //
        },
        ThisModule, //
    };

    pub use kernel::sync::barrier::smp_mb;

    pub use crate::compat_new_spinlock_irq as new_spinlock_irq;

    /// What a timer's callback returns that does not set it anew.
    pub const HRTIMER_NORESTART: bindings::hrtimer_restart =
        bindings::hrtimer_restart_HRTIMER_NORESTART;

    /// `EBADFD`.
    pub fn ebadfd() -> Error {
        // CAST: A small constant.
        Error::from_errno((bindings::EBADFD as c_int).wrapping_neg())
    }

    /// This module.
    pub const fn this_module() -> &'static ThisModule {
        &crate::THIS_MODULE
    }

    /// The device of a faux device, which is bound as long as that is registered.
    pub fn device_of(faux: &faux::Registration) -> &Device<Bound> {
        // SAFETY: A faux device is bound when its registration is made, and nothing unbinds it
        // before that goes: its driver has no attribute for it.
        unsafe { faux.as_ref().as_bound() }
    }

    /// A spinlock that is held with interrupts off. Guards are to be dropped in the reverse order:
    /// each has interrupts as they were before it.
    pub type SpinLockIrq<T> = Lock<T, SpinLockIrqBackend>;

    /// The backend of [`SpinLockIrq`].
    pub struct SpinLockIrqBackend;

    extern "C" {
        fn rtshm_spin_lock_irqsave(lock: *mut bindings::spinlock_t) -> c_ulong;
        fn rtshm_spin_unlock_irqrestore(lock: *mut bindings::spinlock_t, flags: c_ulong);
    }

    // SAFETY: The C spinlock ensures mutual exclusion, and `relock` is the default one, which locks
    // in the same way.
    unsafe impl Backend for SpinLockIrqBackend {
        type State = bindings::spinlock_t;
        type GuardState = c_ulong;

        #[inline]
        unsafe fn init(
            lock: *mut Self::State,
            name: *const c_char,
            key: *mut bindings::lock_class_key,
        ) {
            // SAFETY: By the contract of this function.
            unsafe { bindings::__spin_lock_init(lock, name, key) }
        }

        #[inline]
        unsafe fn lock(lock: *mut Self::State) -> Self::GuardState {
            // SAFETY: By the contract of this function.
            unsafe { rtshm_spin_lock_irqsave(lock) }
        }

        #[inline]
        unsafe fn try_lock(_lock: *mut Self::State) -> Option<Self::GuardState> {
            // Nobody tries: it never succeeds.
            None
        }

        #[inline]
        unsafe fn unlock(lock: *mut Self::State, flags: &Self::GuardState) {
            // SAFETY: By the contract of this function; the flags are those of `lock`.
            unsafe { rtshm_spin_unlock_irqrestore(lock, *flags) }
        }

        #[inline]
        unsafe fn assert_is_held(lock: *mut Self::State) {
            // SAFETY: By the contract of this function.
            unsafe { bindings::spin_assert_is_held(lock) }
        }
    }

    /// Makes a [`SpinLockIrq`], with a name and a lock class of its own.
    #[macro_export]
    #[doc(hidden)]
    macro_rules! compat_new_spinlock_irq {
        ($inner:expr, $name:literal) => {
            $crate::compat::SpinLockIrq::new(
                $inner,
                ::kernel::c_str!($name),
                ::kernel::static_lock_class!(),
            )
        };
    }
}
