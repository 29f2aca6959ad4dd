// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a consumer makes of a region in which anybody writes anything between its calls, by a program
//! of bytes: each result is compared with what `Documentation/abi.rst` says of the very same bytes. So
//! a sample that was read outside of its record is seen too, wherever that was.

use rtshm::{Consumer, Error, Event, Kind, Malformed};

use crate::common::{Fake, CAPACITY};

/// The bytes of a program, which ends with them.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn half(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// Up to 255 bytes.
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = usize::from(self.byte()?).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(taken.to_vec())
    }
}

/// What popping must say.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    Event {
        position: u64,
        is_resync: bool,
        content: Content,
    },
    Malformed(u64, Malformed),
    Counter(u64, u64),
}

/// What an event must have: all its numbers, samples by their bits.
#[derive(Debug, PartialEq)]
enum Content {
    Format([u32; 6]),
    State(u32, u64),
    Audio(u64, u32, u32, Vec<u32>),
    Lost(u64, u64, bool),
    Volume(i32, bool, u64),
}

impl Said {
    fn by(popped: &rtshm::Result<Option<Event<'_>>>) -> Self {
        let event = match popped {
            Ok(None) => return Self::Nothing,
            Ok(Some(event)) => event,
            Err(Error::Malformed { at, what }) => return Self::Malformed(*at, *what),
            Err(Error::Counter { unread, bound }) => return Self::Counter(*unread, *bound),
            Err(error) => panic!("{error:?}"),
        };
        // Whatever it is, it can be shown.
        let _ = format!("{event:?}");
        let content = match event.kind() {
            Kind::Format(format) => Content::Format([
                format.rate,
                format.channels,
                format.sample_format.0,
                format.period_frames,
                format.buffer_frames,
                format.chunk_frames,
            ]),
            Kind::State(change) => Content::State(change.state.as_raw(), change.time_stamp),
            Kind::Audio(chunk) => {
                assert_eq!(chunk.position, event.position());
                Content::Audio(
                    chunk.time_stamp,
                    chunk.frame_count,
                    chunk.channels,
                    chunk.samples.iter().map(|s| s.to_bits()).collect(),
                )
            }
            Kind::Lost(lost) => Content::Lost(lost.frames, lost.time_stamp, lost.spans_streams),
            Kind::Volume(volume) => Content::Volume(volume.gain, volume.is_on, volume.time_stamp),
            kind => panic!("{kind:?}"),
        };
        Self::Event {
            position: event.position(),
            is_resync: event.is_resync(),
            content,
        }
    }
}

/// A region as it must look to its consumer.
struct Model {
    ring: Vec<u8>,
    /// The page's.
    write_count: u64,
    /// The consumer's: what it has given back, and up to where it has looked.
    read: u64,
    seen: u64,
    channels: u32,
}

impl Model {
    fn byte(&self, count: u64) -> u8 {
        self.ring[(count % CAPACITY) as usize]
    }

    fn word(&self, count: u64) -> u32 {
        u32::from_ne_bytes([0, 1, 2, 3].map(|i| self.byte(count.wrapping_add(i))))
    }

    fn long(&self, count: u64) -> u64 {
        u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| self.byte(count.wrapping_add(i))))
    }

    fn look(&mut self) -> Result<u64, Said> {
        let known = self.seen.wrapping_sub(self.read);
        let unread = self.write_count.wrapping_sub(self.read);
        if unread > CAPACITY {
            return Err(Said::Counter(unread, CAPACITY));
        }
        if unread < known {
            return Err(Said::Counter(unread, known));
        }
        self.seen = self.write_count;
        Ok(unread)
    }

    /// What popping says, and how many bytes the event takes.
    fn pop(&mut self) -> (Said, u64) {
        let mut skipped = 0;
        loop {
            match self.next() {
                Err(said) => return (said, 0),
                Ok((Some(said), len)) => return (said, len),
                // As much is skipped as can be there at once.
                Ok((None, _)) if skipped >= CAPACITY => return (Said::Nothing, 0),
                Ok((None, len)) => {
                    self.read = self.read.wrapping_add(len);
                    skipped += len;
                }
            }
        }
    }

    /// The next record, `None` for one to skip, and its length.
    fn next(&mut self) -> Result<(Option<Said>, u64), Said> {
        let readable = match self.seen.wrapping_sub(self.read) {
            0 => self.look()?,
            known => known,
        };
        if readable == 0 {
            return Err(Said::Nothing);
        }
        let at = self.read;
        let malformed = |what| Err(Said::Malformed(at, what));
        if readable < 16 {
            return malformed(Malformed::Overlong { size: 0, readable });
        }
        let size = self.word(at);
        let kind = self.word(at.wrapping_add(4)) as u16;
        let flags = (self.word(at.wrapping_add(4)) >> 16) as u16;
        let position = self.long(at.wrapping_add(8));
        let len = (u64::from(size) + 16).next_multiple_of(64);
        if len > readable {
            return malformed(Malformed::Overlong { size, readable });
        }
        let body = at.wrapping_add(16);
        let word = |index: u64| self.word(body.wrapping_add(4 * index));
        let long = |index: u64| self.long(body.wrapping_add(4 * index));
        let needed = match kind {
            1 => 48,
            3..=5 => 16,
            2 => 32,
            _ => return Ok((None, len)),
        };
        if size < needed {
            return malformed(Malformed::Short { kind, size });
        }
        let content = match kind {
            1 => {
                let (frame_count, channels) = (word(0), self.channels);
                let samples = u128::from(frame_count) * u128::from(channels);
                if channels == 0 || 48 + 4 * samples != u128::from(size) {
                    return malformed(Malformed::Frames {
                        frame_count,
                        channels,
                        size,
                    });
                }
                let samples = (12..12 + samples as u64).map(word).collect();
                Content::Audio(long(2), frame_count, channels, samples)
            }
            2 => {
                let (rate, channels) = (word(0), word(1));
                if rate == 0 || !(1..=64).contains(&channels) {
                    return malformed(Malformed::Format { rate, channels });
                }
                let content = [rate, channels, word(2), word(3), word(4), word(5)];
                self.channels = channels;
                Content::Format(content)
            }
            3 if (1..=7).contains(&word(0)) => Content::State(word(0), long(2)),
            3 => return Ok((None, len)),
            4 => Content::Lost(long(0), long(2), flags & 2 != 0),
            _ => {
                let (gain, on) = (word(0) as i32, word(1));
                if !(-10_000..=0).contains(&gain) || on > 1 {
                    return malformed(Malformed::Volume { gain, on });
                }
                Content::Volume(gain, on == 1, long(2))
            }
        };
        let said = Said::Event {
            position,
            is_resync: flags & 1 != 0,
            content,
        };
        Ok((Some(said), len))
    }
}

/// A region, its consumer, and what must be so.
struct Attack {
    fake: Fake,
    consumer: Consumer,
    model: Model,
}

impl Attack {
    fn poke(&mut self, count: u64, bytes: &[u8]) {
        for (offset, byte) in (0..).zip(bytes) {
            let offset = count.wrapping_add(offset) % CAPACITY;
            self.model.ring[offset as usize] = *byte;
        }
        self.fake.poke(count % CAPACITY, bytes);
    }

    fn publish(&mut self, write_count: u64) {
        self.model.write_count = write_count;
        self.fake.page().write_count.store_release(write_count);
    }

    fn pop(&mut self, put_back: bool) -> bool {
        let (expected, len) = self.model.pop();
        let popped = self.consumer.pop();
        assert_eq!(Said::by(&popped), expected);
        let Ok(Some(event)) = popped else {
            return false;
        };
        if put_back {
            event.put_back();
        } else {
            drop(event);
            self.model.read = self.model.read.wrapping_add(len);
        }
        assert_eq!(self.fake.read_count(), self.model.read);
        true
    }

    /// Does what the next bytes say; `None` at their end.
    fn step(&mut self, tape: &mut Tape<'_>) -> Option<()> {
        match tape.byte()? % 12 {
            // Anything anywhere, published or not.
            0 => {
                let (at, bytes) = (tape.half()?, tape.bytes()?);
                self.poke(at.into(), &bytes);
            }
            // A record, as long as it says.
            1..=3 => {
                let (kind, flags, position) = (tape.byte()? % 7, tape.byte()?, tape.word()?);
                let body = tape.bytes()?;
                let size = body.len() as u32;
                self.record(size, kind.into(), flags.into(), position.into(), &body);
            }
            // One that may say anything.
            4 => {
                let (size, kind, flags) = (tape.word()?, tape.half()?, tape.half()?);
                let (position, body) = (tape.long()?, tape.bytes()?);
                self.record(size, kind, flags, position, &body);
            }
            // A chunk of as many frames as fit the channels, or one more.
            5 => {
                let (body, more) = (tape.bytes()?, tape.byte()? % 8 == 0);
                let samples = body.len() as u32 / 4;
                let frames = samples / self.model.channels.max(1);
                let size = 48 + frames * self.model.channels * 4;
                let mut chunk = (frames + u32::from(more)).to_ne_bytes().to_vec();
                chunk.extend_from_slice(&[7; 44]);
                chunk.extend_from_slice(&body);
                self.record(size, 1, 0, 0, &chunk);
            }
            6 => {
                let count = tape.long()?;
                self.publish(count);
            }
            // A little on, or back.
            7 => {
                let step = i64::from(tape.half()? as i16);
                self.publish(self.model.write_count.wrapping_add_signed(step));
            }
            8 => drop(self.pop(false)),
            9 => drop(self.pop(true)),
            10 => {
                let expected = self.model.look();
                match (self.consumer.unread(), expected) {
                    (Ok(unread), Ok(expected)) => assert_eq!(unread, expected),
                    (Err(Error::Counter { unread, bound }), Err(expected)) => {
                        assert_eq!(Said::Counter(unread, bound), expected);
                    }
                    other => panic!("{other:?}"),
                }
            }
            // All that is there, of which there cannot be more than fits.
            _ => {
                let mut events = 0;
                while self.pop(false) {
                    events += 1;
                    assert!(events <= CAPACITY / 64, "more than fits");
                }
            }
        }
        Some(())
    }

    fn record(&mut self, size: u32, kind: u16, flags: u16, position: u64, body: &[u8]) {
        let mut bytes = size.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&position.to_ne_bytes());
        bytes.extend_from_slice(body);
        let start = self.model.write_count;
        self.poke(start, &bytes);
        let len = (u64::from(size) + 16).next_multiple_of(64);
        self.publish(start.wrapping_add(len));
    }
}

/// Opens a region whose first page says what the bytes say, and then runs them.
pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let Some([which, value]) = tape.take() else {
        return;
    };
    let fake = Fake::new();
    let page = fake.page();
    let value = u64::from(value);
    // The counters stand anywhere, near their end too.
    let start = match which & 0xf0 {
        0x10 => value * 64,
        0x20 => 0u64.wrapping_sub(value * 64),
        0x30 => value,
        _ => 0,
    };
    fake.consumer_page().read_count.store_relaxed(start);
    page.write_count.store_relaxed(start);
    let mut is_usable = start % 64 == 0;
    match which & 0x0f {
        1 => {
            page.abi_version.store_relaxed(value as u32);
            is_usable &= value == 1;
        }
        2 => {
            page.header_size.store_relaxed(128 + value as u32);
            is_usable &= 128 + value >= 256;
        }
        3 => {
            page.capacity.store_relaxed(CAPACITY >> 1 << (value % 4));
            is_usable &= value % 4 == 1;
        }
        _ => {}
    }
    let opened = fake.consumer();
    assert_eq!(opened.is_ok(), is_usable, "{opened:?}");
    let Ok(consumer) = opened else {
        return;
    };
    let mut attack = Attack {
        fake,
        consumer,
        model: Model {
            ring: vec![0; CAPACITY as usize],
            write_count: start,
            read: start,
            seen: start,
            channels: 0,
        },
    };
    while attack.step(&mut tape).is_some() {}
    // In the end there is nothing left to pop, or it stays broken.
    let mut events = 0;
    while attack.pop(false) {
        events += 1;
        assert!(events <= CAPACITY / 64, "more than fits");
    }
}
