// SPDX-License-Identifier: MIT OR GPL-2.0

//! The reader: takes each chunk as soon as it can, and notes when that was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use nix::sys::resource::{getrusage, Usage, UsageWho};
use rtshm::{Chunk, Consumer, Kind};

use super::pattern::differing;
use crate::clock::{frames_to_nanos, now};
use crate::notes::Notes;
use crate::realtime::{self, Realtime};

/// How often to see whether the player is done, where no sound comes.
const SILENCE: Duration = Duration::from_millis(500);

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// From when each chunk's last frame was due to when it was here, in nanoseconds.
    pub(super) latencies: Vec<i64>,
    pub(super) frames: u64,
    pub(super) lost: u64,
    /// Samples that are others than were written.
    pub(super) wrong: u64,
    /// Most frames in a chunk, by the stream's format.
    pub(super) chunk_frames: u32,
    /// Sleeps that ended because there was something to read.
    pub(super) wakeups: u64,
    /// System calls that were made to wait.
    pub(super) calls: u64,
    /// Processor time of this thread.
    pub(super) time: Duration,
    rate: u32,
}

impl Heard {
    /// With room for the latencies of so many chunks.
    pub(super) fn with_capacity(chunks: usize) -> Self {
        Self {
            latencies: Vec::with_capacity(chunks),
            ..Self::default()
        }
    }

    fn take(&mut self, kind: Kind<'_>) {
        match kind {
            Kind::Format(format) => {
                self.rate = format.rate;
                self.chunk_frames = format.chunk_frames;
            }
            Kind::Audio(chunk) => self.take_chunk(&chunk),
            Kind::Lost(lost) => self.lost += lost.frames,
            _ => {}
        }
    }

    fn take_chunk(&mut self, chunk: &Chunk<'_>) {
        let frames = u64::from(chunk.frame_count);
        let due = chunk.time_stamp + frames_to_nanos(frames, self.rate);
        // CAST: Both are this machine's uptime.
        self.latencies.push(now() as i64 - due as i64);
        let first = (self.frames + self.lost) * u64::from(chunk.channels);
        self.wrong += differing(chunk.samples, first);
        self.frames += frames;
    }
}

/// Listens until `total` frames, which may become fewer, were heard or lost.
pub(super) fn listen(
    consumer: &mut Consumer,
    mut heard: Heard,
    total: &AtomicU64,
    realtime: Realtime,
    notes: Notes,
) -> Result<Heard> {
    realtime::get_ready(realtime, notes);
    let before = processor_time(UsageWho::RUSAGE_THREAD)?;
    // ORDERING: Relaxed; the number stands by itself.
    while heard.frames + heard.lost < total.load(Ordering::Relaxed) {
        heard.calls += 1;
        heard.wakeups += u64::from(consumer.wait(Some(SILENCE))?);
        while let Some(event) = consumer.pop()? {
            heard.take(event.kind());
        }
    }
    heard.time = processor_time(UsageWho::RUSAGE_THREAD)?.saturating_sub(before);
    Ok(heard)
}

/// Processor time used so far, in user space and in the kernel.
pub(super) fn processor_time(who: UsageWho) -> Result<Duration> {
    let usage: Usage = getrusage(who)?;
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().try_into().unwrap_or(0))
            + Duration::from_micros(time.tv_usec().try_into().unwrap_or(0))
    };
    Ok(micros(usage.user_time()) + micros(usage.system_time()))
}
