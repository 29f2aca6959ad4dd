// SPDX-License-Identifier: MIT OR GPL-2.0

//! The reader: takes each chunk as soon as it can, and notes when that was.

use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Times that this thread slept and was woken.
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

/// Listens until `total` frames were heard or lost, or nothing comes after the player has set
/// `is_played`.
pub(super) fn listen(
    consumer: &mut Consumer,
    mut heard: Heard,
    total: u64,
    is_played: &AtomicBool,
    realtime: Realtime,
    notes: Notes,
) -> Result<Heard> {
    realtime::get_ready(realtime, notes);
    let before = getrusage(UsageWho::RUSAGE_THREAD)?;
    while heard.frames + heard.lost < total {
        // ORDERING: Acquire, with the Release of `Raise`: whoever sees the flag finds all that was
        // played in the ring.
        let was_played = is_played.load(Ordering::Acquire);
        heard.calls += 1;
        let mut is_silent = !consumer.wait(Some(SILENCE))?;
        while let Some(event) = consumer.pop()? {
            is_silent = false;
            heard.take(event.kind());
        }
        if was_played && is_silent {
            break;
        }
    }
    let after = getrusage(UsageWho::RUSAGE_THREAD)?;
    heard.time = processor_time(&after).saturating_sub(processor_time(&before));
    let sleeps = after.voluntary_context_switches() - before.voluntary_context_switches();
    heard.wakeups = u64::try_from(sleeps).unwrap_or(0);
    Ok(heard)
}

/// Sets a flag when it goes, also where its thread panics.
pub(super) struct Raise<'flag>(pub(super) &'flag AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        // ORDERING: Release, with the Acquire of `listen()`.
        self.0.store(true, Ordering::Release);
    }
}

/// Processor time used so far, in user space and in the kernel.
pub(super) fn processor_time(usage: &Usage) -> Duration {
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().try_into().unwrap_or(0))
            + Duration::from_micros(time.tv_usec().try_into().unwrap_or(0))
    };
    micros(usage.user_time()) + micros(usage.system_time())
}

#[cfg(test)]
mod tests {
    use rtshm::State;

    use super::*;
    use crate::bench::pattern::sample;
    use crate::fake::Fake;

    #[test]
    fn frames_that_are_missing_untold_do_not_hold_it_up() {
        let mut kernel = Fake::new();
        assert!(kernel.format(48_000, 1, 100));
        assert!(kernel.state(State::Start, 0));
        let samples: Vec<f32> = (0..100).map(sample).collect();
        assert!(kernel.audio(1, 0, now(), &samples));
        // Never readable: as nothing comes.
        let (read, _write) = nix::unistd::pipe().unwrap();
        let mut consumer = kernel.consumer_polling(read).unwrap();
        let is_played = AtomicBool::new(true);
        let heard = listen(
            &mut consumer,
            Heard::default(),
            200,
            &is_played,
            Realtime::No,
            Notes::new(false, true),
        )
        .unwrap();
        assert_eq!((heard.frames, heard.lost, heard.wrong), (100, 0, 0));
        // What was there, and nothing. Each sleeps.
        assert_eq!(heard.calls, 2);
        assert!(heard.wakeups >= 1, "{}", heard.wakeups);
    }

    #[test]
    fn a_thread_that_panics_raises_its_flag() {
        let flag = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _raise = Raise(&flag);
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(thread.join().is_err());
        });
        // ORDERING: Relaxed, behind the join.
        assert!(flag.load(Ordering::Relaxed));
    }
}
