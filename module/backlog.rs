// SPDX-License-Identifier: GPL-2.0

//! Records that did not fit into the ring yet, in order and in bounded space.
//!
//! Pure, tested on the host.

use crate::abi::record::{
    self,
    Format,
    Lost,
    StateChange, //
};

/// Records kept one by one; with more, the oldest are told in sum.
const ENTRIES: usize = 8;

/// The body of a record other than `AUDIO`.
#[derive(Clone, Copy)]
pub enum Body {
    /// Of a `FORMAT` record.
    Format(Format),
    /// Of a `STATE` record.
    State(StateChange),
    /// Of a `LOST` record.
    Lost(Lost),
}

impl Body {
    /// The `size` of the record.
    pub fn size(&self) -> u32 {
        // CAST: Small constants.
        (match self {
            Self::Format(_) => size_of::<Format>(),
            Self::State(_) => size_of::<StateChange>(),
            Self::Lost(_) => size_of::<Lost>(),
        }) as u32
    }

    /// The `kind` of the record.
    pub fn kind(&self) -> u16 {
        match self {
            Self::Format(_) => record::FORMAT,
            Self::State(_) => record::STATE,
            Self::Lost(_) => record::LOST,
        }
    }
}

/// A record other than `AUDIO`, to be written.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The header's flags.
    pub flags: u16,
    /// The header's position, in frames since the stream was prepared.
    pub position: u64,
    /// The body.
    pub body: Body,
}

/// The records owed to the consumer, oldest first.
#[derive(Default)]
pub struct Backlog {
    entries: [Option<Entry>; ENTRIES],
    len: usize,
}

impl Entry {
    /// A `LOST` record with more frames; another record as it is.
    fn with_frames(mut self, more: u64) -> Self {
        if let Body::Lost(lost) = &mut self.body {
            lost.frames = lost.frames.wrapping_add(more);
        }
        self
    }
}

impl Backlog {
    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The oldest record owed.
    pub fn first(&self) -> Option<&Entry> {
        self.entries.first()?.as_ref()
    }

    /// Bytes in the ring that everything owed takes.
    pub fn stored_len(&self) -> u64 {
        let len = |entry: &Entry| record::stored_len(entry.body.size());
        // OVERFLOW: A few small records.
        let entries = self.entries.iter().flatten();
        entries.fold(0, |sum: u64, entry| sum.wrapping_add(len(entry)))
    }

    /// Removes the oldest record owed.
    pub fn remove_first(&mut self) {
        if self.len != 0 {
            self.entries.rotate_left(1);
            self.len = self.len.wrapping_sub(1);
            if let Some(freed) = self.entries.last_mut() {
                *freed = None;
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a record; returns whether there was room for it.
    #[must_use]
    pub fn push(&mut self, entry: Entry) -> bool {
        match self.entries.get_mut(self.len) {
            Some(free) => {
                *free = Some(entry);
                self.len = self.len.wrapping_add(1);
                true
            }
            None => false,
        }
    }

    /// Adds frames to the newest record if that is a `LOST` which ends where they begin; returns
    /// whether it is.
    #[must_use]
    pub fn extend(&mut self, position: u64, frames: u64) -> bool {
        let newest = self.len.wrapping_sub(1);
        match self.entries.get_mut(newest) {
            Some(Some(Entry {
                position: first,
                body: Body::Lost(lost),
                ..
            })) if first.wrapping_add(lost.frames) == position => {
                lost.frames = lost.frames.wrapping_add(frames);
                true
            }
            _ => false,
        }
    }

    /// Replaces everything by one `LOST` record of all frames lost, or by nothing.
    pub fn collapse(&mut self) {
        let mut sum: Option<Entry> = None;
        for entry in self.entries.iter().flatten() {
            sum = match (sum, entry.body) {
                (Some(first), Body::Lost(more)) => Some(first.with_frames(more.frames)),
                (None, Body::Lost(_)) => Some(*entry),
                (sum, _) => sum,
            };
        }
        self.clear();
        if let Some(mut entry) = sum {
            entry.flags |= record::SPANS_STREAMS;
            // There is room: nothing else is owed.
            let _ = self.push(entry);
        }
    }

    /// Replaces everything and the `LOST` record `last` by one of all frames lost.
    pub fn collapse_into(&mut self, last: Entry) {
        self.collapse();
        // There is room: at most one record is owed.
        let _ = self.push(last);
        self.collapse();
    }
}
