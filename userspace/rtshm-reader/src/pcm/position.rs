// SPDX-License-Identifier: MIT OR GPL-2.0

//! Where a PCM's card stands, and when it stood there.
//!
//! A card's position may move in steps: of a period, of a timer's tick, of a USB frame. So a position
//! is worth most where it comes with the time of the step. That is what ALSA keeps of each period
//! interrupt, in the status page that the kernel maps for us. Each question to the PCM, a write
//! included, overwrites it with the time of the question; those readings are left out.
//!
//! PCMs that are no card have no such page. They are asked how much is ahead, now.

use alsa::direct::pcm::Status;
use alsa::pcm::PCM;
use nix::libc::timespec;

use crate::clock::{now, SECOND};
use crate::sink::{Reading, Setup};

use super::setup::size;

/// A stamp that is further off than this is of another clock.
const PLAUSIBLE: u64 = 10 * SECOND;

/// Attempts to read what the kernel may be writing.
const ATTEMPTS: u32 = 4;

/// What is known of a PCM's position.
pub(super) struct Position {
    /// The kernel's page, where there is one that speaks of our frames.
    page: Option<Status>,
    checked: bool,
    /// ALSA's positions wrap around there.
    boundary: u64,
    /// The position at the last reset, or at the last reading.
    origin: u64,
    /// Frames that were fetched since the last reset, at the last reading.
    played: u64,
    /// Frames written since the last reset.
    written: u64,
    /// The stamp that our last question has left.
    own: Option<u64>,
}

impl Position {
    /// Of a PCM that is set up and does not run.
    pub(super) fn new(pcm: &PCM) -> Self {
        let boundary = pcm.sw_params_current().and_then(|sw| sw.get_boundary());
        let mut position = Self {
            page: Status::new(pcm).ok(),
            checked: false,
            boundary: boundary.map_or(0, size),
            origin: 0,
            played: 0,
            written: 0,
            own: None,
        };
        position.reset();
        position
    }

    /// The PCM was reset.
    pub(super) fn reset(&mut self) {
        self.origin = self.page.as_ref().map_or(0, |page| size(page.hw_ptr()));
        (self.played, self.written) = (0, 0);
        self.asked();
    }

    /// So many frames were written.
    pub(super) fn wrote(&mut self, frames: u64) {
        self.written += frames;
        self.asked();
    }

    /// The PCM was asked for something.
    pub(super) fn asked(&mut self) {
        self.own = self.page.as_ref().map(|page| nanos(page.htstamp()));
    }

    /// What the card has said since the last question.
    pub(super) fn read(&mut self, pcm: &PCM, setup: &Setup) -> Option<Reading> {
        if !self.checked {
            self.check(pcm, setup)?;
        }
        let Some(page) = &self.page else {
            let (_, delay) = pcm.avail_delay().ok()?;
            let queued = size(delay);
            return Some(Reading {
                time: now(),
                played: self.written.checked_sub(queued)?,
                queued,
            });
        };
        let (time, hw_ptr) = steady(page)?;
        if Some(time) == self.own {
            return None;
        }
        self.own = Some(time);
        self.move_to(hw_ptr);
        Some(Reading {
            time,
            played: self.played,
            queued: self.written.checked_sub(self.played)?,
        })
    }

    /// Finds out, once the card has moved, whether the page is of use: behind a PCM that converts the
    /// rate it speaks of other frames.
    fn check(&mut self, pcm: &PCM, setup: &Setup) -> Option<()> {
        let Some(page) = &self.page else {
            self.checked = true;
            return Some(());
        };
        for _ in 0..ATTEMPTS {
            let room = size(pcm.avail().ok()?);
            let (time, hw_ptr) = steady(page)?;
            let played = self.wrapped(hw_ptr.wrapping_sub(self.origin));
            if played == 0 {
                self.own = Some(time);
                return None;
            }
            let expected = (self.written + room).checked_sub(setup.buffer_frames);
            if expected == Some(self.played + played) && time.abs_diff(now()) < PLAUSIBLE {
                self.checked = true;
                self.own = Some(time);
                self.move_to(hw_ptr);
                return None;
            }
        }
        self.checked = true;
        self.page = None;
        Some(())
    }

    fn move_to(&mut self, hw_ptr: u64) {
        self.played += self.wrapped(hw_ptr.wrapping_sub(self.origin));
        self.origin = hw_ptr;
    }

    fn wrapped(&self, difference: u64) -> u64 {
        if difference > u64::MAX / 2 {
            difference.wrapping_add(self.boundary)
        } else {
            difference
        }
    }
}

/// Stamp and position that belong together, or `None` where the kernel does not stop writing.
fn steady(page: &Status) -> Option<(u64, u64)> {
    let read = || (nanos(page.htstamp()), size(page.hw_ptr()));
    let mut last = read();
    for _ in 0..ATTEMPTS {
        let next = read();
        if next == last {
            return Some(next);
        }
        last = next;
    }
    None
}

fn nanos(time: timespec) -> u64 {
    // CAST: Of a clock that is never negative.
    (time.tv_sec as u64)
        .wrapping_mul(SECOND)
        .wrapping_add(time.tv_nsec as u64)
}
