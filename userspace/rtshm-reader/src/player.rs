// SPDX-License-Identifier: MIT OR GPL-2.0

//! From the ring to a sink: when to open, fill, start, silence and close it.
//!
//! ```text
//! Idle      a stream starts                  Filling
//! Filling   as much as the latency is in     Playing
//! Playing   the stream pauses or ends        Silent
//! Silent    the next stream starts           Playing
//!           half a second after the end      Idle
//! any open  a stream of another format       Changing, then Filling
//!           asked to reopen it               Changing, then Filling, or Idle
//!           the card runs dry                Filling, or Silent as before
//!           the card goes away               Lost
//! Lost      it is back                       Filling
//!           the stream ends                  Idle
//! ```
//!
//! While a stream plays, the ring is what wakes the player: its frames come as fast as the virtual
//! card's clock runs. While it pauses, and for a while after it has ended, the sink plays silence,
//! so that the next stream follows without a gap and the card's own buffers get emptied.
//!
//! No frame is dropped, with two exceptions. While the card is gone they are discarded. And when
//! the player has been held up so long that the card ran dry or the ring filled up, or the card was
//! reopened, it discards what is older than the latency, because otherwise it would stay late for
//! ever.
//!
//! Times are `CLOCK_MONOTONIC` in nanoseconds. Nothing here sleeps or asks for the time.

mod output;
mod pace;

use rtshm::{Chunk, Consumer, Format, Kind, Lost, State};

use crate::clock::SECOND;
use crate::notes::Notes;
use crate::sink::{Opener, Sink};
use crate::summary::Summary;
use crate::volume::Volume;

use self::output::Open;
use self::pace::Pace;

/// How long silence is played after a stream.
const LINGER: u64 = SECOND / 2;

/// How long silence is played after a stream whose successor has another format.
const TAIL: u64 = SECOND / 20;

/// How long a change of the volume takes.
const FADE: u64 = SECOND / 100;

/// Samples that are brought to their volume at a time; at least a frame of 64 channels.
const STAGING: usize = 1024;

/// Shortest sleep where the time is what wakes.
const NAP: u64 = SECOND / 100;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Something in the ring, or the time.
    Ring(Option<u64>),
    /// Room in the sink.
    Sink,
    /// The time.
    Until(u64),
    /// Nothing: all was played.
    Done,
}

/// Where the player stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No sink is open.
    Idle,
    /// The sink gets filled and does not play yet.
    Filling { filled: u64 },
    /// The sink plays the stream.
    Playing,
    /// The sink plays silence, for ever or until that time; it is looked at again at the other.
    Silent { until: Option<u64>, look: u64 },
    /// The sink plays silence until that time, and then makes room for one of another format.
    Changing { until: u64, look: u64 },
    /// The sink is gone; it is tried again at that time.
    Lost { retry: u64 },
}

/// When the player ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Never,
    /// When the first stream has ended.
    First,
    /// When what was due by that time has been popped.
    At(u64),
    /// When the sink has played what it has; nothing is popped any more.
    Now,
}

/// Why no more was popped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// There is no more, or it is not wanted.
    Empty,
    /// The sink is full.
    Full,
    /// The sink broke; a moment later it may do better.
    Broken,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Whole,
    /// The rest of it has to wait.
    Part(Halt),
    /// It is not wanted any more.
    Refused,
    /// Nothing is ready for it.
    Homeless,
}

/// Plays what a consumer pops on the sinks that an opener makes.
pub(crate) struct Player<O: Opener> {
    opener: O,
    /// Open in all phases but `Idle` and `Lost`.
    sink: Option<Open<O::Sink>>,
    phase: Phase,
    end: End,
    /// By the last `FORMAT`.
    format: Option<Format>,
    /// Whether a stream runs: it has started and neither paused nor ended.
    active: bool,
    /// Whether the stream is in the summary.
    counted: bool,
    /// Frames of the chunk at the ring's head that are written already.
    written: u64,
    /// Frames of silence to write before that chunk.
    owed: u64,
    /// Whether what is older than the latency is discarded.
    late: bool,
    /// Whether the sink is opened anew because somebody has asked for it.
    reopening: bool,
    /// Whether what the opener knows of the configuration is to be forgotten first.
    outdated: bool,
    /// What samples are brought to before they are written, where that is wanted.
    volume: Option<Volume>,
    /// What keeps the virtual card and the sink together, where that is wanted.
    pace: Option<Pace>,
    summary: Summary,
    notes: Notes,
}

impl<O: Opener> Player<O> {
    /// A player that begins at `volume` and follows the mixer, or plays samples as they are.
    pub(crate) fn new(
        opener: O,
        once: bool,
        volume: Option<Volume>,
        summary: Summary,
        notes: Notes,
    ) -> Self {
        Self {
            opener,
            sink: None,
            phase: Phase::Idle,
            end: if once { End::First } else { End::Never },
            format: None,
            active: false,
            counted: false,
            written: 0,
            owed: 0,
            late: false,
            reopening: false,
            outdated: false,
            volume,
            pace: None,
            summary,
            notes,
        }
    }

    /// The sink, where one is open.
    pub(crate) fn sink(&self) -> Option<&O::Sink> {
        self.sink.as_ref().map(|open| &open.sink)
    }

    /// What was done so far.
    pub(crate) fn summary(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// Asks to play what is due by now, and to end then.
    pub(crate) fn finish(&mut self, now: u64) {
        self.end = match (self.end, self.phase) {
            (End::Now, _) => End::Now,
            // The rest of the stream is heard once the sink is open again.
            (_, Phase::Changing { .. }) if self.reopening && self.active => End::At(now),
            (_, Phase::Changing { .. }) => End::Now,
            _ => End::At(now),
        };
    }

    /// Asks to open the sink anew, when what was written to it has been heard.
    pub(crate) fn reopen(&mut self, now: u64) {
        if matches!(self.end, End::At(_) | End::Now) {
            return;
        }
        self.outdated = true;
        match self.phase {
            // It will be opened in any case.
            Phase::Idle | Phase::Changing { .. } => return,
            Phase::Lost { .. } => {
                self.reopening = true;
                self.phase = Phase::Lost { retry: now };
            }
            // It is closed soon, or changed when the next stream begins.
            Phase::Silent { until: Some(_), .. } => self.reopening = true,
            Phase::Filling { .. } | Phase::Playing | Phase::Silent { until: None, .. } => {
                self.reopening = true;
                if !self.change(now) && self.active {
                    // It broke: there is nothing in it to be heard.
                    self.phase = Phase::Lost { retry: now };
                }
            }
        }
        self.notes
            .detail(format_args!("opening the sound card anew"));
    }

    /// Does what can be done now; returns what to wait for before the next call.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::pop`], and [`OpenError::Unfit`](crate::sink::OpenError::Unfit).
    pub(crate) fn step(&mut self, consumer: &mut Consumer, now: u64) -> anyhow::Result<Wait> {
        self.keep_time(consumer, now)?;
        self.keep_pace(consumer, now);
        if self.phase == Phase::Playing && consumer.unread()? > consumer.capacity() / 2 {
            // Nobody has looked for long.
            self.late = true;
        }
        let before = self.summary.frames_out;
        let halt = self.pop_all(consumer, now)?;
        let is_changing = matches!(self.phase, Phase::Changing { .. });
        if matches!(self.end, End::At(_)) && halt == Halt::Empty && !is_changing {
            self.stop_popping(now);
        }
        Ok(match halt {
            Halt::Full if self.summary.frames_out > before => Wait::Sink,
            // Also where a sink says that it has room and then has none.
            Halt::Full | Halt::Broken => Wait::Until(now + NAP),
            Halt::Empty => self.wait(),
        })
    }

    fn wait(&self) -> Wait {
        let ring = |until| match (self.end, until) {
            (End::Now, None) => Wait::Done,
            (End::Now, Some(until)) => Wait::Until(until),
            _ => Wait::Ring(until),
        };
        match self.phase {
            Phase::Idle | Phase::Filling { .. } | Phase::Playing => ring(None),
            Phase::Silent { until, look } => ring(Some(until.map_or(look, |at| at.min(look)))),
            Phase::Changing { until, look } => Wait::Until(until.min(look)),
            Phase::Lost { retry } => ring(Some(retry)),
        }
    }

    /// Does what is due.
    fn keep_time(&mut self, consumer: &mut Consumer, now: u64) -> anyhow::Result<()> {
        match self.phase {
            Phase::Silent {
                until: Some(until), ..
            } if until <= now => {
                self.close();
                if self.end == End::First && self.summary.streams > 0 {
                    self.end = End::Now;
                }
            }
            Phase::Changing { until, .. } if until <= now => {
                self.close();
                if self.active && self.end != End::Now {
                    self.open(consumer, now)?;
                }
            }
            Phase::Silent { look, .. } | Phase::Changing { look, .. } if look <= now => {
                self.keep_silent(now);
            }
            Phase::Lost { retry } if retry <= now => self.open(consumer, now)?,
            _ => {}
        }
        Ok(())
    }

    fn pop_all(&mut self, consumer: &mut Consumer, now: u64) -> anyhow::Result<Halt> {
        while self.end != End::Now && !matches!(self.phase, Phase::Changing { .. }) {
            if self.owed > 0 {
                if let Some(halt) = self.pay_silence(now) {
                    return Ok(halt);
                }
            }
            let Some(event) = consumer.pop()? else {
                break;
            };
            let (position, resync) = (event.position(), event.is_resync());
            match event.kind() {
                Kind::Audio(chunk) => match self.chunk(&chunk, now) {
                    Taken::Whole => {}
                    Taken::Part(halt) => {
                        event.put_back();
                        return Ok(halt);
                    }
                    Taken::Refused => {
                        event.put_back();
                        break;
                    }
                    Taken::Homeless => {
                        event.put_back();
                        self.begin(consumer, now)?;
                    }
                },
                Kind::Format(format) => self.format(format, now),
                Kind::State(change) => {
                    drop(event);
                    self.notes
                        .detail(format_args!("{:?} at frame {position}", change.state));
                    self.state(change.state, resync, consumer, now)?;
                }
                Kind::Lost(lost) => {
                    self.notes
                        .detail(format_args!("{} frames lost at {position}", lost.frames));
                    self.lost(lost, now);
                }
                Kind::Volume(volume) => {
                    drop(event);
                    self.volume(volume);
                }
                _ => {}
            }
        }
        Ok(Halt::Empty)
    }

    /// Goes to another volume: at once where nothing is to be heard at this moment.
    fn volume(&mut self, to: rtshm::Volume) {
        let (gain, is_on) = (to.gain, to.is_on);
        let switch = if is_on { "" } else { ", muted" };
        self.notes.detail(format_args!(
            "volume {} dB{switch}",
            f64::from(gain) / 100.0
        ));
        let rate = self.format.map_or(0, |format| format.rate);
        let fade = if self.active {
            u64::from(rate) * FADE / SECOND
        } else {
            0
        };
        if let Some(volume) = &mut self.volume {
            volume.go_to(gain, is_on, fade);
        }
    }

    fn format(&mut self, format: Format, now: u64) {
        self.format = Some(format);
        self.summary.format_in = Some(format.into());
        if self.sink.as_ref().is_some_and(|open| !open.suits(&format)) {
            self.change(now);
        }
    }

    fn state(
        &mut self,
        state: State,
        resync: bool,
        consumer: &mut Consumer,
        now: u64,
    ) -> anyhow::Result<()> {
        match state {
            State::Start => {
                self.counted &= resync;
                self.begin(consumer, now)?;
            }
            State::Resume => self.begin(consumer, now)?,
            // What the application has buffered still comes.
            State::Drain => {}
            State::Pause | State::Suspend => {
                self.count_stream();
                self.active = false;
                self.fall_silent(None, now);
            }
            State::Stop | State::Xrun => {
                self.active = false;
                self.counted = false;
                self.fall_silent(Some(LINGER), now);
                // After an xrun most applications go on.
                if self.end == End::First && state == State::Stop && self.summary.streams > 0 {
                    self.end = End::Now;
                }
            }
            // A later module's.
            _ => {}
        }
        Ok(())
    }

    fn lost(&mut self, lost: Lost, now: u64) {
        self.summary.lost_records += 1;
        self.summary.lost_frames = self.summary.lost_frames.saturating_add(lost.frames);
        let Some(open) = &self.sink else {
            return;
        };
        if !self.active || self.late {
            return;
        }
        if lost.frames <= open.latency() && !lost.spans_streams {
            // What follows keeps its time.
            self.owed = self.owed.saturating_add(lost.frames);
            if let Some(pace) = &mut self.pace {
                pace.sync.skips(lost.frames);
            }
        } else {
            self.late = true;
            self.top_up(now);
        }
    }

    /// Takes a chunk, as far as the sink has room.
    fn chunk(&mut self, chunk: &Chunk<'_>, now: u64) -> Taken {
        // One that was begun is finished.
        if self.written == 0 && matches!(self.end, End::At(end) if chunk.time_stamp >= end) {
            return Taken::Refused;
        }
        let frames = u64::from(chunk.frame_count);
        match self.phase {
            Phase::Lost { .. } => return self.discard(frames),
            Phase::Idle => return Taken::Homeless,
            _ if !self.active => return Taken::Homeless,
            _ => {}
        }
        self.note_time(chunk);
        if self.is_stale(chunk, now) {
            self.displace();
            self.note_progress(chunk, frames);
            return self.discard(frames);
        }
        while self.written < frames {
            let Some((taken, is_full)) = self.write(chunk, now) else {
                return Taken::Part(Halt::Broken);
            };
            self.written += taken;
            self.note_progress(chunk, self.written);
            if is_full {
                self.start_if_filling(now);
                return Taken::Part(Halt::Full);
            }
        }
        self.take(frames);
        Taken::Whole
    }

    /// Offers the sink what comes next of a chunk, at its volume; returns how many frames of the
    /// chunk were taken, and whether the sink is full.
    fn write(&mut self, chunk: &Chunk<'_>, now: u64) -> Option<(u64, bool)> {
        let channels = chunk.channels as usize;
        // CAST: Less than the number of frames in the chunk, which is in memory.
        let start = self.written as usize * channels;
        let mut samples = chunk.samples.get(start..).unwrap_or_default();
        let mut staging = [0.0; STAGING];
        if let Some(volume) = self.volume.as_ref().filter(|volume| !volume.is_unity()) {
            let whole = (STAGING - STAGING % channels).min(samples.len());
            let staged = &mut staging[..whole];
            volume.apply(&samples[..whole], channels, self.written, staged);
            samples = staged;
        }
        if let Some(resampled) = self.resample(samples, now)? {
            return Some(resampled);
        }
        let count = self.try_sink(now, |sink| sink.write(samples))?;
        self.wrote(count, now);
        // CAST: Widening.
        Some((count, count < (samples.len() / channels) as u64))
    }

    /// Takes note that the sink took frames of the stream.
    fn wrote(&mut self, count: u64, now: u64) {
        self.summary.frames_out += count;
        self.filled(count, now);
    }

    fn discard(&mut self, frames: u64) -> Taken {
        self.summary.discarded_frames += frames.saturating_sub(self.written);
        self.take(frames);
        Taken::Whole
    }

    /// Takes note that a chunk is dealt with.
    fn take(&mut self, frames: u64) {
        self.written = 0;
        if let Some(volume) = &mut self.volume {
            volume.advance(frames);
        }
        self.summary.chunks += 1;
        self.summary.frames_in += frames;
    }

    /// Whether a chunk comes too late to be played, while there are such chunks.
    fn is_stale(&mut self, chunk: &Chunk<'_>, now: u64) -> bool {
        let Some(open) = self
            .sink
            .as_ref()
            .filter(|_| self.late && self.written == 0)
        else {
            return false;
        };
        let age = now.saturating_sub(chunk.time_stamp);
        self.late = age > open.nanos(open.latency() + u64::from(chunk.frame_count));
        self.late
    }

    /// Writes the silence that is owed; returns why not all of it.
    fn pay_silence(&mut self, now: u64) -> Option<Halt> {
        let owed = self.owed;
        match self.try_sink(now, |sink| sink.write_silence(owed)) {
            Some(count) => {
                self.owed = self.owed.saturating_sub(count);
                self.filled(count, now);
            }
            // It owes nothing any more.
            None => return Some(Halt::Broken),
        }
        if self.owed == 0 {
            return None;
        }
        self.start_if_filling(now);
        Some(Halt::Full)
    }

    /// Makes a sink ready for the stream.
    fn begin(&mut self, consumer: &mut Consumer, now: u64) -> anyhow::Result<()> {
        self.active = true;
        self.count_stream();
        if let Some(pace) = &mut self.pace {
            pace.sync.new_stream();
        }
        if self.reopening && matches!(self.phase, Phase::Silent { .. }) {
            self.change(now);
        }
        match self.phase {
            Phase::Idle => self.open(consumer, now)?,
            Phase::Silent { .. } => {
                self.phase = Phase::Playing;
                self.top_up(now);
            }
            _ => {}
        }
        Ok(())
    }

    fn count_stream(&mut self) {
        if !self.counted {
            self.counted = true;
            self.summary.streams += 1;
        }
    }

    fn stop_popping(&mut self, now: u64) {
        self.end = End::Now;
        self.active = false;
        self.fall_silent(Some(LINGER), now);
    }
}

#[cfg(test)]
mod tests;
