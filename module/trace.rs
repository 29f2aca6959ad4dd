// SPDX-License-Identifier: GPL-2.0

//! Tracepoints, declared in `trace_rtshm.h`. One that is off costs a no-operation instruction.
//!
//! For any context. The pure files call these functions by their path in the crate; where they are
//! compiled for the host, something else stands there.

use crate::alsa::sys;

/// Defines a function for a tracepoint.
///
/// As `kernel::tracepoint::declare_trace`, which looks for tracepoints in the kernel's own bindings
/// only.
macro_rules! tracepoint {
    (
        $(#[$doc:meta])*
        $name:ident($($argument:ident: $type:ty),*), $key:ident, $call:ident
    ) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name($($argument: $type),*) {
            #[cfg(CONFIG_TRACEPOINTS)]
            {
                // SAFETY: The tracepoint is a static of this module.
                let is_on = unsafe {
                    kernel::jump_label::static_branch_unlikely!(
                        sys::$key,
                        kernel::bindings::tracepoint,
                        key
                    )
                };
                if is_on {
                    // SAFETY: A tracepoint of plain numbers asks for nothing.
                    unsafe { sys::$call($($argument),*) };
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = ($($argument),*);
        }
    };
}

tracepoint! {
    /// A chunk was published.
    push(card: u32, position: u64, frames: u32, time_stamp: u64, write_count: u64),
    __tracepoint_rtshm_push, rust_do_trace_rtshm_push
}

tracepoint! {
    /// Frames did not fit.
    lost(card: u32, position: u64, frames: u64),
    __tracepoint_rtshm_lost, rust_do_trace_rtshm_lost
}

tracepoint! {
    /// The stream changed its state.
    state(card: u32, state: u32, position: u64, time: u64),
    __tracepoint_rtshm_state, rust_do_trace_rtshm_state
}

tracepoint! {
    /// The card's clock changed its speed.
    clock(card: u32, ratio: u64, position: u64),
    __tracepoint_rtshm_clock, rust_do_trace_rtshm_clock
}
