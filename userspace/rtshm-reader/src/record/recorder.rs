// SPDX-License-Identifier: MIT OR GPL-2.0

//! From the ring to takes: what is written where, and when it ends.
//!
//! A take has one rate and one number of channels. It takes all streams of these, one behind the
//! other; nothing is written while none plays. Frames that did not fit into the ring are written as
//! silence, so that what is behind them keeps its place.
//!
//! Times are `CLOCK_MONOTONIC` in nanoseconds. Nothing here sleeps, but for the disk.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::Error;
use rtshm::{Chunk, Consumer, Format, Kind, Lost, State};

use super::summary::{length, FileSummary, Summary};
use super::take::{Container, Take};
use super::target::{Place, Target, WriteError};
use super::wav::Spec;
use super::Gaps;
use crate::clock::{frames_to_nanos, nanos, nanos_to_frames, SECOND};
use crate::notes::Notes;
use crate::volume::Volume;

/// How long what was popped may be missing in a file.
const SAVE: u64 = SECOND / 2;

/// How long an application may take to go on after an xrun, without it being the stream's end.
const LINGER: u64 = SECOND / 2;

/// How long a change of the volume takes.
const FADE: u64 = SECOND / 100;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Something in the ring, or the time.
    Ring(Option<u64>),
    /// Nothing: it is done.
    Done,
}

/// When the recorder ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Never,
    /// When what was due by that time has been popped.
    At(u64),
    Now,
}

/// How to record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) container: Container,
    pub(crate) gaps: Gaps,
    /// Whether samples are brought to the mixer's volume.
    pub(crate) apply_volume: bool,
    /// Whether to end with the first stream.
    pub(crate) once: bool,
    /// How much to record.
    pub(crate) duration: Option<Duration>,
}

/// A take, and what it is called.
struct Open {
    take: Take<File>,
    name: String,
}

/// Records what a consumer pops.
pub(crate) struct Recorder {
    settings: Settings,
    target: Target,
    open: Option<Open>,
    /// By the last `FORMAT`.
    spec: Option<Spec>,
    /// Nanoseconds that are still to be recorded before the current take, where there is an end.
    left: Option<u64>,
    /// Frames of the current take.
    taken: u64,
    volume: Option<Volume>,
    staging: Vec<f32>,
    /// Whether a stream runs: it has started and neither paused nor ended.
    active: bool,
    /// Whether the stream is in the summary.
    counted: bool,
    /// When a stream that an xrun has ended counts as ended.
    over: Option<u64>,
    end: End,
    /// When the file was last brought up to date.
    saved: u64,
    summary: Summary,
    notes: Notes,
}

impl Recorder {
    pub(crate) fn new(settings: Settings, target: Target, summary: Summary, notes: Notes) -> Self {
        Self {
            settings,
            target,
            open: None,
            spec: None,
            left: settings.duration.map(nanos),
            taken: 0,
            volume: settings.apply_volume.then(Volume::unity),
            staging: Vec::new(),
            active: false,
            counted: false,
            over: None,
            end: End::Never,
            saved: 0,
            summary,
            notes,
        }
    }

    /// What was done so far.
    pub(crate) fn summary(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// Asks to record what is due by now, and to end then.
    pub(crate) fn finish(&mut self, now: u64) {
        if self.end == End::Never {
            self.end = End::At(now);
        }
    }

    /// Does what can be done now; returns what to wait for before the next call.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::pop`], [`WriteError`], and an [`io::Error`] where nobody reads standard
    /// output any more.
    pub(crate) fn step(&mut self, consumer: &mut Consumer, now: u64) -> anyhow::Result<Wait> {
        self.pop_all(consumer, now)?;
        if matches!(self.end, End::At(_)) {
            // Has the kernel write what it owes; an error of it was met before.
            let _ = consumer.wait(Some(Duration::ZERO));
            self.pop_all(consumer, now)?;
            self.end = End::Now;
        }
        if self.over.is_some_and(|over| over <= now) {
            self.end = End::Now;
        }
        let is_due = now.saturating_sub(self.saved) >= SAVE;
        if self.target.is_output() || is_due || !self.active {
            self.save()?;
            self.saved = now;
        }
        if self.end == End::Now {
            return Ok(Wait::Done);
        }
        let save = self.active.then_some(self.saved.saturating_add(SAVE));
        Ok(Wait::Ring(save.into_iter().chain(self.over).min()))
    }

    fn pop_all(&mut self, consumer: &mut Consumer, now: u64) -> anyhow::Result<()> {
        while self.end != End::Now {
            let Some(event) = consumer.pop()? else {
                break;
            };
            let (position, resync) = (event.position(), event.is_resync());
            match event.kind() {
                Kind::Audio(chunk) => {
                    if matches!(self.end, End::At(end) if chunk.time_stamp >= end) {
                        self.end = End::Now;
                    } else {
                        self.chunk(&chunk)?;
                    }
                }
                Kind::Format(format) => self.format(format)?,
                Kind::State(change) => {
                    self.notes
                        .detail(format_args!("{:?} at frame {position}", change.state));
                    self.state(change.state, resync, now);
                }
                Kind::Lost(lost) => {
                    self.notes
                        .detail(format_args!("{} frames lost at {position}", lost.frames));
                    self.lost(lost)?;
                }
                Kind::Volume(volume) => self.volume(volume),
                _ => {}
            }
        }
        Ok(())
    }

    fn format(&mut self, format: Format) -> anyhow::Result<()> {
        self.summary.format_in = Some(format.into());
        let spec = Spec {
            rate: format.rate,
            channels: format.channels,
        };
        self.spec = Some(spec);
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.take.spec() != spec)
        {
            self.close()?;
        }
        Ok(())
    }

    fn state(&mut self, state: State, resync: bool, now: u64) {
        match state {
            State::Start => {
                self.counted &= resync;
                self.begin();
            }
            State::Resume => self.begin(),
            State::Pause | State::Suspend => {
                self.count_stream();
                self.active = false;
            }
            State::Stop | State::Xrun => {
                self.active = false;
                self.counted = false;
                if self.settings.once && self.summary.streams > 0 {
                    match state {
                        State::Stop => self.end = End::Now,
                        // Most applications go on.
                        _ => self.over = Some(now.saturating_add(LINGER)),
                    }
                }
            }
            // While it drains, what the application has buffered still comes.
            _ => {}
        }
    }

    fn begin(&mut self) {
        self.active = true;
        self.over = None;
        self.count_stream();
    }

    fn count_stream(&mut self) {
        if !self.counted {
            self.counted = true;
            self.summary.streams += 1;
        }
    }

    fn volume(&mut self, to: rtshm::Volume) {
        let rate = self.spec.map_or(0, |spec| spec.rate);
        let fade = if self.active {
            nanos_to_frames(FADE, rate)
        } else {
            0
        };
        if let Some(volume) = &mut self.volume {
            volume.go_to(to.gain, to.is_on, fade);
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> anyhow::Result<()> {
        self.summary.chunks += 1;
        let wanted = self.wanted(chunk.frame_count.into());
        // CAST: Both count what is in memory.
        let channels = chunk.channels as usize;
        let mut samples = &chunk.samples[..wanted as usize * channels];
        let mut staging = std::mem::take(&mut self.staging);
        if let Some(volume) = &mut self.volume {
            if !volume.is_unity() {
                staging.resize(samples.len(), 0.0);
                volume.apply(samples, channels, 0, &mut staging);
                samples = &staging;
            }
            volume.advance(wanted);
        }
        let result = self.write(wanted, |take| take.write(samples));
        self.staging = staging;
        result
    }

    fn lost(&mut self, lost: Lost) -> anyhow::Result<()> {
        self.summary.lost_records += 1;
        self.summary.lost_frames = self.summary.lost_frames.saturating_add(lost.frames);
        // Without a format nothing has a place to keep.
        if self.settings.gaps == Gaps::Skip || self.spec.is_none() {
            return Ok(());
        }
        let wanted = self.wanted(lost.frames);
        self.summary.silence_frames = self.summary.silence_frames.saturating_add(wanted);
        self.write(wanted, |take| take.write_silence(wanted))
    }

    /// How many of `frames` more are wanted.
    fn wanted(&self, frames: u64) -> u64 {
        match (self.left, self.spec) {
            (Some(left), Some(spec)) => {
                let all = nanos_to_frames(left, spec.rate);
                frames.min(all.saturating_sub(self.taken))
            }
            _ => frames,
        }
    }

    /// Has the take write `frames` frames, and ends when these were the last.
    fn write(
        &mut self,
        frames: u64,
        write: impl FnOnce(&mut Take<File>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        if frames > 0 {
            self.with_take(write)?;
            self.taken = self.taken.saturating_add(frames);
        }
        // Not while more than a frame's worth of time is left.
        if self.left.is_some() && self.wanted(1) == 0 {
            self.end = End::Now;
        }
        Ok(())
    }

    /// Does something with the take that is open, or with the next.
    fn with_take(
        &mut self,
        work: impl FnOnce(&mut Take<File>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.next_take()?,
        };
        let result = work(&mut open.take);
        self.open = Some(open);
        result.map_err(|error| self.give_up(error))
    }

    fn next_take(&mut self) -> anyhow::Result<Open> {
        // PANIC: Frames come behind a format, by the library's check.
        let spec = self.spec.expect("frames without a format");
        if !self.target.has_next() {
            return Err(Error::new(WriteError {
                name: "standard output".into(),
                source: io::Error::other("the stream has another format, a file can have one only"),
                safe: None,
            }));
        }
        let Place {
            file,
            name,
            is_file,
        } = self.target.next()?;
        match Take::begin(file, self.settings.container, is_file, spec) {
            Ok(take) => {
                self.notes.note(format_args!(
                    "recording to {name}: {} Hz, {}",
                    spec.rate,
                    crate::table::channels(spec.channels)
                ));
                Ok(Open { take, name })
            }
            Err(error) => Err(failure(name, error, Some("nothing is in it".into()))),
        }
    }

    /// Closes the take, whatever comes next has another.
    pub(crate) fn close(&mut self) -> anyhow::Result<()> {
        self.save()?;
        if let Some(open) = self.open.take() {
            self.account(&open);
        }
        Ok(())
    }

    /// The next frames go to another file; standard output goes on as it is.
    pub(crate) fn split(&mut self) -> anyhow::Result<()> {
        if self.target.is_output() {
            return Ok(());
        }
        self.close()
    }

    /// Ends, and waits until the last file is on the disk.
    pub(crate) fn conclude(&mut self) -> anyhow::Result<()> {
        if self.open.is_some() {
            self.with_take(Take::finish)?;
        }
        if let Some(open) = self.open.take() {
            self.account(&open);
        }
        Ok(())
    }

    /// Brings the take up to date.
    fn save(&mut self) -> anyhow::Result<()> {
        match &self.open {
            Some(open) if open.take.is_dirty() => self.with_take(Take::save),
            _ => Ok(()),
        }
    }

    /// Saves what can be saved behind a write that failed.
    fn give_up(&mut self, error: io::Error) -> Error {
        let Some(mut open) = self.open.take() else {
            return Error::new(error);
        };
        let rate = open.take.spec().rate;
        // Where even that fails, the header of before stands.
        let _ = open.take.salvage();
        self.account(&open);
        let safe = format!("{} are safe in it", length(open.take.told(), rate));
        failure(open.name, error, Some(safe))
    }

    /// Takes a take that is done into the account.
    fn account(&mut self, open: &Open) {
        let spec = open.take.spec();
        let frames = open.take.told();
        self.summary.frames_out += frames;
        let file = FileSummary::new(&open.name, self.settings.container, spec, frames);
        self.summary.files.push(file);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(frames_to_nanos(self.taken, spec.rate));
        }
        self.taken = 0;
    }
}

/// What to report where `name` cannot be written.
fn failure(name: String, error: io::Error, safe: Option<String>) -> Error {
    if error.kind() == ErrorKind::BrokenPipe {
        // Whoever read it has had enough.
        return Error::new(error);
    }
    Error::new(WriteError {
        name,
        source: error,
        safe,
    })
}

#[cfg(test)]
mod tests;
