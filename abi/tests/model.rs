// SPDX-License-Identifier: MIT OR GPL-2.0

//! The ring against models that are too simple to be wrong, with random operations, and against
//! counterparts that write anything into their pages.

#![cfg(not(loom))]

mod mirror;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{
        Config,
        TestRunner, //
    },
};

use rtshm_abi::{
    layout::{
        ConsumerPage,
        Geometry,
        ProducerPage,
        CAPACITY_MAX,
        CAPACITY_MIN, //
    },
    memory::{
        Reader,
        Writer, //
    },
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
        Malformed,
        Record,
        StateChange,
        Volume, //
    },
    ring::{
        Consumer,
        Corrupt,
        Producer,
        Refusal, //
    },
    wake::Gate,
};

use std::{
    cell::RefCell,
    collections::VecDeque, //
};

const CAPACITY: u64 = CAPACITY_MIN;

/// 2^64: the counters are numbers modulo this.
const TURN: u128 = 1 << 64;

/// Counters from everywhere, but most of all from where they wrap around.
fn counts() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0..=2 * CAPACITY).prop_map(|below| 0u64.wrapping_sub(below)),
        0..=2 * CAPACITY,
        (0..=2 * CAPACITY).prop_map(|above| (u64::MAX / 2).wrapping_add(above)),
    ]
}

/// Lengths of which a few fill the ring, and those that fit exactly, not quite, or never.
fn lengths() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..=CAPACITY / 3,
        2 => 0..=CAPACITY,
        1 => Just(0),
        1 => Just(CAPACITY),
        1 => Just(CAPACITY + 1),
        1 => Just(u64::MAX),
    ]
}

/// A length that depends on what there is: all of it, or so many less or more, or so many.
#[derive(Clone, Copy, Debug)]
enum Part {
    All,
    Less(u64),
    More(u64),
    Just(u64),
}

impl Part {
    fn of(self, all: u64) -> u64 {
        match self {
            Self::All => all,
            Self::Less(less) => all.saturating_sub(less),
            Self::More(more) => all.saturating_add(more),
            Self::Just(len) => len,
        }
    }
}

fn parts() -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => Just(Part::All),
        1 => (1..100u64).prop_map(Part::Less),
        1 => prop_oneof![1..100u64, Just(u64::MAX)].prop_map(Part::More),
        2 => lengths().prop_map(Part::Just),
    ]
}

/// What the model test does.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Reserves a part of what is free.
    Reserve(Part),
    /// Only asks whether it could be reserved.
    MakeRoom(Part),
    /// Writes and commits a part of what is reserved.
    Commit(Part),
    Abandon,
    Peek,
    Look,
    /// Gives a part of what was seen back.
    Release(Part),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => parts().prop_map(Step::Reserve),
        1 => parts().prop_map(Step::MakeRoom),
        4 => parts().prop_map(Step::Commit),
        1 => Just(Step::Abandon),
        2 => Just(Step::Peek),
        1 => Just(Step::Look),
        4 => parts().prop_map(Step::Release),
    ];
    vec(step, 0..100)
}

/// Both ends of a ring.
trait Ring {
    fn reserve(&mut self, len: u64) -> Result<(), Refusal>;
    fn make_room(&mut self, len: u64) -> Result<(), Refusal>;
    /// Writes to the start of the reservation and returns how long that is.
    fn write(&mut self, bytes: &[u8]) -> u64;
    fn commit(&mut self, used: u64);
    fn abandon(&mut self);
    fn peek(&mut self) -> Result<Vec<u8>, Corrupt>;
    fn look(&mut self) -> Result<u64, Corrupt>;
    fn release(&mut self, len: u64);
    /// `write_count` and `read_count`, as each end has it and as its page shows it.
    fn counts(&self) -> [[u64; 2]; 2];
}

/// In shared memory, mapped twice.
struct Mapped<'a> {
    writer: &'a mut Writer,
    reader: &'a mut Reader,
}

impl Ring for Mapped<'_> {
    fn reserve(&mut self, len: u64) -> Result<(), Refusal> {
        self.writer.reserve(len)
    }

    fn make_room(&mut self, len: u64) -> Result<(), Refusal> {
        self.writer.make_room(len)
    }

    fn write(&mut self, bytes: &[u8]) -> u64 {
        let reserved = self.writer.reserved();
        let len = bytes.len().min(reserved.len());
        reserved[..len].copy_from_slice(&bytes[..len]);
        reserved.len() as u64
    }

    fn commit(&mut self, used: u64) {
        self.writer.commit(used);
    }

    fn abandon(&mut self) {
        self.writer.abandon();
    }

    fn peek(&mut self) -> Result<Vec<u8>, Corrupt> {
        self.reader.peek().map(<[u8]>::to_vec)
    }

    fn look(&mut self) -> Result<u64, Corrupt> {
        self.reader.look()
    }

    fn release(&mut self, len: u64) {
        self.reader.release(len);
    }

    fn counts(&self) -> [[u64; 2]; 2] {
        let shown = self.writer.page().write_count.load_relaxed();
        let given = self.reader.consumer_page().read_count.load_relaxed();
        [
            [self.writer.write_count(), shown],
            [self.reader.read_count(), given],
        ]
    }
}

/// The index protocol alone, from any start, over bytes that are found one by one.
struct Indexed {
    producer: Producer,
    consumer: Consumer,
    producer_page: ProducerPage,
    consumer_page: ConsumerPage,
    bytes: Vec<u8>,
}

impl Indexed {
    fn new(start: u64) -> Self {
        let producer_page = ProducerPage::new(CAPACITY);
        producer_page.write_count.store_relaxed(start);
        let consumer_page = ConsumerPage::new();
        consumer_page.read_count.store_relaxed(start);
        Self {
            producer: Producer::new(CAPACITY, start),
            consumer: Consumer::new(CAPACITY, start),
            producer_page,
            consumer_page,
            bytes: vec![0; CAPACITY as usize],
        }
    }
}

impl Ring for Indexed {
    fn reserve(&mut self, len: u64) -> Result<(), Refusal> {
        self.producer.reserve(&self.consumer_page, len)
    }

    fn make_room(&mut self, len: u64) -> Result<(), Refusal> {
        self.producer.make_room(&self.consumer_page, len)
    }

    fn write(&mut self, bytes: &[u8]) -> u64 {
        let reserved = self.producer.reserved();
        for (&byte, place) in bytes.iter().zip(0..reserved) {
            let at = (self.producer.offset() + place) % CAPACITY;
            self.bytes[at as usize] = byte;
        }
        reserved
    }

    fn commit(&mut self, used: u64) {
        self.producer.commit(&self.producer_page, used);
    }

    fn abandon(&mut self) {
        self.producer.abandon();
    }

    fn peek(&mut self) -> Result<Vec<u8>, Corrupt> {
        let len = self.consumer.readable(&self.producer_page)?;
        let byte = |place| self.bytes[((self.consumer.offset() + place) % CAPACITY) as usize];
        Ok((0..len).map(byte).collect())
    }

    fn look(&mut self) -> Result<u64, Corrupt> {
        self.consumer.look(&self.producer_page)
    }

    fn release(&mut self, len: u64) {
        self.consumer.release(&self.consumer_page, len);
    }

    fn counts(&self) -> [[u64; 2]; 2] {
        let shown = self.producer_page.write_count.load_relaxed();
        let given = self.consumer_page.read_count.load_relaxed();
        [
            [self.producer.write_count(), shown],
            [self.consumer.read_count(), given],
        ]
    }
}

/// Bytes that no other place of the stream has: those of a generator that runs on.
fn fill(next: &mut u64, len: u64) -> Vec<u8> {
    let byte = |_| {
        *next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*next >> 56) as u8
    };
    (0..len).map(byte).collect()
}

/// Drives a ring and a queue of bytes alike; every step must have the outcome that the queue has.
fn compare(ring: &mut impl Ring, start: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut queue = VecDeque::new();
    let (mut reserved, mut known, mut next) = (0, 0, 0);
    let mut written = u128::from(start);
    let mut read = u128::from(start);
    for &step in steps {
        let unread = queue.len() as u64;
        match step {
            Step::Reserve(part) | Step::MakeRoom(part) => {
                let len = part.of(CAPACITY - unread);
                let fits = u128::from(unread) + u128::from(len) <= u128::from(CAPACITY);
                let expected = if fits { Ok(()) } else { Err(Refusal::Full) };
                if let Step::Reserve(_) = step {
                    prop_assert_eq!(ring.reserve(len), expected);
                    reserved = if fits { len } else { 0 };
                } else {
                    prop_assert_eq!(ring.make_room(len), expected);
                }
            }
            Step::Commit(part) => {
                let used = part.of(reserved);
                let bytes = fill(&mut next, used.min(reserved));
                prop_assert_eq!(ring.write(&bytes), reserved);
                ring.commit(used);
                written += bytes.len() as u128;
                queue.extend(bytes);
                reserved = 0;
            }
            Step::Abandon => {
                ring.abandon();
                reserved = 0;
            }
            Step::Peek => {
                if known == 0 {
                    known = unread;
                }
                let peeked = ring.peek().expect("an honest producer");
                prop_assert!(queue.iter().take(known as usize).eq(&peeked));
            }
            Step::Look => {
                known = unread;
                prop_assert_eq!(ring.look(), Ok(known));
            }
            Step::Release(part) => {
                let len = part.of(known);
                ring.release(len);
                let len = len.min(known);
                queue.drain(..len as usize);
                read += u128::from(len);
                known -= len;
            }
        }
        let expected = [written, read].map(|count| [(count % TURN) as u64; 2]);
        prop_assert_eq!(ring.counts(), expected);
        prop_assert_eq!(ring.write(&[]), reserved);
    }
    Ok(())
}

fn runner() -> TestRunner {
    // A case that failed is printed; it is not written into the sources.
    TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn memory_is_a_queue() {
    let region = RefCell::new(mirror::Region::new(CAPACITY));
    runner()
        .run(&steps(), |steps| {
            region.borrow_mut().run(0, |writer, reader| {
                compare(&mut Mapped { writer, reader }, 0, &steps)
            })
        })
        .unwrap();
}

#[test]
fn indices_are_a_queue_from_any_start() {
    runner()
        .run(&(counts(), steps()), |(start, steps)| {
            compare(&mut Indexed::new(start), start, &steps)
        })
        .unwrap();
}

/// A record to be pushed, or the oldest to be popped.
#[derive(Clone, Debug)]
enum RecordStep {
    Push {
        kind: u16,
        flags: u16,
        position: u64,
        size: u32,
        /// Bytes reserved beyond what the record takes.
        spare: u64,
    },
    Pop,
}

fn record_steps() -> impl Strategy<Value = Vec<RecordStep>> {
    let largest = CAPACITY as u32 - 16;
    let size = prop_oneof![
        8 => 0..10_000u32,
        1 => largest - 64..=largest,
        1 => Just(largest + 1),
        1 => Just(u32::MAX),
    ];
    let push = (any::<(u16, u16, u64)>(), size, 0..1000u64).prop_map(
        |((kind, flags, position), size, spare)| RecordStep::Push {
            kind,
            flags,
            position,
            size,
            spare,
        },
    );
    vec(prop_oneof![3 => push, 2 => Just(RecordStep::Pop)], 0..100)
}

#[test]
fn records_are_a_queue() {
    let region = RefCell::new(mirror::Region::new(CAPACITY));
    runner()
        .run(&record_steps(), |steps| {
            region.borrow_mut().run(0, |writer, reader| {
                let mut queue = VecDeque::new();
                let (mut unread, mut next) = (0, 0);
                for step in steps {
                    match step {
                        RecordStep::Push {
                            kind,
                            flags,
                            position,
                            size,
                            spare,
                        } => {
                            let header = Header {
                                size,
                                kind,
                                flags,
                                position,
                            };
                            let len = record::stored_len(size);
                            if unread + len + spare > CAPACITY {
                                prop_assert_eq!(writer.reserve(len + spare), Err(Refusal::Full));
                                continue;
                            }
                            prop_assert_eq!(writer.reserve(len + spare), Ok(()));
                            let body = fill(&mut next, size.into());
                            let place = writer.reserved();
                            prop_assert!(record::put(place, &header));
                            place[record::HEADER_LEN..][..body.len()].copy_from_slice(&body);
                            writer.commit(len);
                            unread += len;
                            queue.push_back((header, body));
                        }
                        RecordStep::Pop => {
                            let readable = reader.peek().expect("an honest producer");
                            let parsed = Record::parse(readable).expect("a whole record");
                            let popped = parsed.map(|parsed| (parsed.header, parsed.body.to_vec()));
                            prop_assert_eq!(&popped, &queue.pop_front());
                            if let Some((header, _)) = popped {
                                let len = record::stored_len(header.size);
                                reader.release(len);
                                unread -= len;
                            }
                        }
                    }
                }
                Ok(())
            })
        })
        .unwrap();
}

/// A counter as a counterpart may write it: of any value, or close to what it may be.
#[derive(Clone, Copy, Debug)]
enum Written {
    Any(u64),
    /// So far behind the read counter, in either direction.
    FromRead(i64),
    /// So far behind the write counter, in either direction.
    FromWrite(i64),
}

impl Written {
    fn count(self, read: u64, write: u64) -> u64 {
        match self {
            Self::Any(count) => count,
            Self::FromRead(distance) => read.wrapping_add_signed(distance),
            Self::FromWrite(distance) => write.wrapping_add_signed(distance),
        }
    }
}

fn written() -> impl Strategy<Value = Written> {
    let near = -2..=2i64;
    let range = -(2 * CAPACITY as i64)..=2 * CAPACITY as i64;
    prop_oneof![
        1 => counts().prop_map(Written::Any),
        4 => near.clone().prop_map(Written::FromRead),
        4 => near.prop_map(Written::FromWrite),
        2 => (0..=CAPACITY as i64).prop_map(Written::FromRead),
        1 => range.prop_map(Written::FromRead),
        1 => Just(Written::FromWrite(CAPACITY as i64)),
        1 => Just(Written::FromRead(i64::MIN)),
    ]
}

/// How far `to` is ahead of `from`, for counters that have wrapped around any number of times.
fn ahead(from: u128, to: u64) -> u128 {
    (u128::from(to) + TURN - from % TURN) % TURN
}

/// In which way the producer comes to look at the consumer's counter.
#[derive(Clone, Copy, Debug)]
enum Look {
    Reserve(Part),
    MakeRoom(Part),
    Inspect,
}

fn looks() -> impl Strategy<Value = Look> {
    prop_oneof![
        6 => parts().prop_map(Look::Reserve),
        1 => parts().prop_map(Look::MakeRoom),
        1 => Just(Look::Inspect),
    ]
}

#[test]
fn producer_believes_only_what_is_possible() {
    let steps = vec((written(), looks(), parts()), 1..50);
    runner()
        .run(&(counts(), steps), |(start, steps)| {
            let (producer_page, page) = (ProducerPage::new(CAPACITY), ConsumerPage::new());
            producer_page.write_count.store_relaxed(start);
            let mut producer = Producer::new(CAPACITY, start);
            // The counters as numbers that never wrap around; the consumer's as last believed.
            let mut write = u128::from(start);
            let mut read = write;
            let mut faulty = false;
            for (count, look, used) in steps {
                let count = count.count((read % TURN) as u64, (write % TURN) as u64);
                page.read_count.store_relaxed(count);

                let free = |read| u128::from(CAPACITY) - (write - read);
                let len = match look {
                    Look::Reserve(part) | Look::MakeRoom(part) => {
                        u128::from(part.of(free(read) as u64))
                    }
                    // It looks in any case.
                    Look::Inspect => TURN,
                };
                // It looks only where the ring seems full; the counter must be possible then.
                if !faulty && len > free(read) {
                    let given_back = ahead(read, count);
                    faulty = given_back > write - read;
                    if !faulty {
                        read += given_back;
                    }
                }
                let expected = match len {
                    _ if faulty => Err(Refusal::Faulty),
                    len if len > free(read) => Err(Refusal::Full),
                    _ => Ok(()),
                };
                let mut reserved = 0;
                match look {
                    Look::Reserve(_) => {
                        prop_assert_eq!(producer.reserve(&page, len as u64), expected);
                        if expected.is_ok() {
                            reserved = len;
                        }
                    }
                    Look::MakeRoom(_) => {
                        prop_assert_eq!(producer.make_room(&page, len as u64), expected);
                    }
                    Look::Inspect => producer.inspect(&page),
                }
                prop_assert_eq!(producer.is_faulty(), faulty);
                prop_assert_eq!(producer.read_count(), (read % TURN) as u64);
                prop_assert_eq!(u128::from(producer.reserved()), reserved);
                prop_assert_eq!(u128::from(producer.offset()), write % u128::from(CAPACITY));
                // No byte that the consumer has not given back is in the reservation.
                prop_assert!(write + reserved <= read + u128::from(CAPACITY));
                // What the consumer wrote moves nothing of the producer's.
                let now = (write % TURN) as u64;
                prop_assert_eq!(producer.write_count(), now);
                prop_assert_eq!(producer_page.write_count.load_relaxed(), now);

                let used = used.of(reserved as u64);
                producer.commit(&producer_page, used);
                write += u128::from(used).min(reserved);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn consumer_believes_only_what_is_possible() {
    let steps = vec((written(), any::<bool>(), parts()), 1..50);
    let region = RefCell::new(mirror::Region::new(CAPACITY));
    runner()
        .run(&(counts(), steps), |(start, steps)| {
            region.borrow_mut().run(start, |writer, reader| {
                // As above; the producer's as last believed.
                let mut read = u128::from(start);
                let mut write = read;
                for (count, peek, released) in steps {
                    let count = count.count((read % TURN) as u64, (write % TURN) as u64);
                    writer.page().write_count.store_relaxed(count);

                    let known = write - read;
                    let unread = ahead(read, count);
                    let bound = if unread > u128::from(CAPACITY) {
                        Some(CAPACITY)
                    } else if unread < known {
                        Some(known as u64)
                    } else {
                        None
                    };
                    let expected = match bound {
                        _ if peek && known != 0 => Ok(known as u64),
                        Some(bound) => Err(Corrupt {
                            unread: unread as u64,
                            bound,
                        }),
                        None => {
                            write = read + unread;
                            Ok(unread as u64)
                        }
                    };
                    // Reading to the end of what is said to be readable must not fault.
                    let seen = if peek {
                        reader.peek().map(|bytes| {
                            assert!(bytes.iter().all(|&byte| byte == 0));
                            bytes.len() as u64
                        })
                    } else {
                        reader.look()
                    };
                    prop_assert_eq!(seen, expected);

                    let known = (write - read) as u64;
                    let len = released.of(known);
                    reader.release(len);
                    read += u128::from(len.min(known));
                    prop_assert_eq!(reader.read_count(), (read % TURN) as u64);
                    let page = reader.consumer_page();
                    prop_assert_eq!(page.read_count.load_relaxed(), (read % TURN) as u64);
                }
                Ok(())
            })
        })
        .unwrap();
}

/// Bytes that look like a record now and then.
fn record_bytes() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0..300u32, any::<u32>()];
    let frames = prop_oneof![0..20u32, any::<u32>()];
    let header = (size, 0..7u16, any::<u16>(), any::<u64>(), frames);
    let record = (header, vec(any::<u8>(), 0..300)).prop_map(
        |((size, kind, flags, position, frames), mut bytes)| {
            let header = Header {
                size,
                kind,
                flags,
                position,
            };
            if record::put(&mut bytes, &header) {
                record::put(&mut bytes[record::HEADER_LEN..], &frames);
            }
            bytes
        },
    );
    prop_oneof![1 => vec(any::<u8>(), 0..300), 4 => record]
}

/// Calls everything that looks into a record.
fn look_into(record: &Record<'_>, channels: u32) {
    let short = |len| record.body.len() < len;
    assert_eq!(record.body::<Format>().is_err(), short(32));
    assert_eq!(record.body::<StateChange>().is_err(), short(16));
    assert_eq!(record.body::<Lost>().is_err(), short(16));
    if let Ok(volume) = record.volume() {
        assert!(volume.on <= 1 && (-10_000..=0).contains(&volume.gain));
    }
    assert_eq!(record.body::<AudioChunk>().is_err(), short(48));
    if let Ok(format) = record.format() {
        assert!(format.rate != 0 && (1..=record::CHANNELS_MAX).contains(&format.channels));
    }
    if let Ok((chunk, samples)) = record.audio(channels) {
        let expected = u128::from(chunk.frame_count) * u128::from(channels) * 4;
        assert_eq!(samples.len() as u128, expected);
        assert_eq!(samples.as_ptr_range().end, record.body.as_ptr_range().end);
    }
}

#[test]
fn any_bytes_are_parsed_or_refused() {
    let input = (record_bytes(), 0..80u32);
    runner()
        .run(&input, |(bytes, channels)| {
            let is_whole = |header: &Header| record::stored_len(header.size) <= bytes.len() as u64;
            match Record::parse(&bytes) {
                Ok(None) => prop_assert!(bytes.is_empty()),
                Ok(Some(record)) => {
                    prop_assert!(is_whole(&record.header));
                    prop_assert_eq!(record.stored_len(), record::stored_len(record.header.size));
                    let end = record::HEADER_LEN + record.header.size as usize;
                    prop_assert_eq!(record.body, &bytes[record::HEADER_LEN..end]);
                    // With the channels that the body has room for, and with any.
                    let frames = record.body::<AudioChunk>().map_or(0, |c| c.frame_count);
                    let fitting = record.body.len().saturating_sub(16) as u32 / 4;
                    look_into(&record, fitting.checked_div(frames).unwrap_or(1));
                    look_into(&record, channels);
                }
                Err(_) => {
                    let header: Option<Header> = plain::read(&bytes);
                    prop_assert!(!header.is_some_and(|header| is_whole(&header)));
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn samples_come_out_as_they_went_in() {
    let input = (0..100u32, 1..=record::CHANNELS_MAX, any::<u64>());
    runner()
        .run(&input, |(frame_count, channels, time_stamp)| {
            let size = record::audio_size(frame_count, channels).expect("a small chunk");
            let mut bytes = vec![0; record::stored_len(size) as usize];
            let header = Header {
                size,
                kind: record::AUDIO,
                ..Header::default()
            };
            let chunk = AudioChunk {
                frame_count,
                reserved: 0,
                time_stamp,
                reserved2: [0; 4],
            };
            let samples = fill(&mut 0, u64::from(frame_count * channels * 4));
            record::put(&mut bytes, &header);
            record::put(&mut bytes[record::HEADER_LEN..], &chunk);
            bytes[record::AUDIO_OFFSET..][..samples.len()].copy_from_slice(&samples);

            let record = Record::parse(&bytes).unwrap().expect("a record");
            prop_assert_eq!(record.audio(channels), Ok((chunk, &samples[..])));
            prop_assert_eq!(record.stored_len(), bytes.len() as u64);
            if frame_count != 0 {
                prop_assert!(record.audio(channels + 1).is_err());
                prop_assert!(record.audio(0).is_err());
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn gate_wakes_once_for_an_arming() {
    let pushes = vec((0..100u64, proptest::bool::weighted(0.1)), 0..20);
    let armings = vec((0..300u64, pushes), 1..10);
    let starts = prop_oneof![
        (0..1000u64).prop_map(|below| 0u64.wrapping_sub(below)),
        counts()
    ];
    runner()
        .run(&(starts, armings), |(start, armings)| {
            let gate = Gate::new();
            let mut write = u128::from(start);
            prop_assert!(!gate.pass(start, true), "nobody has asked");
            for (threshold, pushes) in armings {
                let at = write + u128::from(threshold);
                // The one value that means nobody.
                let at = if at % TURN == TURN - 1 { at + 1 } else { at };
                gate.arm((at % TURN) as u64);
                let mut armed = true;
                for (len, urgent) in pushes {
                    write += u128::from(len);
                    let wakes = armed && (urgent || write >= at);
                    prop_assert_eq!(gate.pass((write % TURN) as u64, urgent), wakes);
                    armed &= !wakes;
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn gate_forgets_who_has_asked() {
    let gate = Gate::new();
    gate.arm(1);
    gate.disarm();
    assert!(!gate.pass(1, true));
}

/// A record of a kind that does not matter, with this body.
fn with_body<T: Plain>(body: &T) -> Vec<u8> {
    let size = size_of::<T>() as u32;
    let mut bytes = vec![0; record::stored_len(size) as usize];
    let header = Header {
        size,
        ..Header::default()
    };
    assert!(record::put(&mut bytes, &header));
    assert!(record::put(&mut bytes[record::HEADER_LEN..], body));
    bytes
}

#[test]
fn formats() {
    for (rate, channels, is_allowed) in [
        (1, 1, true),
        (48_000, 2, true),
        (u32::MAX, 64, true),
        (0, 2, false),
        (48_000, 0, false),
        (48_000, 65, false),
        (48_000, u32::MAX, false),
    ] {
        let format = Format {
            rate,
            channels,
            ..Format::default()
        };
        let bytes = with_body(&format);
        let record = Record::parse(&bytes).unwrap().expect("a record");
        let expected = is_allowed
            .then_some(format)
            .ok_or(Malformed::Format { rate, channels });
        assert_eq!(record.format(), expected);
    }
}

#[test]
fn volumes() {
    for (gain, on, is_allowed) in [
        (0, 1, true),
        (0, 0, true),
        (-6400, 1, true),
        (-10_000, 0, true),
        (-10_001, 1, false),
        (1, 1, false),
        (i32::MIN, 1, false),
        (i32::MAX, 1, false),
        (0, 2, false),
        (0, u32::MAX, false),
    ] {
        let volume = Volume {
            gain,
            on,
            time_stamp: 7,
        };
        let bytes = with_body(&volume);
        let record = Record::parse(&bytes).unwrap().expect("a record");
        let expected = is_allowed
            .then_some(volume)
            .ok_or(Malformed::Volume { gain, on });
        assert_eq!(record.volume(), expected);
    }
    let bytes = with_body(&[0u32; 3]);
    let record = Record::parse(&bytes).unwrap().expect("a record");
    let expected = Malformed::Short { kind: 0, size: 12 };
    assert_eq!(record.volume(), Err(expected));
}

/// The producer sees what the consumer asks for, whatever that is, and nothing before.
#[test]
fn a_rate_is_requested() {
    mirror::Region::new(CAPACITY).run(0, |writer, reader| {
        assert_eq!(writer.rate_request(), 0);
        for ratio in [1 << 32, 1, u64::MAX, 0] {
            let page = reader.consumer_page();
            page.rate_request.store_relaxed(ratio);
            assert_eq!(writer.rate_request(), ratio);
        }
        assert_eq!(writer.claimed_read_count(), 0);
    });
}

#[test]
fn chunks_of_no_channels() {
    for (frame_count, channels, is_allowed) in [(0, 1, true), (0, 0, false), (5, 0, false)] {
        let chunk = AudioChunk {
            frame_count,
            ..AudioChunk::default()
        };
        let bytes = with_body(&chunk);
        let record = Record::parse(&bytes).unwrap().expect("a record");
        assert_eq!(record.audio(channels).is_ok(), is_allowed);
    }
}

#[test]
fn stored_lengths() {
    for (size, len) in [
        (0, 64),
        (1, 64),
        (47, 64),
        (48, 64),
        (49, 128),
        (111, 128),
        (112, 128),
        (113, 192),
        // 256 stereo frames: 48 + 2048 bytes behind the header.
        (2096, 2112),
        (u32::MAX - 79, 0xFFFF_FFC0),
        (u32::MAX - 78, 0x1_0000_0000),
        (u32::MAX, 0x1_0000_0040),
    ] {
        assert_eq!(record::stored_len(size), len, "{size}");
    }
}

#[test]
fn audio_sizes() {
    for (frames, channels, size) in [
        (0, 0, Some(48)),
        (0, 64, Some(48)),
        (1, 1, Some(52)),
        (256, 2, Some(2096)),
        (1_073_741_811, 1, Some(0xFFFF_FFFC)),
        // The header of the chunk no longer fits, then the samples, then their number.
        (1_073_741_812, 1, None),
        (1_073_741_823, 1, None),
        (1_073_741_824, 1, None),
        (0x8000_0000, 2, None),
        (u32::MAX, u32::MAX, None),
    ] {
        assert_eq!(
            record::audio_size(frames, channels),
            size,
            "{frames} {channels}"
        );
    }
}

#[test]
fn geometries() {
    for (page_size, capacity) in [
        (4096, CAPACITY_MIN),
        (4096, CAPACITY_MAX),
        (16 << 10, 1 << 20),
        // A page that is the whole ring, and one that the structures just fit in.
        (64 << 10, 64 << 10),
        (64 << 20, 64 << 20),
        (256, 64 << 10),
    ] {
        let geometry = Geometry::new(page_size, capacity).expect("it is allowed");
        assert_eq!(geometry.page_size(), page_size);
        assert_eq!(geometry.capacity(), capacity);
        assert_eq!(geometry.producer_offset(), 0);
        assert_eq!(geometry.consumer_offset(), page_size);
        assert_eq!(geometry.ring_offset(), 2 * page_size);
        assert_eq!(geometry.ring_len(), 2 * capacity);
        assert_eq!(geometry.region_len(), 2 * page_size + 2 * capacity);
    }
    for (page_size, capacity) in [
        (0, 0),
        (0, CAPACITY_MIN),
        (4096, 0),
        (4096, CAPACITY_MIN / 2),
        (4096, CAPACITY_MIN - 1),
        (4096, CAPACITY_MIN + 1),
        (4096, CAPACITY_MIN + 4096),
        (4096, CAPACITY_MAX + 1),
        (4096, CAPACITY_MAX * 2),
        (4096, 1 << 63),
        (4096, u64::MAX),
        (4095, CAPACITY_MIN),
        (4097, CAPACITY_MIN),
        (12288, CAPACITY_MIN),
        // Too small for the structures; larger than the ring.
        (128, CAPACITY_MIN),
        (128 << 10, 64 << 10),
        (u64::MAX, CAPACITY_MIN),
        (1 << 63, 1 << 63),
    ] {
        assert_eq!(
            Geometry::new(page_size, capacity),
            None,
            "{page_size} {capacity}"
        );
    }
}
