// SPDX-License-Identifier: GPL-2.0

//! What stands in for the kernel's tracepoints: it keeps what a test asks it to.

use std::cell::RefCell;

/// What a tracepoint was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as the module's trace_rtshm.h has them")]
pub enum Event {
    /// Of `rtshm_push`.
    Push {
        card: u32,
        position: u64,
        frames: u32,
        time_stamp: u64,
        write_count: u64,
    },
    /// Of `rtshm_lost`.
    Lost {
        card: u32,
        position: u64,
        frames: u64,
    },
    /// Of `rtshm_state`.
    State {
        card: u32,
        state: u32,
        position: u64,
        time: u64,
    },
    /// Of `rtshm_clock`.
    Clock {
        card: u32,
        ratio: u64,
        position: u64,
    },
}

thread_local! {
    static EVENTS: RefCell<Option<Vec<Event>>> = const { RefCell::new(None) };
}

/// Returns what `play` traces in this thread.
pub fn of(play: impl FnOnce()) -> Vec<Event> {
    EVENTS.replace(Some(Vec::new()));
    play();
    EVENTS.take().unwrap_or_default()
}

fn note(event: Event) {
    EVENTS.with_borrow_mut(|events| {
        if let Some(events) = events {
            events.push(event);
        }
    });
}

/// As the module's.
pub fn push(card: u32, position: u64, frames: u32, time_stamp: u64, write_count: u64) {
    note(Event::Push {
        card,
        position,
        frames,
        time_stamp,
        write_count,
    });
}

/// As the module's.
pub fn lost(card: u32, position: u64, frames: u64) {
    note(Event::Lost {
        card,
        position,
        frames,
    });
}

/// As the module's.
pub fn state(card: u32, state: u32, position: u64, time: u64) {
    note(Event::State {
        card,
        state,
        position,
        time,
    });
}

/// As the module's.
pub fn clock(card: u32, ratio: u64, position: u64) {
    note(Event::Clock {
        card,
        ratio,
        position,
    });
}
