// SPDX-License-Identifier: GPL-2.0

//! Who says how fast the card's clock goes.

use core::ffi::CStr;

use crate::{
    abi::sync::AtomicU32,
    clock::Speed, //
};

/// The lowest and the highest pitch, in millionths of the nominal rate: the USB gadget's.
pub const PITCH_RANGE: (i32, i32) = (750_000, 1_005_000);

/// The pitch that is the nominal rate.
pub const PITCH_NOMINAL: u32 = 1_000_000;

/// How far a consumer can pull the clock, in parts per million.
pub const REQUEST_PPM: u32 = 1000;

/// The names of the [`Source`]s, by their numbers.
pub const SOURCES: &[&CStr] = &[c"Free", c"Pitch", c"Consumer"];

/// Who steers the clock.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Source {
    /// Nobody: the rate is nominal.
    Free = 0,
    /// The control `Playback Pitch 1000000`.
    Pitch = 1,
    /// The consumer, by the rate that it requests in its page; without a request the pitch, so that
    /// whoever steers that is not ignored where no consumer wants to.
    Consumer = 2,
}

/// What the mixer says of the clock.
pub struct Steering {
    source: AtomicU32,
    pitch: AtomicU32,
}

impl Steering {
    /// The consumer steers, and the pitch is nominal.
    pub fn new() -> Self {
        Self {
            source: AtomicU32::new(Source::Consumer.as_raw()),
            pitch: AtomicU32::new(PITCH_NOMINAL),
        }
    }

    /// The number of the source.
    pub fn source(&self) -> u32 {
        // ORDERING: Relaxed, here and below: each value stands by itself.
        self.source.load_relaxed()
    }

    /// The pitch, in millionths of the nominal rate.
    pub fn pitch(&self) -> u32 {
        self.pitch.load_relaxed()
    }

    /// Chooses the source by its number; returns whether it is another one.
    pub fn set_source(&self, source: u32) -> bool {
        let before = self.source();
        self.source.store_relaxed(source);
        before != source
    }

    /// Sets the pitch, in millionths of the nominal rate; returns whether it is another one.
    pub fn set_pitch(&self, pitch: u32) -> bool {
        let before = self.pitch();
        self.pitch.store_relaxed(pitch);
        before != pitch
    }

    /// The speed to go at, where the consumer requests `ratio / 2^32` of the nominal rate, or 0 for
    /// nothing.
    pub fn speed(&self, ratio: u64) -> Speed {
        const FREE: u32 = Source::Free.as_raw();
        const CONSUMER: u32 = Source::Consumer.as_raw();
        match self.source() {
            FREE => Speed::NOMINAL,
            CONSUMER if ratio != 0 => Speed::from_ratio(ratio).clamp_ppm(REQUEST_PPM),
            _ => Speed::from_millionths(self.pitch()),
        }
    }
}

impl Default for Steering {
    fn default() -> Self {
        Self::new()
    }
}

impl Source {
    const fn as_raw(self) -> u32 {
        // CAST: To the representation.
        self as u32
    }
}
