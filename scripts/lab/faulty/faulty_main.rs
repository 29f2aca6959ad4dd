// SPDX-License-Identifier: GPL-2.0

//! A module with the fault that its parameters ask for, to see that the debug kernel finds it and
//! that the lab takes the report for a failure.

use core::mem::MaybeUninit;

use kernel::{
    bindings,
    new_spinlock,
    prelude::*,
    sync::{
        Refcount,
        SpinLock, //
    },
    time, //
};

module! {
    type: Faulty,
    name: "faulty",
    authors: ["the rtshm authors"],
    description: "Has the fault that it is asked for",
    license: "GPL v2",
    params: {
        freed: bool {
            default: false,
            description: "Read memory after it was freed (KASAN)",
        },
        beyond: bool {
            default: false,
            description: "Read beyond the end of memory from vmalloc (KASAN)",
        },
        leak: bool {
            default: false,
            description: "Forget memory (kmemleak)",
        },
        order: bool {
            default: false,
            description: "Take two locks in one order, then in the other (lockdep)",
        },
        sleep: bool {
            default: false,
            description: "Allocate with a spinlock held, so that it may sleep (DEBUG_ATOMIC_SLEEP)",
        },
        timer: bool {
            default: false,
            description: "Free a timer that is running (DEBUG_OBJECTS_TIMERS)",
        },
        shift: bool {
            default: false,
            description: "Shift by more bits than there are (UBSAN)",
        },
        count: bool {
            default: false,
            description: "Let a reference count go up from zero (refcount_t)",
        },
        index: bool {
            default: false,
            description: "Index an array past its end (Rust panic)",
        },
    },
}

struct Faulty;

impl kernel::Module for Faulty {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let faults: [(bool, fn() -> Result); 9] = [
            // After any other report lockdep may be off.
            (module_parameters::order.value(), order),
            (module_parameters::freed.value(), freed),
            (module_parameters::beyond.value(), beyond),
            (module_parameters::leak.value(), leak),
            (module_parameters::sleep.value(), sleep),
            (module_parameters::timer.value(), timer),
            (module_parameters::shift.value(), shift),
            (module_parameters::count.value(), count),
            (module_parameters::index.value(), index),
        ];
        for (wanted, fault) in faults {
            if wanted {
                fault()?;
            }
        }
        Ok(Self)
    }
}

fn freed() -> Result {
    let memory = KBox::into_raw(KBox::new([0u8; 64], GFP_KERNEL)?);
    // SAFETY: it comes from `into_raw()`, and is not used as a box again.
    drop(unsafe { KBox::from_raw(memory) });
    // SAFETY: none, this is the fault.
    let byte = unsafe { memory.cast::<u8>().read_volatile() };
    pr_info!("after it was freed: {byte}\n");
    Ok(())
}

fn beyond() -> Result {
    let memory = VVec::from_elem(0u8, 4000, GFP_KERNEL)?;
    // SAFETY: none, this is the fault. The page has 96 bytes more.
    let byte = unsafe { memory.as_ptr().add(4008).read_volatile() };
    pr_info!("beyond the end: {byte}\n");
    Ok(())
}

fn leak() -> Result {
    // Several, as one may be seen on a stack that was not overwritten.
    for _ in 0..16 {
        KBox::leak(KBox::new([0u8; 200], GFP_KERNEL)?);
    }
    Ok(())
}

fn order() -> Result {
    let first = KBox::pin_init(new_spinlock!((), "faulty::first"), GFP_KERNEL)?;
    let second = KBox::pin_init(new_spinlock!((), "faulty::second"), GFP_KERNEL)?;
    both(&first, &second);
    both(&second, &first);
    Ok(())
}

fn both(outer: &SpinLock<()>, inner: &SpinLock<()>) {
    let _outer = outer.lock();
    let _inner = inner.lock();
}

fn sleep() -> Result {
    let lock = KBox::pin_init(new_spinlock!(()), GFP_KERNEL)?;
    let _guard = lock.lock();
    KBox::new(0u8, GFP_KERNEL)?;
    Ok(())
}

fn timer() -> Result {
    let timer = KBox::into_raw(KBox::new(
        MaybeUninit::<bindings::hrtimer>::zeroed(),
        GFP_KERNEL,
    )?)
    .cast::<bindings::hrtimer>();
    extern "C" fn never(_: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
        bindings::hrtimer_restart::HRTIMER_NORESTART
    }
    // SAFETY: the memory is a timer's, and stays until it is freed below.
    unsafe {
        bindings::hrtimer_setup(
            timer,
            Some(never),
            bindings::CLOCK_MONOTONIC as bindings::clockid_t,
            bindings::hrtimer_mode_HRTIMER_MODE_REL,
        );
        bindings::hrtimer_start_range_ns(
            timer,
            3600 * time::NSEC_PER_SEC,
            0,
            bindings::hrtimer_mode_HRTIMER_MODE_REL,
        );
    }
    // SAFETY: it comes from `into_raw()`. That the timer is running is the fault.
    drop(unsafe { KBox::from_raw(timer) });
    Ok(())
}

fn shift() -> Result {
    extern "C" {
        fn faulty_shift(bits: c_int) -> c_int;
    }
    // SAFETY: it touches no memory. The number of bits is the fault.
    let value = unsafe { faulty_shift(40) };
    pr_info!("shifted: {value}\n");
    Ok(())
}

fn count() -> Result {
    let count = Refcount::new(0);
    count.inc();
    Ok(())
}

fn index() -> Result {
    let array = [1u8, 2, 3];
    let index = core::hint::black_box(array.len());
    pr_info!("past the end: {}\n", array[index]);
    Ok(())
}
