// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, checked.

use kernel::prelude::*;

use crate::{
    abi::layout::{
        CAPACITY_MAX,
        CAPACITY_MIN, //
    },
    module_parameters, //
};

/// Fewest and most frames in a chunk.
const CHUNK_FRAMES: (u32, u32) = (16, 4096);

/// Highest index of an ALSA card.
const INDEX_MAX: i32 = 31;

/// What the module was loaded with.
pub struct Params {
    /// ALSA's index of the card, negative for the first that is free.
    pub index: i32,
    /// Bytes in the ring.
    pub capacity: u64,
    /// Most frames in a chunk.
    pub chunk_frames: u32,
}

impl Params {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// `EINVAL`, with a line in the log, for a value out of range.
    pub fn read() -> Result<Self> {
        let index = module_parameters::index.value();
        let ring_kib = module_parameters::ring_kib.value();
        let chunk_frames = module_parameters::chunk_frames.value();
        if !(-1..=INDEX_MAX).contains(&index) {
            pr_err!("index={index} is no card: use 0 to {INDEX_MAX}, or -1 for any\n");
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
        Ok(Self {
            index,
            capacity,
            chunk_frames,
        })
    }
}
