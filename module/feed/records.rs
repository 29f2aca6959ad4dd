// SPDX-License-Identifier: GPL-2.0

//! Writing records: at once, or owed until they fit.

use super::{
    Feed,
    News, //
};
use crate::{
    abi::{
        memory::Writer,
        plain::Plain,
        record::{
            self,
            Format,
            Header,
            State,
            StateChange, //
        }, //
    },
    backlog::{
        Body,
        Entry, //
    }, //
};

impl Feed {
    /// Writes what is owed if it fits; returns whether nothing is owed any more.
    ///
    /// While the stream goes on, a chunk has to fit behind it, and no chunk be half lost: otherwise
    /// more is lost at once, and one gap would be told in many records. The endpoint sees to it that
    /// several chunks fit into an empty ring.
    pub fn settle(&mut self) -> bool {
        if self.backlog.is_empty() {
            return true;
        }
        if !self.can_settle() {
            return false;
        }
        let Format {
            chunk_frames,
            channels,
            ..
        } = self.format;
        let chunk = match self.is_active() {
            true => record::audio_size(chunk_frames, channels).map_or(0, record::stored_len),
            false => 0,
        };
        let needed = self.backlog.stored_len().wrapping_add(chunk);
        let mut fits = false;
        self.note_fault(|writer| fits = writer.make_room(needed).is_ok());
        if !fits {
            return false;
        }
        while let Some(&entry) = self.backlog.first() {
            let done = match &entry.body {
                Body::Format(body) => self.put(&entry, body),
                Body::State(body) => self.put(&entry, body),
                Body::Lost(body) => self.put(&entry, body),
                Body::Volume(body) => self.put(&entry, body),
            };
            if !done {
                return false;
            }
            self.backlog.remove_first();
        }
        true
    }

    /// Adds a record to what is owed; returns whether there was room.
    pub(super) fn owe(&mut self, flags: u16, body: Body) -> bool {
        self.backlog.push(Entry {
            flags,
            position: self.position,
            body,
        })
    }

    /// Owes all that a consumer has to know, after a collapse: there is room.
    pub(super) fn resync(&mut self, now: u64) {
        self.owe(record::RESYNC, Body::Volume(self.volume));
        self.describe(now);
    }

    /// Owes a description of the stream as it is, to a consumer that knows the volume: there is room.
    pub(super) fn describe(&mut self, now: u64) {
        if self.is_active() {
            self.owe(record::RESYNC, Body::Format(self.format));
        }
        if let Some(state) = self.state {
            self.owe(record::RESYNC, state_body(state, now));
        }
    }

    /// Writes one record; returns whether it fitted.
    fn put<T: Plain>(&mut self, entry: &Entry, body: &T) -> bool {
        // CAST: A small constant.
        let size = size_of::<T>() as u32;
        if !self.reserve(record::stored_len(size)) {
            return false;
        }
        let Some(writer) = &mut self.writer else {
            return false;
        };
        let header = Header {
            size,
            kind: entry.body.kind(),
            flags: entry.flags,
            position: entry.position,
        };
        if !write(writer.reserved(), &header, body) {
            writer.abandon();
            return false;
        }
        writer.commit(record::stored_len(size));
        if let Body::Lost(_) = entry.body {
            self.totals.lost_records = self.totals.lost_records.wrapping_add(1);
            self.publish_page();
        }
        self.published(true);
        true
    }

    pub(super) fn reserve(&mut self, len: u64) -> bool {
        let mut reserved = false;
        self.note_fault(|writer| reserved = writer.reserve(len).is_ok());
        reserved
    }

    /// Calls `look`, which may find the consumer faulty; returns whether it is.
    pub(super) fn note_fault(&mut self, look: impl FnOnce(&mut Writer)) -> bool {
        let Some(writer) = &mut self.writer else {
            return false;
        };
        let known = writer.is_faulty();
        look(writer);
        let faulty = writer.is_faulty();
        if faulty && !known {
            self.totals.faults = self.totals.faults.wrapping_add(1);
            self.publish_page();
            self.published(true);
        }
        faulty
    }

    /// Takes note that there is something to see for the consumer.
    pub(super) fn published(&mut self, urgent: bool) {
        let urgent = urgent || self.news.is_some_and(|news| news.urgent);
        self.news = Some(News {
            write_count: self.write_count(),
            urgent,
        });
    }
}

pub(super) fn state_body(state: State, time_stamp: u64) -> Body {
    Body::State(StateChange {
        state: state.as_raw(),
        reserved: 0,
        time_stamp,
    })
}

/// Writes a header and what follows it to the start of `bytes`; returns whether they fitted.
pub(super) fn write<T: Plain>(bytes: &mut [u8], header: &Header, body: &T) -> bool {
    record::put(bytes, header)
        && bytes
            .get_mut(record::HEADER_LEN..)
            .is_some_and(|rest| record::put(rest, body))
}
