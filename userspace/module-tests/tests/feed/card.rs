// SPDX-License-Identifier: GPL-2.0

//! What the card plays, such that every frame can be told from every other.

use rtshm_module_tests::abi::record::Format;

/// When frame number `frame` of all that the card ever consumed is due, in nanoseconds.
pub(crate) fn due(frame: u64) -> u64 {
    1_000_000_007 + frame * 20_833
}

/// The sample of a frame's channel: another one for each, of all bit patterns.
pub(crate) fn sample(frame: u64, channel: u32) -> u32 {
    // A multiplication by an odd number takes no two values to the same.
    (frame as u32 * 64 + channel).wrapping_mul(0x9e37_79b1)
}

/// What an application configured, and how its periods are divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) rate: u32,
    pub(crate) channels: u32,
    pub(crate) period: u32,
    pub(crate) chunk: u32,
}

impl Config {
    pub(crate) const fn new(rate: u32, channels: u32, period: u32, chunk: u32) -> Self {
        Self {
            rate,
            channels,
            period,
            chunk,
        }
    }

    pub(crate) fn format(&self) -> Format {
        Format {
            rate: self.rate,
            channels: self.channels,
            format: 14,
            period_frames: self.period,
            buffer_frames: 4 * self.period,
            chunk_frames: self.chunk,
            reserved: [0; 2],
        }
    }

    /// Whether a chunk begins with the frame at `position`.
    pub(crate) fn begins_chunk(&self, position: u64) -> bool {
        position % u64::from(self.period) % u64::from(self.chunk) == 0
    }

    /// Frames from `position` to the end of its chunk.
    pub(crate) fn left(&self, position: u64) -> u32 {
        let ends = |ahead: &u32| self.begins_chunk(position + u64::from(*ahead));
        (1..).find(ends).unwrap()
    }

    /// Bytes in the ring that a chunk takes: header, chunk, samples, up to a multiple of 64.
    pub(crate) fn stored(&self, frames: u32) -> u64 {
        (64 + 4 * u64::from(frames) * u64::from(self.channels)).div_ceil(64) * 64
    }
}
