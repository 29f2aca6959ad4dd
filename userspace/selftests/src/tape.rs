// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a consumer popped, and what must be true of it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{anyhow, bail, ensure, Context, Result};
use rtshm::{Consumer, Event, Format, Kind, State};

use crate::app::Setup;
use crate::material::Material;
use crate::module;
use crate::time::{nanos, now};

/// An event, copied out of the ring.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Format {
        format: Format,
        position: u64,
        resync: bool,
    },
    State {
        state: State,
        position: u64,
        time: u64,
        resync: bool,
    },
    Audio {
        chunk: Chunk,
        /// Bits of float32.
        samples: Vec<u32>,
    },
    Lost {
        position: u64,
        frames: u64,
        time: u64,
        spans_streams: bool,
    },
    Volume {
        /// Hundredths of a decibel.
        gain: i32,
        is_on: bool,
        position: u64,
        resync: bool,
    },
}

/// Where and when a chunk was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub(crate) position: u64,
    pub(crate) frames: u64,
    pub(crate) time_stamp: u64,
    /// When it was popped.
    pub(crate) popped: u64,
    /// Changes of state before it on the tape.
    pub(crate) changes: usize,
}

impl Entry {
    pub(crate) fn of(event: &Event<'_>) -> Result<Self> {
        let position = event.position();
        let resync = event.is_resync();
        Ok(match event.kind() {
            Kind::Format(format) => Self::Format {
                format,
                position,
                resync,
            },
            Kind::State(change) => Self::State {
                state: change.state,
                position,
                time: change.time_stamp,
                resync,
            },
            Kind::Audio(chunk) => {
                let popped = now();
                Self::Audio {
                    chunk: Chunk {
                        position: chunk.position,
                        frames: chunk.frame_count.into(),
                        time_stamp: chunk.time_stamp,
                        popped,
                        changes: 0,
                    },
                    samples: chunk
                        .samples
                        .iter()
                        .map(|sample| sample.to_bits())
                        .collect(),
                }
            }
            Kind::Lost(lost) => Self::Lost {
                position,
                frames: lost.frames,
                time: lost.time_stamp,
                spans_streams: lost.spans_streams,
            },
            Kind::Volume(volume) => Self::Volume {
                gain: volume.gain,
                is_on: volume.is_on,
                position,
                resync,
            },
            kind => bail!("an event of a kind that is not tested: {kind:?}"),
        })
    }

    /// Whether a stream ends here.
    pub(crate) fn is_end(&self) -> bool {
        matches!(
            self,
            Self::State {
                state: State::Stop | State::Xrun,
                resync: false,
                ..
            }
        )
    }
}

/// Becomes the consumer and takes what is told to every consumer before anything else: the volume.
pub(crate) fn attach() -> Result<Consumer> {
    attach_to(module::NODE)
}

/// As [`attach`], to the device of another card.
pub(crate) fn attach_to(node: &str) -> Result<Consumer> {
    let mut consumer = Consumer::open(node)?;
    let first = match consumer.pop()? {
        Some(event) => Some(Entry::of(&event)?),
        None => None,
    };
    let Some(Entry::Volume {
        gain,
        is_on,
        resync: true,
        ..
    }) = first
    else {
        bail!("the volume is not told first: {first:?}");
    };
    let status = consumer.device().status()?;
    let expected = (status.volume_gain, status.volume_is_on);
    ensure!(
        (gain, is_on) == expected,
        "a volume of {gain}, {is_on} instead of {expected:?}"
    );
    Ok(consumer)
}

/// Pops everything that is there, and asks for what is owed.
pub(crate) fn pop_all(consumer: &mut Consumer, tape: &mut Vec<Entry>) -> Result<()> {
    loop {
        while let Some(event) = consumer.pop()? {
            tape.push(Entry::of(&event)?);
        }
        if !consumer.wait(Some(Duration::ZERO))? {
            return Ok(());
        }
    }
}

/// How long a recorder waits for the end of what it records.
const PATIENCE: Duration = Duration::from_secs(30);

/// A thread that pops events as they come.
pub(crate) struct Recorder {
    thread: JoinHandle<Result<(Consumer, Vec<Entry>)>>,
    stop: Arc<AtomicBool>,
}

impl Recorder {
    /// Becomes the consumer and records until so many streams have ended.
    pub(crate) fn open(streams: usize) -> Result<Self> {
        Ok(Self::start(attach()?, streams))
    }

    /// Records until so many streams have ended.
    pub(crate) fn start(consumer: Consumer, streams: usize) -> Self {
        Self::start_with_patience(consumer, streams, PATIENCE)
    }

    /// As [`start`](Self::start), for what takes this long.
    pub(crate) fn start_with_patience(
        mut consumer: Consumer,
        streams: usize,
        patience: Duration,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            let mut tape = Vec::new();
            let deadline = now() + u64::try_from(patience.as_nanos())?;
            let mut ends = 0;
            while ends < streams {
                // Before the ring is looked at: what was played before is in it.
                let stopping = told.load(Ordering::Relaxed);
                while let Some(event) = consumer.pop()? {
                    tape.push(Entry::of(&event)?);
                    ends += usize::from(tape.last().is_some_and(Entry::is_end));
                }
                if stopping {
                    break;
                }
                ensure!(
                    now() < deadline,
                    "{ends} of {streams} streams had ended after {patience:?}: {}",
                    summary(&tape)
                );
                if ends < streams {
                    consumer.wait(Some(Duration::from_millis(100)))?;
                }
            }
            pop_all(&mut consumer, &mut tape)?;
            Ok((consumer, tape))
        });
        Self { thread, stop }
    }

    /// Waits until the streams have ended; returns what was recorded.
    pub(crate) fn finish(self) -> Result<Vec<Entry>> {
        Ok(self.finish_and_keep()?.1)
    }

    /// As [`finish`](Self::finish), and stays the consumer.
    pub(crate) fn finish_and_keep(self) -> Result<(Consumer, Vec<Entry>)> {
        self.thread
            .join()
            .map_err(|_| anyhow!("the recorder panicked"))?
            .context("recording")
    }

    /// Stops recording when all is popped that is there now.
    pub(crate) fn stop(self) -> Result<(Consumer, Vec<Entry>)> {
        self.stop.store(true, Ordering::Relaxed);
        self.finish_and_keep()
    }
}

/// The tape in a line, chunks in sum.
pub(crate) fn summary(tape: &[Entry]) -> String {
    let mut text = String::new();
    let mut run: Option<(u64, u64)> = None;
    for entry in tape {
        if let Entry::Audio { chunk, .. } = entry {
            let (first, next) = run.unwrap_or((chunk.position, chunk.position));
            if next == chunk.position {
                run = Some((first, next + chunk.frames));
                continue;
            }
        }
        if let Some((first, next)) = run.take() {
            let _ = write!(text, "audio {first}..{next}, ");
        }
        let mark = |resync: bool| if resync { " (resync)" } else { "" };
        let _ = match entry {
            Entry::Format {
                position, resync, ..
            } => write!(text, "format at {position}{}, ", mark(*resync)),
            Entry::State {
                state,
                position,
                resync,
                ..
            } => write!(text, "{state:?} at {position}{}, ", mark(*resync)),
            Entry::Lost {
                position, frames, ..
            } => write!(
                text,
                "lost {position}..{}, ",
                position.wrapping_add(*frames)
            ),
            Entry::Volume {
                gain,
                is_on,
                position,
                resync,
            } => write!(
                text,
                "volume {gain}, {is_on} at {position}{}, ",
                mark(*resync)
            ),
            Entry::Audio { chunk, .. } => {
                run = Some((chunk.position, chunk.position + chunk.frames));
                Ok(())
            }
        };
    }
    if let Some((first, next)) = run {
        let _ = write!(text, "audio {first}..{next}, ");
    }
    text.trim_end_matches(", ").to_string()
}

/// A change of state, as recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) state: State,
    pub(crate) position: u64,
    pub(crate) time: u64,
}

/// A stream, as recorded.
#[derive(Debug)]
pub(crate) struct Take {
    pub(crate) format: Format,
    /// Whether the recording began in the middle of it.
    pub(crate) resync: bool,
    /// Position of the first frame recorded.
    pub(crate) first: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) samples: Vec<u32>,
}

/// When frames are due.
#[derive(Clone, Copy)]
enum Line {
    /// Never: the stream stands still.
    Still,
    /// On a line that began before the recording did.
    Unknown,
    /// On a line from here on.
    From { position: u64, time: u64 },
}

impl Line {
    /// The line after a change; `resync` says that the change was only told of.
    fn after(self, change: &Change, resync: bool) -> Self {
        match change.state {
            State::Start | State::Resume | State::Drain if resync => Self::Unknown,
            State::Start | State::Resume => Self::From {
                position: change.position,
                time: change.time,
            },
            State::Drain => self,
            _ => Self::Still,
        }
    }
}

/// Takes a tape apart into streams, none of which lost anything. Checks what is true of any such
/// stream: the order of the records, that positions follow each other, and all times.
pub(crate) fn takes(tape: &[Entry]) -> Result<Vec<Take>> {
    let mut takes = Vec::new();
    let mut rest = tape;
    while !rest.is_empty() {
        let take = Take::split_off(&mut rest)
            .and_then(|take| take.check_times().map(|()| take))
            .with_context(|| format!("stream {}: {}", takes.len(), summary(tape)))?;
        takes.push(take);
    }
    Ok(takes)
}

/// The one stream of a tape; see [`takes`].
pub(crate) fn only_take(tape: &[Entry]) -> Result<Take> {
    let mut takes = takes(tape)?;
    let take = takes.pop().context("nothing was recorded")?;
    ensure!(takes.is_empty(), "more than one stream: {}", summary(tape));
    Ok(take)
}

impl Take {
    fn split_off(rest: &mut &[Entry]) -> Result<Self> {
        let mut entries = rest.iter();
        let Some(&Entry::Format {
            format,
            position: first,
            resync,
        }) = entries.next()
        else {
            bail!("it does not begin with its format");
        };
        let mut take = Self {
            format,
            resync,
            first,
            changes: Vec::new(),
            chunks: Vec::new(),
            samples: Vec::new(),
        };
        ensure!(resync || first == 0, "it begins at {first}");
        let mut position = first;
        // Where frames are sent ahead, changes are behind them.
        let mut card = first;
        let is_eager = module::is_eager();
        let mut is_next = |at, next| {
            let holds = at == next || is_eager && (card..next).contains(&at);
            card = at;
            holds
        };
        for entry in &mut entries {
            match *entry {
                Entry::Format { .. } => bail!("a second format"),
                Entry::Lost {
                    position, frames, ..
                } => bail!("{frames} frames lost at {position}"),
                Entry::Volume {
                    position: at,
                    resync,
                    ..
                } => {
                    ensure!(!resync, "the volume told anew");
                    ensure!(
                        is_next(at, position),
                        "a volume at {at}, but {position} is next"
                    );
                }
                Entry::State {
                    state,
                    position: at,
                    time,
                    resync,
                } => {
                    ensure!(
                        is_next(at, position),
                        "{state:?} at {at}, but {position} is next"
                    );
                    let begins = take.changes.is_empty();
                    ensure!(resync == (begins && take.resync), "{state:?}: wrong flags");
                    ensure!(
                        begins == (state == State::Start || resync),
                        "{state:?} where it cannot be"
                    );
                    take.changes.push(Change {
                        state,
                        position: at,
                        time,
                    });
                }
                Entry::Audio { chunk, ref samples } => {
                    ensure!(!take.changes.is_empty(), "sound before the first state");
                    let at = chunk.position;
                    ensure!(at == position, "a chunk at {at}, but {position} is next");
                    position += chunk.frames;
                    take.check_size(&chunk)?;
                    take.chunks.push(Chunk {
                        changes: take.changes.len(),
                        ..chunk
                    });
                    take.samples.extend_from_slice(samples);
                }
            }
            if entry.is_end() {
                break;
            }
        }
        *rest = entries.as_slice();
        Ok(take)
    }

    fn check_size(&self, chunk: &Chunk) -> Result<()> {
        let limit = u64::from(self.format.chunk_frames);
        ensure!(
            (1..=limit).contains(&chunk.frames),
            "{} frames in a chunk of {limit} at most",
            chunk.frames
        );
        let period = u64::from(self.format.period_frames);
        ensure!(
            chunk.position % period + chunk.frames <= period,
            "a chunk at {} crosses the end of a period",
            chunk.position
        );
        Ok(())
    }

    /// Checks the times of changes and chunks.
    ///
    /// While a stream runs, frames are due on a line: from the time of its start, or of its going
    /// on, each 1/rate seconds after the other. The module computes that in fractions of a frame and
    /// rounds once, to a whole nanosecond; so does this, and another way of rounding is all that may
    /// differ.
    fn check_times(&self) -> Result<()> {
        let rate = self.format.rate;
        let is_eager = module::is_eager();
        let mut changes = self.changes.iter();
        let mut line = Line::Still;
        let mut last = 0;
        for chunk in &self.chunks {
            let told = self.changes.len() - changes.len();
            for change in changes.by_ref().take(chunk.changes - told) {
                ensure!(change.time >= last, "{:?} before its time", change.state);
                last = change.time;
                line = line.after(change, self.resync && last == self.changes[0].time);
            }
            let (position, time) = match line {
                Line::From { position, time } => (position, time),
                Line::Unknown => (chunk.position, chunk.time_stamp),
                Line::Still => bail!("sound at {} while the stream stands still", chunk.position),
            };
            line = Line::From { position, time };
            let due = time + nanos(chunk.position - position, rate);
            let error = chunk.time_stamp.abs_diff(due);
            ensure!(
                error <= 1,
                "the chunk at {} is stamped {error} ns off the line",
                chunk.position
            );
            // Rounded up, hence one less.
            let end = time + nanos(chunk.position + chunk.frames - position, rate) - 1;
            if is_eager {
                continue;
            }
            ensure!(
                chunk.popped >= end,
                "the chunk at {} came {} ns before the card had played it",
                chunk.position,
                end - chunk.popped
            );
            last = last.max(end);
        }
        for change in changes {
            ensure!(change.time >= last, "{:?} before its time", change.state);
            last = change.time;
        }
        Ok(())
    }

    /// Frames recorded.
    pub(crate) fn frames(&self) -> u64 {
        self.samples.len() as u64 / u64::from(self.format.channels)
    }

    /// Checks that what was recorded is the material, all of it and nothing else.
    pub(crate) fn check_all_of(&self, material: &Material) -> Result<()> {
        self.check_part_of(material)?;
        ensure!(
            self.first == 0 && self.frames() == material.frames(),
            "{} frames from {} on instead of {} frames",
            self.frames(),
            self.first,
            material.frames()
        );
        Ok(())
    }

    /// Checks that what was recorded is the part of the material that its positions say.
    pub(crate) fn check_part_of(&self, material: &Material) -> Result<()> {
        check_samples(material, self.first, &self.samples)
    }

    /// Checks the states that the stream went through.
    pub(crate) fn check_states(&self, expected: &[State]) -> Result<()> {
        let states: Vec<_> = self.changes.iter().map(|change| change.state).collect();
        ensure!(states == expected, "{states:?} instead of {expected:?}");
        Ok(())
    }

    /// Checks that the format is the one that the application chose.
    pub(crate) fn check_format(&self, setup: &Setup) -> Result<()> {
        let Format {
            rate,
            channels,
            sample_format,
            period_frames,
            buffer_frames,
            chunk_frames,
            ..
        } = self.format;
        let got = (
            rate,
            channels,
            sample_format.0,
            period_frames,
            buffer_frames,
        );
        let Setup {
            rate,
            channels,
            period,
            buffer,
            ..
        } = *setup;
        let expected = (rate, channels, setup.format_number(), period, buffer);
        ensure!(got == expected, "format {got:?} instead of {expected:?}");
        ensure!(
            (1..=period).contains(&chunk_frames),
            "chunks of {chunk_frames} frames for a period of {period}"
        );
        Ok(())
    }
}

/// Checks that `samples` are those of the material from frame `first` on.
pub(crate) fn check_samples(material: &Material, first: u64, samples: &[u32]) -> Result<()> {
    let channels = material.channels as usize;
    let frames = (samples.len() / channels) as u64;
    let expected = material.expected_at(first, frames).with_context(|| {
        format!(
            "{frames} frames from {first} on, but only {} were played",
            material.frames()
        )
    })?;
    if let Some(at) = (0..samples.len()).find(|&at| samples[at] != expected[at]) {
        bail!(
            "frame {}, channel {}: {:#010x} instead of {:#010x}",
            first + (at / channels) as u64,
            at % channels,
            samples[at],
            expected[at]
        );
    }
    Ok(())
}
