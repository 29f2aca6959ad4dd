// SPDX-License-Identifier: GPL-2.0

//! What has been counted, and the page on which consumers and others see it.

use super::Feed;
use crate::abi::record::{
    Format,
    State, //
};

/// What has been counted since the module was loaded; see `abi::layout::Counters`.
#[derive(Clone, Copy, Default)]
pub struct Totals {
    /// `AUDIO` records written.
    pub chunks: u64,
    /// Frames inside them.
    pub frames: u64,
    /// Frames that did not fit.
    pub lost_frames: u64,
    /// `LOST` records written.
    pub lost_records: u64,
    /// Streams started.
    pub streams: u64,
    /// Streams stopped because the application was late.
    pub xruns: u64,
    /// Consumers found faulty.
    pub faults: u64,
    /// Times those who wait in `poll()` were woken.
    pub wakeups: u64,
}

impl Feed {
    /// Copies the counters and the stream's description to the producer page.
    pub(super) fn publish_page(&self) {
        let Some(writer) = &self.writer else {
            return;
        };
        // ORDERING: Relaxed throughout: each field stands by itself, and nothing is read through it.
        let Totals {
            chunks,
            frames,
            lost_frames,
            lost_records,
            streams,
            xruns,
            faults,
            wakeups,
        } = self.totals;
        let counters = &writer.page().counters;
        counters.chunks.store_relaxed(chunks);
        counters.frames.store_relaxed(frames);
        counters.lost_frames.store_relaxed(lost_frames);
        counters.lost_records.store_relaxed(lost_records);
        counters.streams.store_relaxed(streams);
        counters.xruns.store_relaxed(xruns);
        counters.faults.store_relaxed(faults);
        counters.wakeups.store_relaxed(wakeups);
        let Format {
            rate,
            channels,
            format,
            period_frames,
            buffer_frames,
            chunk_frames,
            reserved: _,
        } = self.format;
        let stream = &writer.page().stream;
        stream
            .state
            .store_relaxed(self.state.map_or(0, State::as_raw));
        stream.rate.store_relaxed(rate);
        stream.channels.store_relaxed(channels);
        stream.format.store_relaxed(format);
        stream.period_frames.store_relaxed(period_frames);
        stream.buffer_frames.store_relaxed(buffer_frames);
        stream.chunk_frames.store_relaxed(chunk_frames);
        writer.page().clock_ratio.store_relaxed(self.clock_ratio);
    }
}
