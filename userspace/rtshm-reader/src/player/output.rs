// SPDX-License-Identifier: MIT OR GPL-2.0

//! The player's sink: opened, filled, kept playing, mended and given up.

use rtshm::{Consumer, Format};

use super::{End, Phase, Player, NAP, TAIL};
use crate::clock::{frames_to_nanos, SECOND};
use crate::sink::{Broken, OpenError, Opener, Setup, Sink};
use crate::table;

/// Time between two attempts to reopen the card.
const RETRY: u64 = SECOND;

/// A sink and the format that it was opened for.
pub(super) struct Open<S> {
    pub(super) sink: S,
    format: Format,
}

impl<S: Sink> Open<S> {
    /// Whether a stream of this format can follow without reopening.
    pub(super) fn suits(&self, format: &Format) -> bool {
        let setup = self.sink.setup();
        let bridged = u64::from(format.chunk_frames) + 2 * setup.period_frames;
        (self.format.rate, self.format.channels) == (format.rate, format.channels)
            && (format.chunk_frames <= self.format.chunk_frames || bridged <= setup.latency_frames)
    }

    pub(super) fn latency(&self) -> u64 {
        self.sink.setup().latency_frames
    }

    pub(super) fn nanos(&self, frames: u64) -> u64 {
        frames_to_nanos(frames, self.format.rate)
    }
}

impl<O: Opener> Player<O> {
    pub(super) fn open(&mut self, consumer: &mut Consumer, now: u64) -> anyhow::Result<()> {
        let Some(format) = self.format else {
            anyhow::bail!("the stream has no format: reinstall the rtshm module and this program");
        };
        let reopens = std::mem::take(&mut self.reopening);
        if std::mem::take(&mut self.outdated) {
            self.opener.forget();
        }
        match self.opener.open(&format) {
            Ok(sink) => {
                let setup = sink.setup();
                consumer.set_wake_threshold(wake_threshold(&format, setup));
                let ahead = frames_to_nanos(setup.latency_frames, format.rate);
                self.notes.note(format_args!(
                    "playing {}, {} Hz, {} as {}, {} ms ahead",
                    format.sample_format,
                    format.rate,
                    table::channels(format.channels),
                    setup.format,
                    ahead * 1000 / SECOND
                ));
                self.summary.format_out = Some(setup.clone());
                // At the end there is nothing that would stay late.
                let goes_on = !matches!(self.end, End::At(_));
                self.late = reopens && goes_on || matches!(self.phase, Phase::Lost { .. });
                self.sink = Some(Open { sink, format });
                self.open_pace(&format, consumer);
                self.phase = Phase::Filling { filled: 0 };
                Ok(())
            }
            Err(OpenError::Absent(reason)) => {
                self.lose(now, format_args!("{reason}"));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn close(&mut self) {
        self.sink = None;
        self.phase = Phase::Idle;
        self.owed = 0;
    }

    /// Plays silence from here on: until `time` after the last frame has been heard, or for ever.
    /// Returns until when.
    pub(super) fn fall_silent(&mut self, time: Option<u64>, now: u64) -> Option<u64> {
        match self.phase {
            Phase::Filling { .. } | Phase::Playing | Phase::Silent { .. } => {}
            Phase::Idle | Phase::Changing { .. } => return None,
            Phase::Lost { .. } => {
                self.phase = Phase::Idle;
                return None;
            }
        }
        self.finish_converting(now);
        let Some(delay) = self.start_and_measure(now) else {
            // It has run dry, so there is no sound in it to wait for.
            self.close();
            return None;
        };
        let open = self.sink.as_ref()?;
        let until = time.map(|time| now + open.nanos(delay) + time);
        self.phase = Phase::Silent { until, look: now };
        self.keep_silent(now);
        until
    }

    /// Has the sink play what it has, to be closed then; returns whether there is anything in it.
    pub(super) fn change(&mut self, now: u64) -> bool {
        let Some(until) = self.fall_silent(Some(TAIL), now) else {
            return false;
        };
        self.phase = Phase::Changing { until, look: now };
        self.keep_silent(now);
        true
    }

    /// Starts the sink if it does not play; returns when the last frame of the stream is heard.
    fn start_and_measure(&mut self, now: u64) -> Option<u64> {
        if let Phase::Filling { filled } = self.phase {
            let rest = self.sink.as_ref()?.latency().saturating_sub(filled);
            self.try_sink(now, |sink| sink.write_silence(rest))?;
            self.try_sink(now, Sink::start)?;
        }
        self.try_sink(now, Sink::delay)
    }

    /// Writes silence where the sink is going to need it, and says when to look again.
    pub(super) fn keep_silent(&mut self, now: u64) {
        let Some(latency) = self.sink.as_ref().map(Open::latency) else {
            return;
        };
        let Some(mut queued) = self.try_sink(now, Sink::queued) else {
            return;
        };
        if queued <= latency / 2 {
            match self.try_sink(now, |sink| sink.write_silence(latency - queued)) {
                Some(count) => queued += count,
                None => return,
            }
        }
        let Some(open) = &self.sink else {
            return;
        };
        let next = now + NAP.max(open.nanos(queued.saturating_sub(latency / 2)));
        if let Phase::Silent { look, .. } | Phase::Changing { look, .. } = &mut self.phase {
            *look = next;
        }
    }

    /// Owes the silence that brings the sink back to the latency.
    pub(super) fn top_up(&mut self, now: u64) {
        if self.phase != Phase::Playing {
            return;
        }
        if let Some(queued) = self.try_sink(now, Sink::queued) {
            let latency = self.sink.as_ref().map_or(0, Open::latency);
            self.owed = self.owed.max(latency.saturating_sub(queued));
            self.displace();
        }
    }

    /// Starts the sink once enough is in it.
    pub(super) fn filled(&mut self, count: u64, now: u64) {
        let latency = self.sink.as_ref().map_or(0, Open::latency);
        if let Phase::Filling { filled } = &mut self.phase {
            *filled += count;
            if *filled >= latency {
                self.start_if_filling(now);
            }
        }
    }

    pub(super) fn start_if_filling(&mut self, now: u64) {
        if matches!(self.phase, Phase::Filling { .. }) && self.try_sink(now, Sink::start).is_some()
        {
            self.phase = Phase::Playing;
        }
    }

    /// Does something to the sink and deals with its failure: then returns `None`.
    pub(super) fn try_sink<T>(
        &mut self,
        now: u64,
        action: impl FnOnce(&mut O::Sink) -> Result<T, Broken>,
    ) -> Option<T> {
        let open = self.sink.as_mut()?;
        match action(&mut open.sink) {
            Ok(value) => return Some(value),
            Err(Broken::Xrun) => self.recover(now),
            Err(Broken::Lost(errno)) => self.lose_with(now, errno),
        }
        None
    }

    /// Gets the sink going again after an xrun.
    fn recover(&mut self, now: u64) {
        self.summary.sink_xruns += 1;
        self.notes.detail(format_args!("xrun of the sound card"));
        self.owed = 0;
        if let Some(pace) = &mut self.pace {
            pace.sync.restarted();
        }
        let Some(open) = &mut self.sink else {
            return;
        };
        let latency = open.latency();
        let sink = &mut open.sink;
        let recovered = sink.reset().and_then(|()| match self.phase {
            // Nothing is coming that would fill it.
            Phase::Silent { .. } | Phase::Changing { .. } => {
                sink.write_silence(latency).and_then(|_| sink.start())
            }
            _ => Ok(()),
        });
        match (recovered, self.phase) {
            (Ok(()), Phase::Silent { until, .. }) => {
                let look = now + NAP;
                self.phase = Phase::Silent { until, look };
            }
            (Ok(()), Phase::Changing { until, .. }) => {
                let look = now + NAP;
                self.phase = Phase::Changing { until, look };
            }
            (Ok(()), _) => {
                self.phase = Phase::Filling { filled: 0 };
                self.late = true;
            }
            (Err(Broken::Lost(errno)), _) => self.lose_with(now, errno),
            (Err(Broken::Xrun), _) => self.lose_with(now, nix::libc::EPIPE),
        }
    }

    fn lose_with(&mut self, now: u64, errno: i32) {
        let reason = nix::errno::Errno::from_raw(errno).desc();
        self.lose(now, format_args!("the sound card failed: {reason}"));
    }

    /// Goes on without a sink.
    fn lose(&mut self, now: u64, reason: std::fmt::Arguments<'_>) {
        if !matches!(self.phase, Phase::Lost { .. }) {
            self.summary.sink_losses += 1;
            self.notes
                .note(format_args!("{reason}; trying again every second"));
        }
        self.close();
        if self.active {
            self.phase = Phase::Lost { retry: now + RETRY };
        }
    }
}

/// Bytes of audio to be woken for: a quarter of the latency.
fn wake_threshold(format: &Format, setup: &Setup) -> u32 {
    let frame = u64::from(format.channels) * 4;
    let bytes = (setup.latency_frames / 4).saturating_mul(frame);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
