// SPDX-License-Identifier: GPL-2.0

//! Where chunks end: every period is divided into chunks of one size, the last one maybe shorter,
//! so that no chunk crosses the end of a period or of the buffer.
//!
//! Pure arithmetic, tested on the host.

use core::num::NonZeroU32;

/// Most chunks that the card consumes at a time where they were sent ahead.
const CHUNKS_MOST: u32 = 4;

/// The division of a stream into chunks.
#[derive(Clone, Copy)]
pub struct Grid {
    period: NonZeroU32,
    chunk: NonZeroU32,
}

impl Grid {
    /// Divides periods of `period` frames into as few chunks as possible of at most `limit` frames,
    /// and these as small as that allows. 0 is taken as 1.
    pub fn new(period: u32, limit: u32) -> Self {
        let or_one = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        let period = or_one(period);
        let chunks = or_one(div_ceil(period, or_one(limit)));
        Self {
            period,
            chunk: or_one(div_ceil(period, chunks)),
        }
    }

    /// Most frames in a chunk.
    pub fn chunk_frames(&self) -> u32 {
        self.chunk.get()
    }

    /// Most frames from one time at which something is to be done to the next, if what is queued is
    /// sent ahead.
    pub fn most_ahead(&self) -> u32 {
        self.period
            .get()
            .min(self.chunk.get().saturating_mul(CHUNKS_MOST))
    }

    /// Frames from `position` to the end of its chunk, at least 1.
    pub fn left(&self, position: u64) -> u32 {
        let period = u64::from(self.period.get());
        // CAST: Below the period.
        let into = (position % period) as u32;
        let to_chunk_end = self.chunk.get().wrapping_sub(into % self.chunk);
        to_chunk_end.min(self.period.get().wrapping_sub(into))
    }

    /// Frames from `position` to where something is to be done next if all that is queued has been
    /// sent ahead: to the end of the period or, where the stream ends with what is `queued`, to the
    /// end of the chunk with the last frame of that. At least 1, and four chunks at most, which always
    /// fit into the ring: a consumer may come meanwhile that has nothing of what was sent.
    pub fn sent_ahead(&self, position: u64, queued: Option<u64>) -> u64 {
        let period = u64::from(self.period.get());
        let to_period_end = period
            .wrapping_sub(position % period)
            .min(self.most_ahead().into());
        let Some(queued) = queued else {
            return to_period_end;
        };
        let before_last = queued.saturating_sub(1);
        let last = position.wrapping_add(before_last);
        before_last
            .saturating_add(self.left(last).into())
            .min(to_period_end)
    }
}

impl Default for Grid {
    fn default() -> Self {
        Self::new(1, 1)
    }
}

/// `a / b`, rounded up.
fn div_ceil(a: NonZeroU32, b: NonZeroU32) -> u32 {
    // OVERFLOW: At most `a`.
    (a.get().wrapping_sub(1) / b).wrapping_add(1)
}
