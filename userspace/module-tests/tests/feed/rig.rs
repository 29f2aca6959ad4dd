// SPDX-License-Identifier: GPL-2.0

//! A feed between a card and a consumer, with the books kept of both.
//!
//! Every operation of the [`Rig`] enters what happens into the [`Ledger`], calls the feed, and checks
//! what came of it: the records against the ledger, the counters against what was counted here, and
//! that frames are lost only where there was no room. The consumer reads through the contract's
//! `Reader`, whenever and as little as a test likes; an observer sees every record at once.

use rtshm_module_tests::{
    abi::{
        memory::Reader,
        record::{
            State,
            RESYNC, //
        }, //
    },
    feed::Feed, //
};

use super::{
    card::{
        due,
        sample,
        Config, //
    },
    ledger::{
        is_active,
        Ledger, //
    },
    region::Region,
    told::{
        Parser,
        Told, //
    },
};

/// Bytes of a record that is not `AUDIO`.
const NOTE: u64 = 64;

/// Most records that are owed one by one.
const KEPT: u64 = 8;

/// What was counted over all consumers.
#[derive(Default)]
struct Counted {
    chunks: u64,
    frames: u64,
    lost_frames: u64,
    lost_records: u64,
    streams: u64,
    xruns: u64,
    faults: u64,
    wakeups: u64,
    collapses: u64,
    held_back: u64,
}

/// The consumer.
struct Consumer {
    reader: Reader,
    parser: Parser,
    /// What is published and not given back, as the observer saw it when it was published.
    unread: Vec<u8>,
    observer: Parser,
    /// Bytes that the observer has seen.
    observed: u64,
    /// When it came to a stream under way, until it is told of it.
    joining: Option<u64>,
    /// Whether it ever wrote nonsense into its page.
    is_hostile: bool,
    is_faulty: bool,
    /// The speed that it asks for.
    request: u64,
}

/// How consumers came to streams under way, in numbers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Joined {
    /// With a piece that was due when it came or later, by the state: start, resume, drain.
    pub(crate) by_piece: [u64; 3],
    /// Of these: with one that was due just then; with skipped frames; with one inside of a chunk.
    pub(crate) just_then: u64,
    pub(crate) by_skip: u64,
    pub(crate) in_mid_chunk: u64,
    /// With a change of the state, before any such piece.
    pub(crate) by_change: u64,
    /// While paused or suspended, and so at once.
    pub(crate) standing: u64,
    /// Pieces that were due before.
    pub(crate) passed: u64,
}

/// What of the chunk under way becomes of it.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// There is none.
    NotBegun,
    Fits,
    Lost,
}

/// The card's index.
pub(crate) const CARD: u32 = 3;

/// News to be expected of the feed.
#[derive(Clone, Copy, Default, PartialEq)]
struct News {
    any: bool,
    urgent: bool,
}

pub(crate) struct Rig {
    pub(crate) feed: Feed,
    pub(crate) ledger: Ledger,
    consumer: Option<Consumer>,
    counted: Counted,
    news: News,
    config: Config,
    state: Option<State>,
    position: u64,
    /// Frames that the card ever consumed.
    consumed: u64,
    fate: Fate,
    now: u64,
    /// What the mixer says: gain, switch, and since when.
    volume: (i32, bool, u64),
    clock_ratio: u64,
    joined: Joined,
    /// Last, so that it goes last.
    region: Region,
}

impl Rig {
    /// A card that nobody plays into and nobody reads from.
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            feed: Feed::new(CARD),
            ledger: Ledger::default(),
            consumer: None,
            counted: Counted::default(),
            news: News::default(),
            config: Config::new(0, 0, 1, 1),
            state: None,
            position: 0,
            consumed: 0,
            fate: Fate::NotBegun,
            now: 5,
            volume: (0, true, 0),
            clock_ratio: 0,
            joined: Joined::default(),
            region: Region::new(capacity),
        }
    }

    /// As [`new`](Self::new), with a consumer.
    pub(crate) fn attached(capacity: u64) -> Self {
        let mut rig = Self::new(capacity);
        rig.attach();
        rig
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.region.capacity()
    }

    pub(crate) fn state(&self) -> Option<State> {
        self.state
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Number of the next frame, for `due`.
    pub(crate) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The time of the last event.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Times that the stream was described anew because too much was owed.
    pub(crate) fn collapses(&self) -> u64 {
        self.counted.collapses + self.ledger.collapses
    }

    /// Polls inside of a chunk that was being refused, with room for everything.
    pub(crate) fn held_back(&self) -> u64 {
        self.counted.held_back
    }

    pub(crate) fn joined(&self) -> Joined {
        self.joined
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.consumer.is_some()
    }

    /// Bytes published that the consumer has not given back.
    pub(crate) fn unread(&self) -> u64 {
        self.consumer
            .as_ref()
            .map_or(0, |consumer| consumer.unread.len() as u64)
    }

    pub(crate) fn free(&self) -> u64 {
        self.capacity() - self.unread()
    }

    fn tick(&mut self) -> u64 {
        self.now += 1000;
        self.now
    }

    // The application.

    pub(crate) fn prepare(&mut self, config: Config) {
        self.config = config;
        self.position = 0;
        self.fate = Fate::NotBegun;
        self.ledger.prepare();
        self.feed.prepare(config.format());
        self.observe();
    }

    /// Prepares and starts.
    pub(crate) fn start(&mut self, config: Config) {
        self.prepare(config);
        self.change(State::Start);
    }

    pub(crate) fn change(&mut self, state: State) {
        let now = self.tick();
        if self.is_joining() {
            self.joined.by_change += 1;
            self.note_stream(now);
        }
        self.state = Some(state);
        self.fate = Fate::NotBegun;
        match state {
            State::Start => self.counted.streams += 1,
            State::Xrun => self.counted.xruns += 1,
            _ => {}
        }
        if self.consumer.is_some() {
            if state == State::Start {
                self.note_format(0);
            }
            self.note_state(0, now);
        }
        self.feed.state(state, now);
        self.observe();
        self.check_settled();
    }

    /// Moves the slider, or the switch.
    pub(crate) fn volume(&mut self, gain: i32, on: bool) {
        let now = self.tick();
        let is_news = (gain, on) != (self.volume.0, self.volume.1);
        let write_count = self.feed.write_count();
        if is_news {
            self.volume = (gain, on, now);
            self.fate = Fate::NotBegun;
            if self.consumer.is_some() {
                self.note_volume(0);
            }
        }
        self.feed.volume(gain, on, now);
        self.observe();
        if is_news {
            self.check_settled();
        } else {
            assert_eq!(self.feed.write_count(), write_count, "told, and no news");
        }
    }

    /// Sets the speed of the card's clock.
    pub(crate) fn clock(&mut self, ratio: u64) {
        self.clock_ratio = ratio;
        self.feed.clock(ratio);
        self.observe();
    }

    fn note_volume(&mut self, flags: u16) {
        let (gain, on, time) = self.volume;
        self.ledger.note(Told::Volume {
            flags,
            position: self.position,
            gain,
            on,
            time,
        });
    }

    fn note_format(&mut self, flags: u16) {
        self.ledger.note(Told::Format {
            flags,
            position: self.position,
            format: self.config.format(),
        });
    }

    fn note_state(&mut self, flags: u16, time: u64) {
        self.ledger.note(Told::State {
            flags,
            position: self.position,
            state: self.state.expect("a stream"),
            time,
        });
    }

    fn is_joining(&self) -> bool {
        self.consumer.as_ref().is_some_and(|c| c.joining.is_some())
    }

    /// The consumer is to be told of the stream under way, as it is now.
    fn note_stream(&mut self, time: u64) {
        self.consumer.as_mut().expect("a consumer").joining = None;
        self.note_format(RESYNC);
        self.note_state(RESYNC, time);
    }

    /// Whether the consumer is to have a piece that begins with the next frame. If it is the first,
    /// the stream is to be told before.
    fn note_piece(&mut self, is_skip: bool) -> bool {
        let Some(consumer) = &self.consumer else {
            return false;
        };
        let Some(since) = consumer.joining else {
            return true;
        };
        let time = due(self.consumed);
        if time < since {
            self.joined.passed += 1;
            return false;
        }
        let state = match self.state {
            Some(State::Start) => 0,
            Some(State::Resume) => 1,
            Some(State::Drain) => 2,
            state => unreachable!("frames in {state:?}"),
        };
        let in_mid_chunk = !self.config.begins_chunk(self.position);
        self.joined.by_piece[state] += 1;
        self.joined.just_then += u64::from(time == since);
        self.joined.by_skip += u64::from(is_skip);
        self.joined.in_mid_chunk += u64::from(in_mid_chunk);
        self.note_stream(time);
        true
    }

    // The card.

    /// Consumes frames, chunk by chunk, as the endpoint does.
    pub(crate) fn play(&mut self, mut frames: u32) {
        while frames != 0 {
            let left = self.config.left(self.position);
            let count = frames.min(left);
            self.play_within_chunk(count, left);
            frames -= count;
        }
    }

    fn play_within_chunk(&mut self, count: u32, left: u32) {
        let (config, first) = (self.config, self.consumed);
        let is_for_consumer = self.note_piece(false);
        if is_for_consumer {
            self.ledger.run(config, self.position, first, count.into());
        }
        let write_count = self.feed.write_count();
        let (free, is_owing) = (self.free(), self.feed.is_owing());
        let position = self.position;
        let lost_before = self.feed.totals().lost_frames;
        self.feed.audio(
            count,
            left,
            |at| due(first + (at - position)),
            |out| {
                assert!(is_for_consumer, "converted for nobody");
                assert_eq!(out.len(), (count * config.channels) as usize);
                let frames = first..first + u64::from(count);
                let samples =
                    frames.flat_map(|frame| (0..config.channels).map(move |c| sample(frame, c)));
                out.iter_mut()
                    .zip(samples)
                    .for_each(|(to, from)| *to = from);
            },
        );
        self.position += u64::from(count);
        self.consumed += u64::from(count);

        let lost = self.feed.totals().lost_frames - lost_before;
        if is_for_consumer {
            let fate = if lost == 0 { Fate::Fits } else { Fate::Lost };
            self.check_loss(lost, count, left, fate, (free, is_owing));
            self.fate = if count == left { Fate::NotBegun } else { fate };
        } else {
            assert_eq!(lost, 0, "lost for nobody");
            assert_eq!(self.feed.write_count(), write_count, "told to nobody");
        }
        self.observe();
    }

    /// Chunks are lost whole, and only where there was no room when they began.
    fn check_loss(
        &self,
        lost: u64,
        count: u32,
        left: u32,
        fate: Fate,
        (free, is_owing): (u64, bool),
    ) {
        if self.is_hostile() {
            return;
        }
        assert!(lost == 0 || lost == u64::from(count), "a part of it lost");
        if self.fate == Fate::NotBegun {
            let needed = self.config.stored(left);
            let ample = if is_owing {
                self.room_to_settle()
            } else {
                needed
            };
            assert!(lost == 0 || free < ample, "lost, with {free} free");
            assert!(lost != 0 || free >= needed, "not lost, with {free} free");
        } else {
            assert!(fate == self.fate, "a chunk that goes both ways");
        }
    }

    /// Consumes frames that nobody can have any more.
    pub(crate) fn skip(&mut self, frames: u64) {
        let (config, first) = (self.config, self.consumed);
        let write_count = self.feed.write_count();
        let is_for_consumer = frames != 0 && self.note_piece(true);
        if is_for_consumer {
            self.ledger.skip(config, self.position, first, frames);
        }
        if frames != 0 {
            self.fate = Fate::NotBegun;
        }
        let position = self.position;
        let lost_before = self.feed.totals().lost_frames;
        self.feed.skip(frames, |at| due(first + (at - position)));
        self.position += frames;
        self.consumed += frames;
        let lost = self.feed.totals().lost_frames - lost_before;
        if is_for_consumer {
            assert!(self.is_hostile() || lost == frames, "not all are lost");
        } else {
            assert_eq!(lost, 0, "lost for nobody");
            assert_eq!(self.feed.write_count(), write_count, "told to nobody");
        }
        self.observe();
    }

    // The consumer.

    /// Comes when every frame that is still to be played is due later.
    pub(crate) fn attach(&mut self) {
        let now = self.tick();
        assert!(now < due(self.consumed), "it came too late for this");
        self.attach_at(now);
    }

    /// Comes at `now`, as [`come_at`](Self::come_at), and reads the volume.
    pub(crate) fn attach_at(&mut self, now: u64) {
        self.come_at(now);
        let (gain, on, time) = self.volume;
        let expected = Told::Volume {
            flags: RESYNC,
            position: self.position,
            gain,
            on,
            time,
        };
        assert_eq!(self.read(), Some(expected), "the volume comes first");
        assert_eq!(self.take_news(), Some(true));
    }

    /// Comes at `now`: what is due earlier and was not handed over yet is not for this consumer.
    pub(crate) fn come_at(&mut self, now: u64) {
        assert!(self.consumer.is_none(), "there is one seat");
        self.ledger = Ledger::default();
        self.fate = Fate::NotBegun;
        self.news = News::default();
        // SAFETY: The region is dropped last; the feed gave up its writer, and the consumer is gone.
        let (writer, reader) = unsafe { self.region.ends() };
        self.consumer = Some(Consumer {
            reader,
            parser: Parser::default(),
            unread: Vec::new(),
            observer: Parser::default(),
            observed: 0,
            joining: self.state.filter(|&state| is_active(state)).map(|_| now),
            is_hostile: false,
            is_faulty: false,
            request: 0,
        });
        self.note_volume(RESYNC);
        let stands_still = matches!(self.state, Some(State::Pause | State::Suspend));
        if stands_still {
            self.joined.standing += 1;
            self.note_stream(now);
        }
        self.feed.attach(writer, now);
        self.observe();
        let told = if stands_still { 3 * NOTE } else { NOTE };
        assert_eq!(self.feed.write_count(), told, "told at once");
        assert!(!self.feed.is_owing(), "owed to an empty ring");
    }

    pub(crate) fn detach(&mut self) {
        self.feed.detach();
        self.consumer = None;
        self.fate = Fate::NotBegun;
        self.news = News::default();
        // What was counted stays; only this consumer's ledger is closed.
        let totals = self.feed.totals();
        self.counted.chunks += self.ledger.chunks;
        self.counted.frames += self.ledger.frames;
        self.counted.lost_records += self.ledger.lost_records;
        self.counted.lost_frames = totals.lost_frames;
        self.counted.collapses += self.ledger.collapses;
        self.ledger = Ledger::default();
        self.observe();
        assert!(!self.feed.is_owing(), "owed to nobody");
        assert_eq!(self.feed.write_count(), 0);
        assert_eq!(self.feed.read_count(), 0);
    }

    /// What `poll()` does where something is owed.
    pub(crate) fn settle(&mut self) -> bool {
        let (was_owing, write_count) = (self.feed.is_owing(), self.feed.write_count());
        let done = self.feed.settle();
        if self.fate == Fate::Lost {
            // More of the same gap is to come.
            self.counted.held_back += u64::from(self.free() >= self.room_to_settle());
            assert_eq!(self.feed.is_owing(), was_owing);
            assert_eq!(self.feed.write_count(), write_count, "a gap told in parts");
        }
        self.observe();
        self.check_settled();
        assert_eq!(done, !self.feed.is_owing());
        done
    }

    /// What `poll()` does where the consumer's counter looks impossible.
    pub(crate) fn inspect(&mut self) -> bool {
        let is_faulty = self.feed.inspect();
        self.observe();
        if let Some(consumer) = self.consumer.as_ref().filter(|c| !c.is_hostile) {
            let accepted = self.feed.read_count();
            assert_eq!(accepted, consumer.reader.read_count());
        }
        let known = self.consumer.as_ref().is_some_and(|c| c.is_faulty);
        assert_eq!(is_faulty, known);
        is_faulty
    }

    /// What a wake-up does.
    pub(crate) fn wake(&mut self) {
        self.counted.wakeups += 1;
        self.feed.count_wakeup();
        self.observe();
    }

    /// Reads and gives back one record, if there is one.
    pub(crate) fn read(&mut self) -> Option<Told> {
        let consumer = self.consumer.as_mut().expect("a consumer");
        consumer.reader.look().expect("a possible write_count");
        let bytes = consumer.reader.peek().expect("a possible write_count");
        assert_eq!(bytes, consumer.unread, "unread bytes were overwritten");
        let (told, len) = consumer.parser.parse(bytes)?;
        consumer.reader.release(len);
        consumer.unread.drain(..len as usize);
        Some(told)
    }

    /// Reads and gives back all records.
    pub(crate) fn read_all(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.read()).collect()
    }

    /// Reads all and gives up to `len` bytes back, whether they are whole records or not.
    pub(crate) fn read_bytes(&mut self, len: u64) {
        let consumer = self.consumer.as_mut().expect("a consumer");
        let readable = consumer.reader.look().expect("a possible write_count");
        let bytes = consumer.reader.peek().expect("a possible write_count");
        assert_eq!(bytes, consumer.unread, "unread bytes were overwritten");
        let len = len.min(readable);
        consumer.reader.release(len);
        consumer.unread.drain(..len as usize);
    }

    /// Writes nonsense into the consumer page.
    pub(crate) fn write_read_count(&mut self, count: u64) {
        self.consumer.as_mut().expect("a consumer").is_hostile = true;
        self.region.consumer().read_count.store_release(count);
    }

    /// Writes the speed that is wanted into the consumer page.
    pub(crate) fn request_rate(&mut self, ratio: u64) {
        self.consumer.as_mut().expect("a consumer").request = ratio;
        self.region.consumer().rate_request.store_relaxed(ratio);
        self.observe();
    }

    pub(crate) fn is_hostile(&self) -> bool {
        self.consumer.as_ref().is_some_and(|c| c.is_hostile)
    }

    /// The news, checked; returns whether they are urgent, or `None` where there are none.
    pub(crate) fn take_news(&mut self) -> Option<bool> {
        let news = self.feed.take_news();
        let expected = std::mem::take(&mut self.news);
        let Some(news) = news else {
            assert!(!expected.any, "no news of what was published");
            return None;
        };
        assert!(expected.any, "news of nothing");
        assert_eq!(news.urgent, expected.urgent, "the urgency of the news");
        assert_eq!(news.write_count, self.feed.write_count());
        Some(news.urgent)
    }

    // The books.

    /// Sees what was published, and checks it and the counters.
    fn observe(&mut self) {
        if let Some(consumer) = &mut self.consumer {
            let published = self.region.producer().write_count.load_acquire();
            assert_eq!(published, self.feed.write_count());
            let len = published - consumer.observed;
            assert!(
                len == 0 || !consumer.is_faulty,
                "written for a faulty consumer"
            );
            let bytes = self.region.copy(consumer.observed, len);
            consumer.observed = published;
            consumer.unread.extend(&bytes);
            let mut rest = &bytes[..];
            while let Some((told, len)) = consumer.observer.parse(rest) {
                rest = &rest[len as usize..];
                self.ledger.told(&told);
                self.news.any = true;
                self.news.urgent |= !matches!(told, Told::Audio { .. });
            }
            if self.feed.is_faulty() && !consumer.is_faulty {
                assert!(consumer.is_hostile, "an honest consumer is called faulty");
                consumer.is_faulty = true;
                self.counted.faults += 1;
                self.news = News {
                    any: true,
                    urgent: true,
                };
            }
        }
        self.check_counters();
    }

    /// Bytes in which anything that can be owed is told: all the records, and a chunk behind them
    /// where the stream goes on.
    fn room_to_settle(&self) -> u64 {
        let chunk = match self.state {
            Some(state) if is_active(state) => self.config.stored(self.config.chunk),
            _ => 0,
        };
        KEPT * NOTE + chunk
    }

    /// After settling, something is owed only where it does not fit, and everything else is told.
    fn check_settled(&self) {
        let Some(consumer) = &self.consumer else {
            return;
        };
        if consumer.is_hostile {
            return;
        }
        if self.feed.is_owing() {
            let free = self.free();
            let fits = free >= self.room_to_settle();
            assert!(!fits || self.fate == Fate::Lost, "owed, with {free} free");
        }
    }

    /// The feed's counters, and those on the producer page, are what was counted here.
    fn check_counters(&self) {
        let (counted, ledger) = (&self.counted, &self.ledger);
        let untold = ledger.untold_frames();
        // While something is owed no chunk is open, so that all that is not told is lost.
        let owed = if self.feed.is_owing() {
            untold
        } else {
            assert!(
                untold < self.config.chunk.into(),
                "{untold} frames neither told nor owed"
            );
            assert!(!ledger.has_untold_notes(), "neither told nor owed");
            0
        };
        let totals = self.feed.totals();
        assert_eq!(totals.chunks, counted.chunks + ledger.chunks);
        assert_eq!(totals.frames, counted.frames + ledger.frames);
        let lost_frames = counted.lost_frames + ledger.lost_frames + owed;
        assert_eq!(totals.lost_frames, lost_frames);
        let lost_records = counted.lost_records + ledger.lost_records;
        assert_eq!(totals.lost_records, lost_records);
        assert_eq!(totals.streams, counted.streams);
        assert_eq!(totals.xruns, counted.xruns);
        assert_eq!(totals.faults, counted.faults);
        assert_eq!(totals.wakeups, counted.wakeups);
        assert_eq!(self.feed.last_state(), self.state);
        let volume = self.feed.last_volume();
        let volume = (volume.gain, volume.on != 0, volume.time_stamp);
        assert_eq!(volume, self.volume);
        assert_eq!(self.feed.clock_ratio(), self.clock_ratio);
        // Who is faulty is not listened to any more.
        let heard = self.consumer.as_ref().filter(|c| !c.is_faulty);
        assert_eq!(self.feed.rate_request(), heard.map_or(0, |c| c.request));
        if self.consumer.is_some() {
            self.check_page();
        } else {
            assert!(!self.feed.is_owing(), "owed to nobody");
            assert_eq!(untold, 0);
        }
    }

    fn check_page(&self) {
        let totals = self.feed.totals();
        let page = self.region.producer();
        let on_page = &page.counters;
        assert_eq!(on_page.chunks.load_relaxed(), totals.chunks);
        assert_eq!(on_page.frames.load_relaxed(), totals.frames);
        assert_eq!(on_page.lost_frames.load_relaxed(), totals.lost_frames);
        assert_eq!(on_page.lost_records.load_relaxed(), totals.lost_records);
        assert_eq!(on_page.streams.load_relaxed(), totals.streams);
        assert_eq!(on_page.xruns.load_relaxed(), totals.xruns);
        assert_eq!(on_page.faults.load_relaxed(), totals.faults);
        assert_eq!(on_page.wakeups.load_relaxed(), totals.wakeups);

        assert_eq!(page.clock_ratio.load_relaxed(), self.clock_ratio);

        let stream = &page.stream;
        let state = self.state.map_or(0, |state| state as u32);
        assert_eq!(stream.state.load_relaxed(), state);
        assert_eq!(stream.rate.load_relaxed(), self.feed.format().rate);
        if self.config.rate != 0 {
            let format = self.config.format();
            assert_eq!(self.feed.format(), format);
            assert_eq!(stream.rate.load_relaxed(), format.rate);
            assert_eq!(stream.channels.load_relaxed(), format.channels);
            assert_eq!(stream.format.load_relaxed(), format.format);
            assert_eq!(stream.period_frames.load_relaxed(), format.period_frames);
            assert_eq!(stream.buffer_frames.load_relaxed(), format.buffer_frames);
            assert_eq!(stream.chunk_frames.load_relaxed(), format.chunk_frames);
        }
    }
}
