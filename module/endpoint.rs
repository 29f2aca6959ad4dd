// SPDX-License-Identifier: GPL-2.0

//! The playback PCM: what applications play into.
//!
//! The card consumes a frame when its clock passes it, and that is when the frame is copied: at the
//! query of the pointer and at the timer, whichever comes first. Until then the application may
//! rewrite it. A frame that the pointer has passed is in the ring already, so that the application
//! may reuse its place at once.
//!
//! A chunk goes out when the clock has passed its last frame. The timer is set to that time, or to
//! the end of what is queued where the stream drains.

use kernel::{
    prelude::*,
    sync::Arc, //
};

use crate::{
    abi::record::{
        self,
        Format,
        State, //
    },
    alsa::{
        pcm::{
            Hardware,
            Playback,
            SampleFormat,
            Trigger, //
        },
        substream::{
            Config,
            Locked,
            Samples, //
        },
        sys,
        timer, //
    },
    clock::Clock,
    grid::Grid,
    outlet::Outlet,
    sample, //
};

/// Least time between two ticks, in nanoseconds: whatever is played, the CPU has time for others.
const TICK_MIN: u64 = 50_000;

/// The playback direction of the card.
pub struct Endpoint {
    outlet: Arc<Outlet>,
    /// Most frames in a chunk.
    chunk_frames: u32,
}

/// What an open substream keeps.
pub struct Stream {
    /// While it plays.
    clock: Option<Clock>,
    grid: Grid,
    /// Frames consumed since the stream was prepared.
    position: u64,
    /// `position` when ALSA asked for the pointer last.
    reported: u64,
    /// Where the next period ends.
    period_end: u64,
    /// Whether the consumer knows that the stream drains.
    drain_told: bool,
}

impl Endpoint {
    /// The endpoint that feeds `outlet` in chunks of at most `chunk_frames` frames.
    pub fn new(outlet: Arc<Outlet>, chunk_frames: u32) -> Self {
        Self {
            outlet,
            chunk_frames,
        }
    }
}

impl Playback for Endpoint {
    type State = Stream;

    const HARDWARE: Hardware = Hardware {
        info: sys::SNDRV_PCM_INFO_INTERLEAVED
            | sys::SNDRV_PCM_INFO_MMAP
            | sys::SNDRV_PCM_INFO_MMAP_VALID
            | sys::SNDRV_PCM_INFO_PAUSE
            | sys::SNDRV_PCM_INFO_PERFECT_DRAIN
            | sys::SNDRV_PCM_INFO_DRAIN_TRIGGER,
        formats: &[SampleFormat::S16_LE, SampleFormat::FLOAT_LE],
        rates: sys::SNDRV_PCM_RATE_44100 | sys::SNDRV_PCM_RATE_48000,
        rate_range: (44_100, 48_000),
        channels_range: (1, 2),
        buffer_bytes_max: 1 << 20,
        period_bytes_range: (64, 1 << 19),
        periods_range: (2, 1024),
    };

    fn open(&self) -> Result<Stream> {
        Ok(Stream {
            clock: None,
            grid: Grid::default(),
            position: 0,
            reported: 0,
            period_end: 0,
            drain_told: false,
        })
    }

    fn prepare(stream: &mut Locked<'_, Self>) -> Result {
        let config = stream.config();
        let grid = Grid::new(
            config.period_frames,
            stream.device().chunk_limit(config.channels),
        );
        *stream.state() = Stream {
            clock: None,
            grid,
            position: 0,
            reported: 0,
            period_end: u64::from(config.period_frames),
            drain_told: false,
        };
        let Config {
            rate,
            channels,
            format,
            period_frames,
            buffer_frames,
        } = config;
        stream.device().outlet.with_feed(|feed| {
            feed.prepare(Format {
                rate,
                channels,
                format: format.0,
                period_frames,
                buffer_frames,
                chunk_frames: grid.chunk_frames(),
                reserved: [0; 2],
            });
        });
        Ok(())
    }

    fn trigger(stream: &mut Locked<'_, Self>, what: Trigger) -> Result {
        let now = timer::now();
        match what {
            Trigger::Start => {
                stream.run(now, State::Start);
                // A stream that drains from the start is told so only by its state, and that comes
                // later under this same lock.
                stream.set_timer(now);
            }
            Trigger::PauseRelease => {
                stream.run(now, State::Resume);
                stream.set_deadline(now);
            }
            Trigger::PausePush => stream.halt(now, State::Pause),
            Trigger::Stop if stream.is_late() => stream.halt(now, State::Xrun),
            Trigger::Stop => stream.halt(now, State::Stop),
            Trigger::Drain => {
                stream.tell_drain(now);
                // Maybe all is played.
                stream.set_timer(now);
            }
        }
        Ok(())
    }

    fn pointer(stream: &mut Locked<'_, Self>) -> usize {
        stream.advance(timer::now());
        let buffer = u64::from(stream.config().buffer_frames.max(1));
        let state = stream.state();
        state.reported = state.position;
        // CAST: Below `buffer`.
        (state.position % buffer) as usize
    }

    fn tick(stream: &mut Locked<'_, Self>) {
        if stream.state().clock.is_none() {
            return;
        }
        let now = timer::now();
        stream.tell_drain(now);
        stream.advance(now);
        let is_over = stream.is_over();
        let state = stream.state();
        if state.position >= state.period_end || is_over {
            stream.period_elapsed();
        }
        // ALSA looks only where the pointer has moved, and believes any pointer of the application's.
        if stream.is_over() {
            stream.stop();
        }
        let period = u64::from(stream.config().period_frames.max(1));
        let state = stream.state();
        let into = state.position % period;
        state.period_end = state.position.wrapping_sub(into).wrapping_add(period);
        stream.set_deadline(now);
    }
}

impl Endpoint {
    /// Most frames in a chunk of so many channels: eight chunks fit into the ring at least.
    fn chunk_limit(&self, channels: u32) -> u32 {
        let room = self.outlet.geometry().capacity() / 8;
        // CAST: A small constant.
        let room = room.saturating_sub(record::AUDIO_OFFSET as u64 + record::RECORD_ALIGN);
        let frames = room / 4 / u64::from(channels.max(1));
        self.chunk_frames
            .min(u32::try_from(frames).unwrap_or(u32::MAX))
    }
}

impl Locked<'_, Endpoint> {
    /// Has the clock go on from where it stands.
    fn run(&mut self, now: u64, state: State) {
        let rate = self.config().rate;
        let stream = self.state();
        stream.clock = Some(Clock::start(now, stream.position, rate));
        self.tell(now, state);
    }

    /// Has the clock stand still.
    fn halt(&mut self, now: u64, state: State) {
        self.advance(now);
        self.state().clock = None;
        self.unset_timer();
        self.tell(now, state);
    }

    /// Tells the consumer, once, where the stream drains.
    fn tell_drain(&mut self, now: u64) {
        if self.is_draining() && !self.state().drain_told {
            self.state().drain_told = true;
            self.advance(now);
            self.tell(now, State::Drain);
        }
    }

    fn tell(&mut self, now: u64, state: State) {
        self.device()
            .outlet
            .with_feed(|feed| feed.state(state, now));
    }

    /// Frames queued and not consumed yet.
    fn left(&mut self) -> u64 {
        let queued = self.queued();
        let state = self.state();
        queued.saturating_sub(state.position.wrapping_sub(state.reported))
    }

    /// Whether the stream plays and has nothing left to play.
    fn is_over(&mut self) -> bool {
        self.state().clock.is_some() && self.ends_when_empty() && self.left() == 0
    }

    /// Consumes what the clock has passed by `now`.
    fn advance(&mut self, now: u64) {
        let &mut Stream {
            clock: Some(clock),
            grid,
            mut position,
            ..
        } = self.state()
        else {
            return;
        };
        let mut due = clock.position_at(now).saturating_sub(position);
        if self.ends_when_empty() {
            due = due.min(self.left());
        }
        if due == 0 {
            return;
        }
        let config = self.config();
        let buffer = u64::from(config.buffer_frames.max(1));
        self.device().outlet.with_feed(|feed| {
            // After a long stall of a stream that never ends: the buffer holds no more than this.
            let gone = due.saturating_sub(buffer);
            if gone != 0 {
                feed.skip(gone, |position| clock.time_of(position));
                position = position.wrapping_add(gone);
                due = buffer;
            }
            while due != 0 {
                let left = grid.left(position);
                // CAST: At most `left`, and below `buffer`.
                let count = due.min(left.into()) as u32;
                let samples = self.frames((position % buffer) as u32, count);
                let time = |position| clock.time_of(position);
                feed.audio(count, left, time, |out| {
                    convert(config.format, &samples, out)
                });
                position = position.wrapping_add(count.into());
                due = due.wrapping_sub(count.into());
            }
        });
        self.state().position = position;
    }

    /// Sets the timer to the next time, after `now`, at which something is to be done.
    fn set_deadline(&mut self, now: u64) {
        let draining = self.is_draining();
        let left = self.left();
        let state = self.state();
        let Some(clock) = state.clock else {
            return;
        };
        let mut ahead = u64::from(state.grid.left(state.position));
        if draining {
            ahead = ahead.min(left);
        }
        let time = clock.time_of(state.position.wrapping_add(ahead));
        self.set_timer(time.max(now.saturating_add(TICK_MIN)));
    }
}

/// Converts samples to float32, as bit patterns.
fn convert(format: SampleFormat, samples: &Samples<'_>, out: &mut [u32]) {
    match format {
        SampleFormat::S16_LE => {
            for (to, from) in out.iter_mut().zip(samples.iter()) {
                *to = sample::s16_to_f32(i16::from_le(from));
            }
        }
        _ => {
            for (to, from) in out.iter_mut().zip(samples.iter()) {
                *to = u32::from_le(from);
            }
        }
    }
}
