// SPDX-License-Identifier: GPL-2.0

//! Records that did not fit into the ring yet, in order and in bounded space.
//!
//! Pure, tested on the host.

use crate::abi::record::{
    self,
    Format,
    Lost,
    StateChange,
    Volume, //
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
    /// Of a `VOLUME` record.
    Volume(Volume),
}

impl Body {
    /// The `size` of the record.
    pub fn size(&self) -> u32 {
        // CAST: Small constants.
        (match self {
            Self::Format(_) => size_of::<Format>(),
            Self::State(_) => size_of::<StateChange>(),
            Self::Lost(_) => size_of::<Lost>(),
            Self::Volume(_) => size_of::<Volume>(),
        }) as u32
    }

    /// The `kind` of the record.
    pub fn kind(&self) -> u16 {
        match self {
            Self::Format(_) => record::FORMAT,
            Self::State(_) => record::STATE,
            Self::Lost(_) => record::LOST,
            Self::Volume(_) => record::VOLUME,
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
        self.remove(0);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a record; returns whether there was room for it.
    ///
    /// A `VOLUME` record takes the place of an earlier one that only losses follow: nothing is to be
    /// heard at that volume. So a slider that is moved while nothing fits takes no more room.
    #[must_use]
    pub fn push(&mut self, entry: Entry) -> bool {
        if let Body::Volume(_) = entry.body {
            self.supersede_volume();
        }
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
        self.extend_at(self.len.wrapping_sub(1), position, frames)
    }

    /// As [`extend`](Self::extend), for the record at `index`.
    fn extend_at(&mut self, index: usize, position: u64, frames: u64) -> bool {
        match self.entries.get_mut(index) {
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

    /// Removes the newest `VOLUME` record if only losses follow it, and joins what is one gap then.
    fn supersede_volume(&mut self) {
        let mut index = self.len;
        loop {
            // Past the oldest there is none.
            index = index.wrapping_sub(1);
            match self.entries.get(index) {
                Some(Some(Entry {
                    body: Body::Lost(_),
                    ..
                })) => {}
                Some(Some(Entry {
                    body: Body::Volume(_),
                    ..
                })) => break,
                _ => return,
            }
        }
        self.remove(index);
        if let Some(&Some(Entry {
            position,
            body: Body::Lost(lost),
            ..
        })) = self.entries.get(index)
        {
            if self.extend_at(index.wrapping_sub(1), position, lost.frames) {
                self.remove(index);
            }
        }
    }

    /// Removes the record at `index`, if there is one.
    fn remove(&mut self, index: usize) {
        if index >= self.len {
            return;
        }
        self.len = self.len.wrapping_sub(1);
        for at in index..ENTRIES {
            let next = self.entries.get(at.wrapping_add(1)).copied().flatten();
            if let Some(place) = self.entries.get_mut(at) {
                *place = next;
            }
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
