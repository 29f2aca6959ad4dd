// SPDX-License-Identifier: GPL-2.0

//! What others ask a feed.

use super::{
    Chunk,
    Feed,
    Totals, //
};
use crate::abi::{
    memory::Writer,
    record::{
        Format,
        State,
        Volume, //
    }, //
};

impl Feed {
    /// Whether a stream has started and not ended.
    pub fn is_active(&self) -> bool {
        matches!(
            self.state,
            Some(State::Start | State::Pause | State::Resume | State::Drain | State::Suspend)
        )
    }

    /// Whether the consumer was found faulty.
    pub fn is_faulty(&self) -> bool {
        self.writer.as_ref().is_some_and(Writer::is_faulty)
    }

    /// Whether records are owed that did not fit yet.
    pub fn is_owing(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether records are owed that would be written if there were room.
    pub fn can_settle(&self) -> bool {
        self.is_owing() && !matches!(self.chunk, Chunk::Refused { .. })
    }

    /// The counters.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The stream's format, zero before the first stream.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The last change of state.
    pub fn last_state(&self) -> Option<State> {
        self.state
    }

    /// What the mixer says, and since when.
    pub fn last_volume(&self) -> Volume {
        self.volume
    }

    /// The speed at which the card's clock runs, as [`clock`](Self::clock) was told.
    pub fn clock_ratio(&self) -> u64 {
        self.clock_ratio
    }

    /// The speed that the consumer asks for, any value at all; 0 where it asks for none, is faulty or
    /// is not there. See `abi::layout::ConsumerPage::rate_request`.
    pub fn rate_request(&self) -> u64 {
        match &self.writer {
            Some(writer) if !writer.is_faulty() => writer.rate_request(),
            _ => 0,
        }
    }

    /// The consumer's counter as it says itself.
    pub fn claimed_read_count(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::claimed_read_count)
    }

    /// The consumer's counter as it was last accepted.
    pub fn read_count(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::read_count)
    }

    /// Bytes ever published for this consumer.
    pub fn write_count(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::write_count)
    }
}
