// SPDX-License-Identifier: GPL-2.0

//! What goes into the ring: the stream as an ordered sequence of records.
//!
//! Every frame that the card consumed ends in exactly one `AUDIO` or `LOST` record, in order. The
//! producer never waits: what does not fit is counted and told as soon as it fits. Frames may be sent
//! ahead of the card, where they fit.
//!
//! Pure but for the ring's memory behind [`Writer`], tested on the host.

#[path = "feed/ahead.rs"]
mod ahead;
#[path = "feed/queries.rs"]
mod queries;
#[path = "feed/records.rs"]
mod records;
#[path = "feed/totals.rs"]
mod totals;

pub use totals::Totals;

use crate::{
    abi::{
        memory::Writer,
        plain,
        record::{
            self,
            AudioChunk,
            Format,
            Header,
            Lost,
            State,
            Volume, //
        }, //
    },
    backlog::{
        Backlog,
        Body,
        Entry, //
    },
    trace, //
};
use records::{
    state_body,
    write, //
};

/// The chunk that is being filled.
#[derive(Clone, Copy)]
enum Chunk {
    /// None: the next frame begins one.
    None,
    /// It stands in the ring, reserved and not yet published.
    Open {
        position: u64,
        time_stamp: u64,
        filled: u32,
        planned: u32,
    },
    /// It did not fit, and the rest of it is not tried again.
    Refused { left: u32 },
}

/// What a consumer may be waiting for.
#[derive(Clone, Copy)]
pub struct News {
    /// Bytes published so far.
    pub write_count: u64,
    /// Whether a record other than `AUDIO` is among them, or the consumer was found faulty.
    pub urgent: bool,
}

/// The stream of records, to a consumer or to nobody.
///
/// # Invariants
///
/// - While a chunk is open nothing is owed, so that nothing else takes its reservation.
/// - `sent` is not behind `position`, and where it is ahead no chunk is open and there is a consumer.
pub struct Feed {
    /// The card's index, for traces.
    card: u32,
    writer: Option<Writer>,
    chunk: Chunk,
    backlog: Backlog,
    format: Format,
    state: Option<State>,
    /// Frames that the card has consumed since the stream was prepared.
    position: u64,
    /// Frames up to here are in `AUDIO` and `LOST` records, or nobody was to have them.
    sent: u64,
    volume: Volume,
    /// The speed of the card's clock; see `abi::layout::ProducerPage::clock_ratio`.
    clock_ratio: u64,
    totals: Totals,
    /// The consumer has come to a stream under way, at this time, and knows nothing of it yet.
    joining: Option<u64>,
    news: Option<News>,
}

impl Feed {
    /// The feed of the card of this index, to nobody.
    pub fn new(card: u32) -> Self {
        Self {
            card,
            writer: None,
            chunk: Chunk::None,
            backlog: Backlog::default(),
            format: Format::default(),
            state: None,
            position: 0,
            sent: 0,
            volume: Volume {
                gain: record::GAIN_MAX,
                on: 1,
                time_stamp: 0,
            },
            clock_ratio: 0,
            totals: Totals::default(),
            joining: None,
            news: None,
        }
    }

    /// Begins to feed a consumer, with the volume and then what is due from `now` on, in nanoseconds.
    pub fn attach(&mut self, writer: Writer, now: u64) {
        self.detach();
        self.writer = Some(writer);
        self.owe(record::RESYNC, Body::Volume(self.volume));
        self.settle();
        self.joining = self.is_active().then_some(now);
        if let Some(State::Pause | State::Suspend) = self.state {
            self.join(now);
        }
        self.publish_page();
    }

    /// Stops feeding the consumer.
    pub fn detach(&mut self) {
        self.writer = None;
        self.chunk = Chunk::None;
        self.backlog.clear();
        self.joining = None;
        self.news = None;
        // The next consumer begins with what the card plays.
        self.sent = self.position;
    }

    /// Takes note that the application has prepared a stream of this format, at position 0.
    pub fn prepare(&mut self, format: Format) {
        self.end_chunk();
        self.format = format;
        self.position = 0;
        self.sent = 0;
        self.publish_page();
    }

    /// Tells that the stream changed its state at `time`, in nanoseconds.
    pub fn state(&mut self, state: State, time: u64) {
        self.end_chunk();
        self.join(time);
        self.state = Some(state);
        trace::state(self.card, state.as_raw(), self.position, time);
        match state {
            State::Start => {
                self.totals.streams = self.totals.streams.wrapping_add(1);
                // What went ahead after a start that ALSA has taken back was never played.
                self.sent = self.position;
            }
            State::Xrun => self.totals.xruns = self.totals.xruns.wrapping_add(1),
            _ => {}
        }
        if self.writer.is_none() {
            return;
        }
        let told = (state != State::Start || self.owe(0, Body::Format(self.format)))
            && self.owe(0, state_body(state, time));
        if !told {
            self.backlog.collapse();
            self.resync(time);
        }
        self.settle();
        self.publish_page();
    }

    /// Tells what the mixer says since `time`, in nanoseconds, where that is news: the gain in
    /// hundredths of a decibel, from `GAIN_MIN` to `GAIN_MAX`, and whether the switch is on.
    pub fn volume(&mut self, gain: i32, on: bool, time: u64) {
        let (gain, on) = (gain.clamp(record::GAIN_MIN, record::GAIN_MAX), on.into());
        if (gain, on) == (self.volume.gain, self.volume.on) {
            return;
        }
        self.end_chunk();
        self.volume = Volume {
            gain,
            on,
            time_stamp: time,
        };
        if self.writer.is_none() {
            return;
        }
        if !self.owe(0, Body::Volume(self.volume)) {
            self.backlog.collapse();
            self.resync(time);
        }
        self.settle();
    }

    /// Takes note of the speed at which the card's clock runs, as a ratio to the nominal rate times
    /// 2^32; 0 where it stands still.
    pub fn clock(&mut self, ratio: u64) {
        if ratio != self.clock_ratio {
            trace::clock(self.card, ratio, self.position);
        }
        self.clock_ratio = ratio;
        self.publish_page();
    }

    /// Takes the next `count` frames that the card has consumed, none of them sent ahead; `left` of
    /// them, at least `count`, remain to the end of the chunk. `time` gives the nanosecond at which a
    /// position is due, and `convert` writes `count * channels` samples, as float32 bit patterns.
    pub fn audio(
        &mut self,
        count: u32,
        left: u32,
        time: impl Fn(u64) -> u64,
        convert: impl FnOnce(&mut [u32]),
    ) {
        let Some(position) = self.consume(count.into(), &time) else {
            return;
        };
        if let Chunk::None = self.chunk {
            self.chunk = self.begin_chunk(position, left, &time);
        }
        match &mut self.chunk {
            Chunk::Open {
                filled, planned, ..
            } => {
                let start = *filled;
                *filled = start.wrapping_add(count);
                let full = *filled >= *planned;
                if let Some(samples) = self.samples(start, count) {
                    convert(samples);
                }
                if full {
                    self.end_chunk();
                }
            }
            Chunk::Refused { left } => {
                *left = left.saturating_sub(count);
                if *left == 0 {
                    self.chunk = Chunk::None;
                }
                self.lose(position, u64::from(count), &time);
            }
            Chunk::None => {}
        }
    }

    /// Takes `count` frames that the card consumed and that nobody can have any more.
    pub fn skip(&mut self, count: u64, time: impl Fn(u64) -> u64) {
        if count != 0 {
            self.end_chunk();
        }
        if let Some(position) = self.consume(count, &time) {
            self.lose(position, count, &time);
        }
    }

    /// Moves on by `count` frames; returns the position of the first if a consumer is to have them.
    fn consume(&mut self, count: u64, time: &impl Fn(u64) -> u64) -> Option<u64> {
        let position = self.sent;
        let has_begun = match self.joining {
            Some(since) => time(position) >= since,
            None => true,
        };
        if has_begun && count != 0 && self.joining.is_some() {
            self.join(time(position));
        }
        self.sent = position.wrapping_add(count);
        self.position = self.position.wrapping_add(count);
        (has_begun && count != 0 && self.writer.is_some()).then_some(position)
    }

    /// Tells a consumer that has come to a stream under way what it has come to.
    fn join(&mut self, now: u64) {
        if self.joining.take().is_some() {
            self.describe(now);
            self.settle();
        }
    }

    /// Looks at the consumer's counter without writing; returns whether the consumer is faulty.
    pub fn inspect(&mut self) -> bool {
        self.note_fault(|writer| writer.inspect())
    }

    /// What there is to wake somebody for since the last call.
    pub fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// Counts a wake-up.
    pub fn count_wakeup(&mut self) {
        self.totals.wakeups = self.totals.wakeups.wrapping_add(1);
        self.publish_page();
    }

    /// Opens a chunk of up to `planned` frames in the ring.
    fn begin_chunk(&mut self, position: u64, planned: u32, time: &impl Fn(u64) -> u64) -> Chunk {
        let refused = Chunk::Refused { left: planned };
        let Some(size) = record::audio_size(planned, self.format.channels) else {
            return refused;
        };
        if !self.settle() || !self.reserve(record::stored_len(size)) {
            return refused;
        }
        Chunk::Open {
            position,
            time_stamp: time(position),
            filled: 0,
            planned,
        }
    }

    /// Publishes the chunk that is open, as far as it is filled.
    fn end_chunk(&mut self) {
        let chunk = core::mem::replace(&mut self.chunk, Chunk::None);
        let Chunk::Open {
            position,
            time_stamp,
            filled,
            ..
        } = chunk
        else {
            return;
        };
        let (Some(writer), Some(size)) = (
            &mut self.writer,
            record::audio_size(filled, self.format.channels),
        ) else {
            return;
        };
        if writer.is_faulty() {
            // Found so while the chunk was open: nothing more is written for this consumer.
            writer.abandon();
            self.lose(position, u64::from(filled), &|_| time_stamp);
            return;
        }
        let header = Header {
            size,
            kind: record::AUDIO,
            flags: 0,
            position,
        };
        let body = AudioChunk {
            frame_count: filled,
            reserved: 0,
            time_stamp,
            reserved2: [0; 4],
        };
        if filled == 0 || !write(writer.reserved(), &header, &body) {
            writer.abandon();
            return;
        }
        writer.commit(record::stored_len(size));
        trace::push(
            self.card,
            position,
            filled,
            time_stamp,
            writer.write_count(),
        );
        self.totals.chunks = self.totals.chunks.wrapping_add(1);
        self.totals.frames = self.totals.frames.wrapping_add(u64::from(filled));
        // ORDERING: As in `publish_page`, of which this is what a chunk changes.
        let counters = &writer.page().counters;
        counters.chunks.store_relaxed(self.totals.chunks);
        counters.frames.store_relaxed(self.totals.frames);
        self.published(false);
    }

    /// The place in the open chunk for `count` frames from its frame `start` on.
    fn samples(&mut self, start: u32, count: u32) -> Option<&mut [u32]> {
        // CAST: Widening. OVERFLOW: The products are inside of a chunk that `audio_size` admitted.
        let frame = (self.format.channels as usize).wrapping_mul(4);
        let first = (start as usize)
            .wrapping_mul(frame)
            .wrapping_add(record::AUDIO_OFFSET);
        let end = (count as usize).wrapping_mul(frame).wrapping_add(first);
        plain::words_mut(self.writer.as_mut()?.reserved().get_mut(first..end)?)
    }

    fn lose(&mut self, position: u64, frames: u64, time: &impl Fn(u64) -> u64) {
        trace::lost(self.card, position, frames);
        self.totals.lost_frames = self.totals.lost_frames.wrapping_add(frames);
        self.publish_page();
        if self.backlog.extend(position, frames) {
            return;
        }
        let time_stamp = time(position);
        let entry = Entry {
            flags: 0,
            position,
            body: Body::Lost(Lost { frames, time_stamp }),
        };
        if !self.backlog.push(entry) {
            self.backlog.collapse_into(entry);
            self.resync(time(self.position));
        }
    }
}
