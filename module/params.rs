// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, checked.

use kernel::prelude::*;

use crate::{
    abi::layout::{
        CAPACITY_MAX,
        CAPACITY_MIN, //
    },
    compat::value,
    delivery::Mode,
    module_parameters, //
};

/// Fewest and most frames in a chunk.
const CHUNK_FRAMES: (u32, u32) = (16, 4096);

/// Most cards.
pub const DEVICES_MAX: usize = 8;

/// Highest index of an ALSA card.
const INDEX_MAX: i32 = 31;

/// What the module was loaded with.
pub struct Params {
    /// How many cards to make.
    pub devices: usize,
    /// ALSA's index of the first card, with those of the others behind it; negative for free ones, of
    /// which bit n allows n, as ALSA has it: -1 for any, -2 for any but 0.
    index: i32,
    /// Bytes in the ring.
    pub capacity: u64,
    /// Most frames in a chunk.
    pub chunk_frames: u32,
    /// How chunks are delivered unless the mixer says otherwise.
    pub delivery: Mode,
}

impl Params {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// `EINVAL`, with a line in the log, for a value out of range.
    pub fn read() -> Result<Self> {
        let devices: u32 = value(module_parameters::devices.value());
        let index: i32 = value(module_parameters::index.value());
        let ring_kib: u32 = value(module_parameters::ring_kib.value());
        let chunk_frames: u32 = value(module_parameters::chunk_frames.value());
        let eager: u32 = value(module_parameters::eager.value());
        if index > INDEX_MAX {
            pr_err!(
                "index={index} is no card: use 0 to {INDEX_MAX}, -1 for any, -2 for any but 0\n"
            );
            return Err(EINVAL);
        }
        // CAST: Widening.
        let count = devices as usize;
        if !(1..=DEVICES_MAX).contains(&count) {
            pr_err!("devices={devices} is no number of cards: use 1 to {DEVICES_MAX}\n");
            return Err(EINVAL);
        }
        // CAST: Small by the checks above, and so is all that follows.
        let last = INDEX_MAX.wrapping_sub(count as i32).wrapping_add(1);
        if index > last {
            pr_err!("index={index} leaves no room for {devices} cards: use up to {last}\n");
            return Err(EINVAL);
        }
        let capacity = u64::from(ring_kib).saturating_mul(1024);
        if !capacity.is_power_of_two() || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity) {
            let (min, max) = (CAPACITY_MIN / 1024, CAPACITY_MAX / 1024);
            pr_err!("ring_kib={ring_kib} is no ring: use a power of two from {min} to {max}\n");
            return Err(EINVAL);
        }
        let (min, max) = CHUNK_FRAMES;
        if !(min..=max).contains(&chunk_frames) {
            pr_err!("chunk_frames={chunk_frames} is no chunk: use {min} to {max}\n");
            return Err(EINVAL);
        }
        let Some(delivery) = Mode::from_number(eager) else {
            pr_err!("eager={eager} is no way to deliver: use 0 or 1\n");
            return Err(EINVAL);
        };
        Ok(Self {
            devices: count,
            index,
            capacity,
            chunk_frames,
            delivery,
        })
    }

    /// The index of the card of instance `number`; negative for free ones, see [`Params::index`].
    pub fn card_index(&self, number: usize) -> i32 {
        match self.index {
            0.. => {
                // CAST: Below `DEVICES_MAX`.
                self.index.wrapping_add(number as i32)
            }
            allowed => allowed,
        }
    }
}
