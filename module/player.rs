// SPDX-License-Identifier: GPL-2.0

//! Playback: what applications play into.
//!
//! The card consumes a frame when its clock passes it, and that is when the frame is copied: at the
//! query of the pointer and at the timer, whichever comes first. Until then the application may
//! rewrite it. A frame that the pointer has passed is in the ring already, so that the application
//! may reuse its place at once.
//!
//! A chunk goes out when the clock has passed its last frame. The timer is set to that time, or to
//! the end of what is queued where the stream drains. Where delivery is eager, chunks go out ahead of
//! the clock, which does all else as ever; see `ahead.rs`.

mod ahead;

use core::num::NonZeroU64;

use kernel::prelude::*;

use self::ahead::Rest;
use crate::{
    abi::{
        plain::IntoBytes,
        record::{
            Format,
            State, //
        }, //
    },
    alsa::{
        area::Area,
        hardware::{
            Hardware,
            SampleFormat, //
        },
        pcm::{
            Direction,
            Stream,
            Trigger, //
        },
        substream::Locked,
        sys,
        timer, //
    },
    clock::{
        Clock,
        Rate,
        Speed, //
    },
    delivery::Mode,
    endpoint::{
        self,
        Endpoint,
        HARDWARE,
        TICK_MIN, //
    },
    grid::Grid,
    pointer::Pointer,
    sample,
    steering::PITCH_NOMINAL, //
};

/// What an open substream keeps.
pub struct Player {
    delivery: Mode,
    /// While it plays.
    clock: Option<Clock>,
    grid: Grid,
    /// Frames consumed since the stream was prepared.
    position: u64,
    pointer: Pointer,
    /// Where the next period ends.
    period_end: u64,
    /// Whether the consumer knows that the stream drains.
    drain_told: bool,
    /// What is queued and not sent ahead of the clock.
    rest: Rest,
    /// When the next tick is to be.
    deadline: u64,
}

impl Player {
    fn new(delivery: Mode, grid: Grid, period_frames: u32) -> Self {
        Self {
            delivery,
            clock: None,
            grid,
            position: 0,
            pointer: Pointer::default(),
            period_end: period_frames.into(),
            drain_told: false,
            rest: Rest::Waits,
            deadline: 0,
        }
    }
}

impl Stream for Player {
    type Device = Endpoint;

    const DIRECTION: Direction = Direction::Playback;

    const HARDWARE: Hardware = Hardware {
        info: HARDWARE.info | sys::SNDRV_PCM_INFO_PERFECT_DRAIN | sys::SNDRV_PCM_INFO_DRAIN_TRIGGER,
        ..HARDWARE
    };

    const ACKS: bool = true;

    fn open(device: &Endpoint) -> Result<Self> {
        Ok(Self::new(device.delivery(), Grid::default(), 0))
    }

    fn info(&self) -> u32 {
        match self.delivery {
            Mode::Clocked => 0,
            Mode::Eager => sys::SNDRV_PCM_INFO_SYNC_APPLPTR | sys::SNDRV_PCM_INFO_NO_REWINDS,
        }
    }

    fn free(stream: &mut Locked<'_, Self>) {
        stream.halt(timer::now(), State::Stop);
        stream.device().monitor().set_layout(None);
    }

    fn close(device: &Endpoint) {
        end_untold(device);
        // Whoever has a linked one may have prepared it meanwhile.
        device.monitor().set_layout(None);
        // Whoever steered may have left it anywhere, and nobody steers for the next one.
        device.steering().set_pitch(PITCH_NOMINAL);
    }

    fn prepare(stream: &mut Locked<'_, Self>) -> Result {
        let config = stream.config();
        let layout = config.layout;
        let device = stream.device();
        end_untold(device);
        let grid = Grid::new(
            config.period_frames.get(),
            device.chunk_limit(layout.channels),
        );
        device.monitor().set_layout(Some(layout));
        device.outlet().with_feed(|feed| {
            feed.prepare(Format {
                rate: layout.rate,
                channels: layout.channels,
                format: layout.format.0,
                period_frames: config.period_frames.get(),
                buffer_frames: config.buffer_frames.get(),
                chunk_frames: grid.chunk_frames(),
                reserved: [0; 2],
            });
        });
        let delivery = stream.state().delivery;
        *stream.state() = Self::new(delivery, grid, config.period_frames.get());
        Ok(())
    }

    fn trigger(stream: &mut Locked<'_, Self>, what: Trigger) -> Result {
        let now = timer::now();
        match what {
            Trigger::Start => {
                stream.run(now, State::Start);
                stream.send_ahead();
                // A stream that drains from the start is told so only by its state, and that comes
                // later under this same lock.
                stream.set_tick(now);
            }
            Trigger::PauseRelease | Trigger::Resume => {
                stream.run(now, State::Resume);
                stream.send_ahead();
                stream.set_deadline();
            }
            Trigger::PausePush => stream.halt(now, State::Pause),
            Trigger::Suspend => stream.halt(now, State::Suspend),
            Trigger::Stop if stream.is_late() => stream.halt(now, State::Xrun),
            Trigger::Stop => stream.halt(now, State::Stop),
            Trigger::Drain => {
                stream.tell_drain(now);
                // Maybe all is played.
                stream.set_tick(now);
            }
        }
        Ok(())
    }

    fn pointer(stream: &mut Locked<'_, Self>) -> usize {
        stream.advance(timer::now());
        let buffer = stream.config().buffer_frames;
        let Player {
            pointer, position, ..
        } = stream.state();
        // CAST: Widening.
        pointer.tell(*position, buffer) as usize
    }

    fn ack(stream: &mut Locked<'_, Self>) {
        let state = stream.state();
        if state.delivery == Mode::Eager && state.clock.is_some() {
            let now = timer::now();
            stream.advance(now);
            stream.send_ahead();
            stream.hasten();
        }
    }

    fn tick(stream: &mut Locked<'_, Self>) {
        if stream.state().clock.is_none() {
            return;
        }
        let now = timer::now();
        if stream.is_disconnected() {
            stream.halt(now, State::Stop);
            return;
        }
        stream.tell_drain(now);
        stream.advance(now);
        stream.steer(now);
        stream.send_ahead();
        let is_over = stream.is_over();
        let state = stream.state();
        if state.position >= state.period_end || is_over {
            stream.period_elapsed();
            let state = stream.state();
            if state.pointer.told() != state.position {
                stream.period_elapsed();
            }
        }
        // ALSA looks only where the pointer has moved, and believes any pointer of the application's.
        if stream.is_over() {
            stream.end();
            // It refuses where a linked stream cannot be stopped.
            if stream.state().clock.is_some() {
                stream.halt(now, State::Stop);
            }
        }
        let period = NonZeroU64::from(stream.config().period_frames);
        let state = stream.state();
        let into = state.position % period;
        state.period_end = state.position.wrapping_sub(into).wrapping_add(period.get());
        stream.set_deadline();
    }
}

impl Locked<'_, Player> {
    /// Has the clock go on from where it stands.
    fn run(&mut self, now: u64, state: State) {
        let layout = self.config().layout;
        let speed = self.speed();
        let position = self.state().position;
        let clock = Clock::start(now, position, Rate::new(layout.rate, speed));
        self.state().clock = Some(clock);
        // The timer may be a little late.
        let Player { delivery, grid, .. } = *self.state();
        let at_once = match delivery {
            Mode::Clocked => grid.chunk_frames(),
            Mode::Eager => grid.most_ahead(),
        };
        let lag = at_once.saturating_add(layout.rate / 500);
        let frames = endpoint::frames(layout);
        self.device()
            .monitor()
            .with_tap(|tap| tap.start(frames, clock, position, lag));
        self.tell(now, state);
        self.tell_clock(speed);
    }

    /// Has the clock stand still.
    fn halt(&mut self, now: u64, state: State) {
        if self.state().clock.is_none() {
            return;
        }
        // Nothing comes from a card that is taken away, where ALSA was refused to stop the stream.
        let is_gone = self.is_disconnected();
        if !is_gone {
            self.advance(now);
        }
        self.state().clock = None;
        self.unset_timer();
        if is_gone {
            return end_untold(self.device());
        }
        self.device().monitor().with_tap(|tap| tap.halt());
        self.tell(now, state);
        self.device().outlet().with_feed(|feed| feed.clock(0));
    }

    /// The speed at which the clock is to go.
    fn speed(&self) -> Speed {
        let device = self.device();
        let request = device.outlet().with_feed(|feed| feed.rate_request());
        device.steering().speed(request)
    }

    /// Has the clock go as it is told to, from where it stands.
    fn steer(&mut self, now: u64) {
        let speed = self.speed();
        let rate = Rate::new(self.config().layout.rate, speed);
        let Some(clock) = &mut self.state().clock else {
            return;
        };
        if clock.steer(now, rate) {
            let clock = *clock;
            self.device().monitor().with_tap(|tap| tap.steer(clock));
            self.tell_clock(speed);
        }
    }

    fn tell_clock(&self, speed: Speed) {
        self.device()
            .outlet()
            .with_feed(|feed| feed.clock(speed.ratio()));
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
            .outlet()
            .with_feed(|feed| feed.state(state, now));
    }

    /// Frames queued and not consumed yet.
    fn left(&mut self) -> u64 {
        let queued = self.queued();
        let state = self.state();
        queued.saturating_sub(state.position.wrapping_sub(state.pointer.told()))
    }

    /// Whether the stream plays and has nothing left to play.
    fn is_over(&mut self) -> bool {
        self.state().clock.is_some() && self.ends_when_empty() && self.left() == 0
    }

    /// Consumes what the clock has passed by `now`.
    fn advance(&mut self, now: u64) {
        let &mut Player {
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
        let format = config.layout.format;
        let buffer = NonZeroU64::from(config.buffer_frames);
        // After a long stall of a stream that never ends: the buffer holds no more than this.
        let gone = due.saturating_sub(buffer.get());
        self.record(position, due, gone, format);
        let area = self.area();
        self.device().outlet().with_feed(|feed| {
            let passed = feed.pass(due);
            position = position.wrapping_add(passed);
            due = due.wrapping_sub(passed);
            let gone = gone.saturating_sub(passed);
            feed.skip(gone, |position| clock.time_of(position));
            position = position.wrapping_add(gone);
            due = due.wrapping_sub(gone);
            while due != 0 {
                let left = grid.left(position);
                // CAST: At most `left`, and below `buffer`.
                let (count, first) = (due.min(left.into()) as u32, (position % buffer) as usize);
                let time = |position| clock.time_of(position);
                feed.audio(count, left, time, |out| convert(format, &area, first, out));
                position = position.wrapping_add(count.into());
                due = due.wrapping_sub(count.into());
            }
        });
        self.state().position = position;
    }

    /// Leaves `due` frames from `position` on to the recorders, the first `gone` of which are silent.
    fn record(&self, position: u64, due: u64, gone: u64, format: SampleFormat) {
        let area = self.area();
        let frame = NonZeroU64::from(self.config().layout.frame_bytes()).get();
        let (gone, rest) = (
            gone.wrapping_mul(frame),
            due.wrapping_sub(gone).wrapping_mul(frame),
        );
        let start = position.wrapping_mul(frame).wrapping_add(gone);
        self.device().monitor().with_tap(|tap| {
            tap.push(gone, |_, place| place.fill(format.silence()));
            tap.push(rest, |done, place| match area.is_empty() {
                true => place.fill(format.silence()),
                false => area.read(start.wrapping_add(done), place),
            });
        });
    }

    /// Sets the timer to the next time at which something is to be done.
    fn set_deadline(&mut self) {
        if let Some(time) = self.deadline() {
            self.set_tick(time);
        }
    }

    /// As [`set_deadline`](Self::set_deadline), where that is sooner than what the timer is set to.
    fn hasten(&mut self) {
        let before = self.state().deadline;
        if let Some(time) = self.deadline().filter(|&time| time < before) {
            self.set_tick(time);
        }
    }

    fn set_tick(&mut self, time: u64) {
        self.state().deadline = time;
        self.set_timer(time);
    }

    /// The next time at which something is to be done.
    fn deadline(&mut self) -> Option<u64> {
        let draining = self.is_draining();
        let ends_when_empty = self.ends_when_empty();
        let left = self.left();
        let state = self.state();
        let clock = state.clock?;
        // From now on, whatever the last tick has taken.
        let soonest = timer::now().saturating_add(TICK_MIN);
        let (grid, position) = (state.grid, state.position);
        let mut ahead = match state.rest {
            Rest::Waits => u64::from(grid.left(position)),
            Rest::Nothing => grid.sent_ahead(position, ends_when_empty.then_some(left)),
            Rest::More => return Some(soonest),
        };
        if draining {
            ahead = ahead.min(left);
        }
        let time = clock.time_of(position.wrapping_add(ahead));
        Some(time.max(soonest))
    }
}

/// Ends what ALSA has ended without a trigger: a stream that was suspended, or that runs as it is
/// prepared or closed, because a linked one was started or could not be stopped.
fn end_untold(device: &Endpoint) {
    device.monitor().with_tap(|tap| tap.halt());
    device.outlet().with_feed(|feed| {
        if feed.is_active() {
            feed.state(State::Stop, timer::now());
            feed.clock(0);
        }
    });
}

/// Converts the samples from frame `first` on to float32, as bit patterns, so many as `out` has.
/// Where there is no buffer they are silent.
fn convert(format: SampleFormat, area: &Area<'_>, first: usize, out: &mut [u32]) {
    if area.is_empty() {
        out.fill(0);
        return;
    }
    match format {
        SampleFormat::U8 => area.convert(first, out, sample::u8_to_f32),
        SampleFormat::S16_LE => area.convert(first, out, |word| {
            // CAST: The same bits.
            sample::s16_to_f32(u16::from_le(word) as i16)
        }),
        SampleFormat::S24_LE => area.convert(first, out, |word| {
            sample::s24_to_f32(u32::from_le(word)) //
        }),
        SampleFormat::S24_3LE => area.convert(first, out, |[low, middle, high]: [u8; 3]| {
            sample::s24_to_f32(u32::from_le_bytes([low, middle, high, 0]))
        }),
        SampleFormat::S32_LE => area.convert(first, out, |word| {
            // CAST: The same bits.
            sample::s32_to_f32(u32::from_le(word) as i32)
        }),
        _ => {
            // CAST: Widening.
            let offset = first.wrapping_mul(area.frame_bytes()) as u64;
            area.read(offset, out.as_mut_bytes());
            for sample in out {
                *sample = u32::from_le(*sample);
            }
        }
    }
}
