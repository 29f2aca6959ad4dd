// SPDX-License-Identifier: GPL-2.0

//! Capture: recording what is played, as it is.
//!
//! A recording has the layout of what is played. It is silent while nothing is, or something of
//! another layout. It goes on whatever the player does, and the player never waits for it.

use core::num::NonZeroU64;

use kernel::prelude::*;

use crate::{
    alsa::{
        hardware::{
            Hardware,
            Layout, //
        },
        pcm::{
            Direction,
            Stream,
            Trigger, //
        },
        substream::Locked,
        timer, //
    },
    endpoint::{
        self,
        Endpoint,
        HARDWARE,
        TICK_MIN, //
    },
    pointer::Pointer,
    tap::{
        Cursor,
        Piece, //
    }, //
};

/// Most time between two ticks, in nanoseconds, so that little is to be done at each and nothing
/// that was played is gone.
const TICK_MAX: u64 = 5_000_000;

/// Time until the next look for what should be there, in nanoseconds: the player is late.
const LATE: u64 = 1_000_000;

/// What an open substream keeps.
pub struct Recorder {
    /// While it runs.
    cursor: Option<Cursor>,
    /// Bytes recorded before the cursor was there.
    before: u64,
    /// Where the next period ends, in frames.
    period_end: u64,
    pointer: Pointer,
}

impl Recorder {
    /// Bytes recorded since the stream was prepared.
    fn recorded(&self) -> u64 {
        let since = self.cursor.as_ref().map_or(0, Cursor::recorded);
        self.before.wrapping_add(since)
    }
}

impl Stream for Recorder {
    type Device = Endpoint;

    const DIRECTION: Direction = Direction::Capture;

    const HARDWARE: Hardware = HARDWARE;

    fn open(device: &Endpoint) -> Result<Self> {
        device.monitor().join()?;
        Ok(Self {
            cursor: None,
            before: 0,
            period_end: 0,
            pointer: Pointer::default(),
        })
    }

    fn close(device: &Endpoint) {
        device.monitor().part();
    }

    fn dictated(device: &Endpoint) -> Option<Layout> {
        device.monitor().layout()
    }

    fn prepare(stream: &mut Locked<'_, Self>) -> Result {
        let period_end = u64::from(stream.config().period_frames.get());
        *stream.state() = Self {
            cursor: None,
            before: 0,
            period_end,
            pointer: Pointer::default(),
        };
        Ok(())
    }

    fn trigger(stream: &mut Locked<'_, Self>, what: Trigger) -> Result {
        let now = timer::now();
        match what {
            Trigger::Start | Trigger::PauseRelease | Trigger::Resume => {
                let frames = endpoint::frames(stream.config().layout);
                let monitor = stream.device().monitor();
                let cursor = monitor.with_tap(|tap| Cursor::start(tap, frames, now));
                stream.state().cursor = Some(cursor);
                stream.set_deadline(now);
            }
            Trigger::Stop | Trigger::PausePush | Trigger::Suspend => {
                stream.advance(now);
                let state = stream.state();
                state.before = state.recorded();
                state.cursor = None;
                stream.unset_timer();
            }
            Trigger::Drain => {}
        }
        Ok(())
    }

    fn pointer(stream: &mut Locked<'_, Self>) -> usize {
        stream.advance(timer::now());
        let buffer = stream.config().buffer_frames;
        let position = stream.position();
        // CAST: Widening.
        stream.state().pointer.tell(position, buffer) as usize
    }

    fn tick(stream: &mut Locked<'_, Self>) {
        if stream.state().cursor.is_none() {
            return;
        }
        let now = timer::now();
        stream.advance(now);
        if stream.position() >= stream.state().period_end {
            stream.period_elapsed();
            if stream.state().pointer.told() != stream.position() {
                stream.period_elapsed();
            }
        }
        let period = NonZeroU64::from(stream.config().period_frames);
        let position = stream.position();
        stream.state().period_end = position
            .wrapping_sub(position % period)
            .wrapping_add(period.get());
        stream.set_deadline(now);
    }
}

impl Locked<'_, Recorder> {
    /// Bytes of a frame. Not from the buffer, which is not there while another thread configures.
    fn frame_bytes(&self) -> NonZeroU64 {
        self.config().layout.frame_bytes().into()
    }

    /// Frames recorded since the stream was prepared.
    fn position(&mut self) -> u64 {
        let frame = self.frame_bytes();
        self.state().recorded() / frame
    }

    /// Records what is due by `now`.
    fn advance(&mut self, now: u64) {
        let Some(mut cursor) = self.state().cursor.take() else {
            return;
        };
        let before = self.state().before;
        let silence = self.config().layout.format.silence();
        let area = self.area();
        let mut at = before.wrapping_add(cursor.recorded());
        // The tap is let go after each piece, so that the player need not wait long.
        while self.device().monitor().with_tap(|tap| {
            match cursor.advance(tap, now) {
                Some(Piece::Silence(bytes)) => area.fill(at, bytes, silence),
                Some(Piece::Sound(data)) => area.write(at, data),
                None => return false,
            }
            true
        }) {
            at = before.wrapping_add(cursor.recorded());
        }
        self.state().cursor = Some(cursor);
    }

    /// Sets the timer to the next time, after `now`, at which something is to be done.
    fn set_deadline(&mut self, now: u64) {
        let frame = self.frame_bytes();
        let state = self.state();
        let end = state.period_end.saturating_sub(state.before / frame);
        let Some(cursor) = state.cursor.take() else {
            return;
        };
        let monitor = self.device().monitor();
        let time = monitor.with_tap(|tap| cursor.time_of(tap, end));
        self.state().cursor = Some(cursor);
        // What is due and not there comes with the player's next tick.
        let wait = if time <= now { LATE } else { TICK_MIN };
        let earliest = timer::now().saturating_add(wait);
        self.set_timer(time.min(earliest.saturating_add(TICK_MAX)).max(earliest));
    }
}
