// SPDX-License-Identifier: GPL-2.0

//! The feed behind the clock and the grid, as `module/endpoint.rs` puts them together.
//!
//! What this stands in for is ALSA alone: its buffer is a formula, and its timer and its questions
//! for the pointer come when a test says so.

use std::cell::Cell;

use proptest::prelude::*;
use rtshm_module_tests::{
    abi::{
        memory::Reader,
        record::{
            Format,
            State, //
        }, //
    },
    clock::{
        Clock,
        Rate,
        Speed, //
    },
    feed::Feed,
    grid::Grid,
    sample::s16_to_f32, //
};

use super::{
    region::Region,
    told::{
        Parser,
        Samples,
        Told, //
    }, //
};

const CHANNELS: u32 = 2;
const START: u64 = 77_000_000_123;

/// The application's sample at a position: all values, the channels apart.
fn played(position: u64, channel: u32) -> i16 {
    (position * 3 + u64::from(channel) * 12_345) as u16 as i16
}

/// The card while it plays one stream to a consumer that keeps up.
struct Card {
    feed: Feed,
    clock: Clock,
    grid: Grid,
    buffer: u64,
    position: u64,
    reader: Reader,
    parser: Parser,
    /// Last, so that it goes last.
    _region: Region,
}

impl Card {
    fn start(rate: u32, period: u32, limit: u32) -> Self {
        let mut region = Region::new(1 << 20);
        let mut feed = Feed::new(0);
        // SAFETY: The region is dropped last.
        let (writer, reader) = unsafe { region.ends() };
        feed.attach(writer, START - 1);
        let grid = Grid::new(period, limit);
        feed.prepare(Format {
            rate,
            channels: CHANNELS,
            format: 2,
            period_frames: period,
            buffer_frames: 4 * period,
            chunk_frames: grid.chunk_frames(),
            reserved: [0; 2],
        });
        feed.state(State::Start, START);
        let mut card = Self {
            feed,
            clock: Clock::start(START, 0, Rate::new(rate, Speed::NOMINAL)),
            grid,
            buffer: 4 * u64::from(period),
            position: 0,
            reader,
            parser: Parser::default(),
            _region: region,
        };
        assert_eq!(card.read_all().len(), 3, "VOLUME, FORMAT, STATE");
        card
    }

    /// `Locked::advance` of the endpoint.
    fn advance(&mut self, now: u64) {
        let mut due = self.clock.position_at(now).saturating_sub(self.position);
        let position = Cell::new(self.position);
        let time = |position| self.clock.time_of(position);
        let gone = due.saturating_sub(self.buffer);
        if gone != 0 {
            self.feed.skip(gone, time);
            position.set(position.get() + gone);
            due = self.buffer;
        }
        while due != 0 {
            let first = position.get();
            let left = self.grid.left(first);
            let count = due.min(left.into()) as u32;
            self.feed.audio(count, left, time, |out| {
                for (index, to) in (0..).zip(out) {
                    let (frame, channel) = (index / CHANNELS, index % CHANNELS);
                    *to = s16_to_f32(played(first + u64::from(frame), channel));
                }
            });
            position.set(first + u64::from(count));
            due -= u64::from(count);
        }
        self.position = position.get();
    }

    /// `Locked::set_deadline` of the endpoint.
    fn deadline(&self) -> u64 {
        let ahead = u64::from(self.grid.left(self.position));
        self.clock.time_of(self.position + ahead)
    }

    fn read_all(&mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while self.reader.look().unwrap() != 0 {
            let (told, len) = self.parser.parse(self.reader.peek().unwrap()).unwrap();
            self.reader.release(len);
            all.push(told);
        }
        all
    }
}

/// When a frame is due, to the nanosecond.
fn due(position: u64, rate: u32) -> u64 {
    let nanos = (u128::from(position) * 1_000_000_000).div_ceil(rate.into());
    START + nanos as u64
}

/// The chunk at `position`, by floating point and wide integers.
fn chunk(position: u64, frames: u32, rate: u32) -> Told {
    let positions = position..position + u64::from(frames);
    let samples = positions
        .flat_map(|position| (0..CHANNELS).map(move |channel| played(position, channel)))
        .map(|sample| (f32::from(sample) / 32768.0).to_bits());
    Told::Audio {
        position,
        time: due(position, rate),
        frames,
        samples: Samples(samples.collect()),
    }
}

/// A chunk comes at its deadline and not a nanosecond earlier, and one at a time.
#[test]
fn a_chunk_comes_at_its_deadline() {
    // 10 ms at 44.1 kHz, in two chunks.
    let mut card = Card::start(44_100, 441, 256);
    let mut position = 0;
    for frames in [221, 220].repeat(500) {
        let deadline = card.deadline();
        assert_eq!(deadline, due(position + u64::from(frames), 44_100));
        card.advance(deadline - 1);
        assert_eq!(card.read_all(), []);
        card.advance(deadline);
        assert_eq!(card.read_all(), [chunk(position, frames, 44_100)]);
        position += u64::from(frames);
    }
}

/// The card stands still for longer than its buffer: what the application could not refill is lost.
#[test]
fn a_long_stall_is_a_loss() {
    let mut card = Card::start(48_000, 480, 240);
    card.advance(START + 1_000_000);
    // One second, in a buffer of 40 ms.
    card.advance(START + 1_000_000_000);
    let told = card.read_all();
    let gone = 48_000 - 4 * 480;
    let expected = [
        chunk(0, 48, 48_000),
        Told::Lost {
            flags: 0,
            position: 48,
            frames: gone - 48,
            time: due(48, 48_000),
        },
        chunk(gone, 240, 48_000),
    ];
    assert_eq!(told[..3], expected);
    assert_eq!(told.len(), 2 + 8);
    assert_eq!(told[9], chunk(48_000 - 240, 240, 48_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Late timers and questions for the pointer at any time change nothing in what is told.
    #[test]
    fn late_timers_change_nothing(
        rate in prop::sample::select(vec![44_100u32, 48_000, 192_000]),
        period in 32u32..600,
        limit in 16u32..300,
        steps in prop::collection::vec((any::<bool>(), 0u64..3_000_000), 1..100),
    ) {
        let mut card = Card::start(rate, period, limit);
        // No chunk is lost as long as no step is longer than the buffer.
        let longest = u64::from(period) * 3_000_000_000 / u64::from(rate);
        let (mut now, mut expected) = (START, 0);
        for (is_timer, nanos) in steps {
            now = match is_timer {
                true => card.deadline().max(now) + nanos % (longest / 4 + 1),
                false => now + nanos % (longest + 1),
            };
            card.advance(now);
            prop_assert!(card.deadline() > now);
            for told in card.read_all() {
                let into = expected % u64::from(period);
                let size = u64::from(card.grid.chunk_frames());
                let frames = size.min(u64::from(period) - into) as u32;
                prop_assert_eq!(told, chunk(expected, frames, rate));
                expected += u64::from(frames);
            }
        }
        prop_assert_eq!(card.feed.totals().lost_frames, 0);
    }

    /// However long the card stands still, it delivers no more than its buffer then, and tells of the
    /// rest in one record; and it goes on as if nothing had been.
    #[test]
    fn a_stall_is_bounded_work(
        rate in prop::sample::select(vec![8_000u32, 44_100, 48_000, 768_000]),
        period in 32u32..600,
        limit in 16u32..300,
        before in 0u64..20_000_000,
        seconds in 1u64..200_000,
        odd in 0u64..1_000_000_000,
    ) {
        let mut card = Card::start(rate, period, limit);
        let longest = u64::from(period) * 3_000_000_000 / u64::from(rate);
        card.advance(START + before % longest);
        let told = card.read_all().len();
        let now = START + seconds * 1_000_000_000 + odd;
        let from = card.position;
        card.advance(now);
        let at = card.clock.position_at(now);
        let gone = at - from - card.buffer;
        prop_assert_eq!(card.position, at);

        let told_then = card.read_all();
        let lost: Vec<_> = told_then.iter().filter(|told| matches!(told, Told::Lost { .. })).collect();
        let expected = Told::Lost { flags: 0, position: from, frames: gone, time: due(from, rate) };
        prop_assert_eq!(&lost[..], &[&expected]);
        // The chunk that was under way, the loss, and no chunk more than the grid has in a buffer.
        let chunks = card.buffer.div_ceil(period.into()) + 1;
        let most = 2 + chunks * u64::from(period.div_ceil(card.grid.chunk_frames()));
        prop_assert!(told_then.len() as u64 <= most, "{} records after {told}", told_then.len());
        prop_assert_eq!(card.feed.totals().lost_frames, gone);

        // The chunk under way, and the next.
        let mut next = at;
        for _ in 0..2 {
            let deadline = card.deadline();
            prop_assert!(deadline > now);
            card.advance(deadline);
            for told in card.read_all() {
                let Told::Audio { position, frames, .. } = told else {
                    return Err(TestCaseError::fail(format!("{told:?}")));
                };
                prop_assert_eq!(&told, &chunk(position, frames, rate));
                next = position + u64::from(frames);
            }
            prop_assert_eq!(next, card.position);
        }
    }
}
