// SPDX-License-Identifier: GPL-2.0

//! The position as ALSA is told it: modulo the buffer.
//!
//! ALSA cannot see a whole buffer go by between two looks, since the pointer is where it was. So it is
//! told all but a frame of it, and the rest when it looks again.
//!
//! Pure arithmetic, tested on the host.

use core::num::NonZeroU32;

/// What ALSA knows of a position.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pointer {
    told: u64,
}

impl Pointer {
    /// The position that ALSA knows, in frames.
    pub fn told(self) -> u64 {
        self.told
    }

    /// The pointer to tell while the card is at `position`, with a buffer of `buffer` frames: below
    /// `buffer`.
    ///
    /// Whole buffers beyond the first, after a long stall of a stream that does not end, are left
    /// out: nobody asks that often.
    pub fn tell(&mut self, position: u64, buffer: NonZeroU32) -> u32 {
        let size = u64::from(buffer.get());
        let ahead = position.saturating_sub(self.told);
        let laps = (ahead / size).saturating_sub(1);
        // OVERFLOW: At most `position`, here and below.
        self.told = self.told.wrapping_add(laps.wrapping_mul(size));
        let ahead = position.saturating_sub(self.told);
        self.told = self.told.wrapping_add(ahead.min(size.wrapping_sub(1)));
        // CAST: Below `buffer`.
        (self.told % size) as u32
    }
}
