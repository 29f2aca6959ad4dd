// SPDX-License-Identifier: GPL-2.0

//! What goes into the ring: the stream as an ordered sequence of records.
//!
//! Every frame that the card consumed ends in exactly one `AUDIO` or `LOST` record, in order. The
//! producer never waits: what does not fit is counted and told as soon as it fits.
//!
//! Pure but for the ring's memory behind [`Writer`], tested on the host.

use crate::{
    abi::{
        memory::Writer,
        plain::{
            self,
            Plain, //
        },
        record::{
            self,
            AudioChunk,
            Format,
            Header,
            Lost,
            State,
            StateChange,
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

/// What has been counted since the module was loaded; see `abi::layout::Counters`.
#[derive(Clone, Copy, Default)]
pub struct Totals {
    /// `AUDIO` records written.
    pub chunks: u64,
    /// Frames inside them.
    pub frames: u64,
    /// Frames that did not fit.
    pub lost_frames: u64,
    /// `LOST` records written.
    pub lost_records: u64,
    /// Streams started.
    pub streams: u64,
    /// Streams stopped because the application was late.
    pub xruns: u64,
    /// Consumers found faulty.
    pub faults: u64,
    /// Times those who wait in `poll()` were woken.
    pub wakeups: u64,
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
/// While a chunk is open nothing is owed, so that nothing else takes its reservation.
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
    }

    /// Takes note that the application has prepared a stream of this format, at position 0.
    pub fn prepare(&mut self, format: Format) {
        self.end_chunk();
        self.format = format;
        self.position = 0;
        self.publish_page();
    }

    /// Tells that the stream changed its state at `time`, in nanoseconds.
    pub fn state(&mut self, state: State, time: u64) {
        self.end_chunk();
        self.join(time);
        self.state = Some(state);
        trace::state(self.card, state.as_raw(), self.position, time);
        match state {
            State::Start => self.totals.streams = self.totals.streams.wrapping_add(1),
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

    /// Takes the next `count` frames that the card has consumed; `left` of them, at least `count`,
    /// remain to the end of the chunk. `time` gives the nanosecond at which a position is due, and
    /// `convert` writes `count * channels` samples, as float32 bit patterns.
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
        let position = self.position;
        let has_begun = match self.joining {
            Some(since) => time(position) >= since,
            None => true,
        };
        if has_begun && count != 0 {
            self.join(time(position));
        }
        self.position = position.wrapping_add(count);
        (has_begun && count != 0 && self.writer.is_some()).then_some(position)
    }

    /// Tells a consumer that has come to a stream under way what it has come to.
    fn join(&mut self, now: u64) {
        if self.joining.take().is_some() {
            self.describe(now);
            self.settle();
        }
    }

    /// Writes what is owed if it fits; returns whether nothing is owed any more.
    ///
    /// While the stream goes on, a chunk has to fit behind it, and no chunk be half lost: otherwise
    /// more is lost at once, and one gap would be told in many records. The endpoint sees to it that
    /// several chunks fit into an empty ring.
    pub fn settle(&mut self) -> bool {
        if self.backlog.is_empty() {
            return true;
        }
        if !self.can_settle() {
            return false;
        }
        let Format {
            chunk_frames,
            channels,
            ..
        } = self.format;
        let chunk = match self.is_active() {
            true => record::audio_size(chunk_frames, channels).map_or(0, record::stored_len),
            false => 0,
        };
        let needed = self.backlog.stored_len().wrapping_add(chunk);
        let mut fits = false;
        self.note_fault(|writer| fits = writer.make_room(needed).is_ok());
        if !fits {
            return false;
        }
        while let Some(&entry) = self.backlog.first() {
            let done = match &entry.body {
                Body::Format(body) => self.put(&entry, body),
                Body::State(body) => self.put(&entry, body),
                Body::Lost(body) => self.put(&entry, body),
                Body::Volume(body) => self.put(&entry, body),
            };
            if !done {
                return false;
            }
            self.backlog.remove_first();
        }
        true
    }

    /// Looks at the consumer's counter without writing; returns whether the consumer is faulty.
    pub fn inspect(&mut self) -> bool {
        self.note_fault(|writer| writer.inspect())
    }

    /// Whether the consumer was found faulty.
    pub fn is_faulty(&self) -> bool {
        self.writer.as_ref().is_some_and(Writer::is_faulty)
    }

    /// Whether records are owed that did not fit yet.
    pub fn is_owing(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether records are owed that would be written if there were room.
    pub fn can_settle(&self) -> bool {
        self.is_owing() && !matches!(self.chunk, Chunk::Refused { .. })
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

    /// The counters.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The stream's format, zero before the first stream.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The last change of state.
    pub fn last_state(&self) -> Option<State> {
        self.state
    }

    /// What the mixer says, and since when.
    pub fn last_volume(&self) -> Volume {
        self.volume
    }

    /// The speed at which the card's clock runs, as [`clock`](Self::clock) was told.
    pub fn clock_ratio(&self) -> u64 {
        self.clock_ratio
    }

    /// The speed that the consumer asks for, any value at all; 0 where it asks for none, is faulty or
    /// is not there. See `abi::layout::ConsumerPage::rate_request`.
    pub fn rate_request(&self) -> u64 {
        match &self.writer {
            Some(writer) if !writer.is_faulty() => writer.rate_request(),
            _ => 0,
        }
    }

    /// The consumer's counter as it says itself.
    pub fn claimed_read_count(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::claimed_read_count)
    }

    /// The consumer's counter as it was last accepted.
    pub fn read_count(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::read_count)
    }

    /// Bytes ever published for this consumer.
    pub fn write_count(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::write_count)
    }

    /// Whether a stream has started and not ended.
    pub fn is_active(&self) -> bool {
        matches!(
            self.state,
            Some(State::Start | State::Pause | State::Resume | State::Drain | State::Suspend)
        )
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

    /// Adds a record to what is owed; returns whether there was room.
    fn owe(&mut self, flags: u16, body: Body) -> bool {
        self.backlog.push(Entry {
            flags,
            position: self.position,
            body,
        })
    }

    /// Owes all that a consumer has to know, after a collapse: there is room.
    fn resync(&mut self, now: u64) {
        self.owe(record::RESYNC, Body::Volume(self.volume));
        self.describe(now);
    }

    /// Owes a description of the stream as it is, to a consumer that knows the volume: there is room.
    fn describe(&mut self, now: u64) {
        if self.is_active() {
            self.owe(record::RESYNC, Body::Format(self.format));
        }
        if let Some(state) = self.state {
            self.owe(record::RESYNC, state_body(state, now));
        }
    }

    /// Writes one record; returns whether it fitted.
    fn put<T: Plain>(&mut self, entry: &Entry, body: &T) -> bool {
        // CAST: A small constant.
        let size = size_of::<T>() as u32;
        if !self.reserve(record::stored_len(size)) {
            return false;
        }
        let Some(writer) = &mut self.writer else {
            return false;
        };
        let header = Header {
            size,
            kind: entry.body.kind(),
            flags: entry.flags,
            position: entry.position,
        };
        if !write(writer.reserved(), &header, body) {
            writer.abandon();
            return false;
        }
        writer.commit(record::stored_len(size));
        if let Body::Lost(_) = entry.body {
            self.totals.lost_records = self.totals.lost_records.wrapping_add(1);
            self.publish_page();
        }
        self.published(true);
        true
    }

    fn reserve(&mut self, len: u64) -> bool {
        let mut reserved = false;
        self.note_fault(|writer| reserved = writer.reserve(len).is_ok());
        reserved
    }

    /// Calls `look`, which may find the consumer faulty; returns whether it is.
    fn note_fault(&mut self, look: impl FnOnce(&mut Writer)) -> bool {
        let Some(writer) = &mut self.writer else {
            return false;
        };
        let known = writer.is_faulty();
        look(writer);
        let faulty = writer.is_faulty();
        if faulty && !known {
            self.totals.faults = self.totals.faults.wrapping_add(1);
            self.publish_page();
            self.published(true);
        }
        faulty
    }

    /// Takes note that there is something to see for the consumer.
    fn published(&mut self, urgent: bool) {
        let urgent = urgent || self.news.is_some_and(|news| news.urgent);
        self.news = Some(News {
            write_count: self.write_count(),
            urgent,
        });
    }

    /// Copies the counters and the stream's description to the producer page.
    fn publish_page(&self) {
        let Some(writer) = &self.writer else {
            return;
        };
        // ORDERING: Relaxed throughout: each field stands by itself, and nothing is read through it.
        let Totals {
            chunks,
            frames,
            lost_frames,
            lost_records,
            streams,
            xruns,
            faults,
            wakeups,
        } = self.totals;
        let counters = &writer.page().counters;
        counters.chunks.store_relaxed(chunks);
        counters.frames.store_relaxed(frames);
        counters.lost_frames.store_relaxed(lost_frames);
        counters.lost_records.store_relaxed(lost_records);
        counters.streams.store_relaxed(streams);
        counters.xruns.store_relaxed(xruns);
        counters.faults.store_relaxed(faults);
        counters.wakeups.store_relaxed(wakeups);
        let Format {
            rate,
            channels,
            format,
            period_frames,
            buffer_frames,
            chunk_frames,
            reserved: _,
        } = self.format;
        let stream = &writer.page().stream;
        stream
            .state
            .store_relaxed(self.state.map_or(0, State::as_raw));
        stream.rate.store_relaxed(rate);
        stream.channels.store_relaxed(channels);
        stream.format.store_relaxed(format);
        stream.period_frames.store_relaxed(period_frames);
        stream.buffer_frames.store_relaxed(buffer_frames);
        stream.chunk_frames.store_relaxed(chunk_frames);
        writer.page().clock_ratio.store_relaxed(self.clock_ratio);
    }
}

fn state_body(state: State, time_stamp: u64) -> Body {
    Body::State(StateChange {
        state: state.as_raw(),
        reserved: 0,
        time_stamp,
    })
}

/// Writes a header and what follows it to the start of `bytes`; returns whether they fitted.
fn write<T: Plain>(bytes: &mut [u8], header: &Header, body: &T) -> bool {
    record::put(bytes, header)
        && bytes
            .get_mut(record::HEADER_LEN..)
            .is_some_and(|rest| record::put(rest, body))
}
