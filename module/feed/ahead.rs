// SPDX-License-Identifier: GPL-2.0

//! What is sent ahead of the card: as long as there is room to spare, so that nothing is lost that
//! would not be lost otherwise.

use super::{
    Chunk,
    Feed, //
};
use crate::abi::record::{
    self,
    Format, //
};

/// Bytes of the ring that stay free for changes of state and volume while frames are sent ahead.
const RESERVE: u64 = 16 * record::RECORD_ALIGN;

impl Feed {
    /// The next frame to be sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes note that the card has consumed up to `count` frames of those that were sent ahead;
    /// returns how many there were. The others are for [`audio`](Self::audio).
    pub fn pass(&mut self, count: u64) -> u64 {
        let passed = self.sent.wrapping_sub(self.position).min(count);
        self.position = self.position.wrapping_add(passed);
        passed
    }

    /// Sends the next `count` frames before the card consumes them, as a chunk; `left` of them, at
    /// least `count`, remain to the end of the grid's chunk. `time` and `convert` are as for
    /// [`audio`](Self::audio). Returns whether they were sent: otherwise they are to be offered
    /// again, or handed over when the card has consumed them.
    ///
    /// A chunk that is not a whole one wastes room by its header and padding: it is sent as long as
    /// half the ring stays free.
    pub fn ahead(
        &mut self,
        count: u32,
        left: u32,
        time: impl Fn(u64) -> u64,
        convert: impl FnOnce(&mut [u32]),
    ) -> bool {
        let position = self.sent;
        if count == 0 || self.joining.is_some_and(|since| time(position) < since) {
            return false;
        }
        if let Chunk::None = self.chunk {
            self.join(time(position));
            if self.has_room(count, count == left) {
                self.chunk = self.begin_chunk(position, count, &time);
            }
        } else if !self.has_room(0, count == left) {
            return false;
        }
        let start = match &mut self.chunk {
            Chunk::Open { filled, .. } => {
                let start = *filled;
                *filled = start.wrapping_add(count);
                start
            }
            _ => return false,
        };
        if let Some(samples) = self.samples(start, count) {
            convert(samples);
        }
        self.sent = position.wrapping_add(count.into());
        self.end_chunk();
        true
    }

    /// Whether a chunk of `frames` frames fits, nothing is owed, and enough stays free, by whether
    /// the chunk is a whole one.
    fn has_room(&mut self, frames: u32, is_whole: bool) -> bool {
        let Format {
            chunk_frames,
            channels,
            ..
        } = self.format;
        let len = |frames| record::audio_size(frames, channels).map_or(0, record::stored_len);
        let mut fits = false;
        if self.settle() {
            self.note_fault(|writer| {
                let spare = match is_whole {
                    true => len(chunk_frames).wrapping_add(RESERVE),
                    false => writer.capacity() / 2,
                };
                fits = writer.make_room(len(frames).wrapping_add(spare)).is_ok();
            });
        }
        fits
    }
}
