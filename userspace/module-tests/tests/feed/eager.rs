// SPDX-License-Identifier: GPL-2.0

//! The feed where frames are sent ahead of the card, as `module/player/ahead.rs` has it.

use proptest::prelude::*;
use rtshm_module_tests::{
    abi::{
        memory::Reader,
        record::State, //
    },
    feed::Feed, //
};

use super::{
    card::{
        due,
        sample,
        Config, //
    },
    region::Region,
    told::{
        Parser,
        Samples,
        Told, //
    }, //
};

const CONFIG: Config = Config::new(48_000, 2, 480, 240);

/// A header, and a chunk of 240 frames of two floats.
const WHOLE: u64 = 64 + 240 * 8;

/// What stays free behind a chunk that is sent ahead: one more, and 16 records.
const SPARE: u64 = WHOLE + 16 * 64;

/// A card, an application that commits frames, and a consumer.
struct Card {
    feed: Feed,
    /// Frames that the card has consumed, and that the application has committed.
    position: u64,
    committed: u64,
    reader: Option<Reader>,
    parser: Parser,
    /// Last, so that it goes last.
    region: Region,
}

impl Card {
    fn start(capacity: u64) -> Self {
        let mut card = Self {
            feed: Feed::new(0),
            position: 0,
            committed: 0,
            reader: None,
            parser: Parser::default(),
            region: Region::new(capacity),
        };
        card.attach(0);
        card.feed.prepare(CONFIG.format());
        card.feed.state(State::Start, due(0));
        card
    }

    fn attach(&mut self, now: u64) {
        // SAFETY: The region is dropped last, and the consumer before is gone.
        let (writer, reader) = unsafe { self.region.ends() };
        self.feed.attach(writer, now);
        self.reader = Some(reader);
        self.parser = Parser::default();
    }

    fn detach(&mut self) {
        self.feed.detach();
        self.reader = None;
    }

    /// The application commits frames, which go out as far as they may.
    fn commit(&mut self, frames: u64) {
        self.committed += frames;
        self.send();
    }

    /// `Locked::send_ahead`; returns whether all went out.
    fn send(&mut self) -> bool {
        loop {
            let sent = self.feed.sent();
            let left = CONFIG.left(sent);
            let count = self.committed.saturating_sub(sent).min(left.into()) as u32;
            if count == 0 || !self.feed.ahead(count, left, due, |out| fill(sent, out)) {
                return count == 0;
            }
            assert_eq!(self.feed.sent(), sent + u64::from(count));
        }
    }

    /// `Locked::advance`.
    fn play(&mut self, frames: u64) {
        let mut rest = frames - self.feed.pass(frames);
        self.position += frames;
        self.feed.skip(0, due);
        while rest != 0 {
            let sent = self.feed.sent();
            assert_eq!(
                sent,
                self.position - rest,
                "the card has passed what was not sent"
            );
            let left = CONFIG.left(sent);
            let count = rest.min(left.into()) as u32;
            self.feed.audio(count, left, due, |out| fill(sent, out));
            rest -= u64::from(count);
        }
    }

    fn read(&mut self) -> Option<Told> {
        let reader = self.reader.as_mut()?;
        reader.look().unwrap();
        let (told, len) = self.parser.parse(reader.peek().unwrap())?;
        reader.release(len);
        Some(told)
    }

    fn read_all(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.read()).collect()
    }

    fn free(&mut self) -> u64 {
        let reader = self.reader.as_mut().unwrap();
        self.region.capacity() - reader.look().unwrap()
    }
}

fn fill(first: u64, out: &mut [u32]) {
    for (index, to) in (0..).zip(out) {
        *to = sample(first + index / 2, (index % 2) as u32);
    }
}

fn audio(position: u64, frames: u32) -> Told {
    let positions = position..position + u64::from(frames);
    Told::Audio {
        position,
        time: due(position),
        frames,
        samples: Samples(
            positions
                .flat_map(|at| [sample(at, 0), sample(at, 1)])
                .collect(),
        ),
    }
}

fn state(state: State, position: u64, time: u64) -> Told {
    Told::State {
        flags: 0,
        position,
        state,
        time,
    }
}

/// What is committed is there at once, in chunks that end where those of the clock do, and the card
/// has nothing to add.
#[test]
fn all_is_there_at_once() {
    let mut card = Card::start(1 << 20);
    card.read_all();
    card.commit(1_000);
    let chunks = [(0, 240), (240, 240), (480, 240), (720, 240), (960, 40)];
    assert_eq!(
        card.read_all(),
        chunks.map(|(at, frames)| audio(at, frames))
    );
    card.commit(1);
    card.commit(199);
    assert_eq!(card.read_all(), [audio(1_000, 1), audio(1_001, 199)]);
    card.play(1_200);
    assert_eq!(card.read_all(), []);
    let totals = card.feed.totals();
    assert_eq!(
        (totals.frames, totals.chunks, totals.lost_frames),
        (1_200, 7, 0)
    );
}

/// A change says where the card stands, behind what was sent.
#[test]
fn changes_say_where_the_card_is() {
    let mut card = Card::start(1 << 20);
    card.commit(480);
    card.play(100);
    card.feed.state(State::Pause, 7);
    card.feed.volume(-600, true, 8);
    card.feed.state(State::Resume, 9);
    card.commit(20);
    card.play(300);
    card.feed.state(State::Stop, 10);
    let told = card.read_all();
    let volume = Told::Volume {
        flags: 0,
        position: 100,
        gain: -600,
        on: true,
        time: 8,
    };
    let expected = [
        audio(0, 240),
        audio(240, 240),
        state(State::Pause, 100, 7),
        volume,
        state(State::Resume, 100, 9),
        audio(480, 20),
        state(State::Stop, 400, 10),
    ];
    assert_eq!(told[3..], expected);
    // The next stream begins anew.
    card.feed.prepare(CONFIG.format());
    assert_eq!(card.feed.sent(), 0);
}

/// A start that ALSA takes back, as that of a linked stream failed, had nothing played: the next
/// start has all of it sent again.
#[test]
fn what_was_cancelled_is_sent_anew() {
    let mut card = Card::start(1 << 20);
    card.commit(480);
    card.feed.state(State::Stop, due(0));
    card.read_all();
    card.feed.state(State::Start, due(0));
    assert!(card.send());
    let told = card.read_all();
    assert_eq!(
        told[1..],
        [
            state(State::Start, 0, due(0)),
            audio(0, 240),
            audio(240, 240)
        ]
    );
    card.play(480);
    assert_eq!(card.read_all(), []);
}

/// Whole chunks go out as long as one more and some records fit behind them; others as long as half
/// the ring is free. What does not go out is not lost before its time.
#[test]
fn room_is_kept() {
    let mut card = Card::start(1 << 16);
    card.read_all();
    card.commit(100_000);
    let free = card.free();
    assert!((SPARE..SPARE + WHOLE).contains(&free), "{free}");
    // So a change always fits.
    let lost = card.feed.totals().lost_frames;
    card.feed.state(State::Pause, 1);
    card.feed.state(State::Resume, 2);
    assert_eq!(card.free(), free - 128);
    assert_eq!((lost, card.feed.is_owing()), (0, false));

    let mut card = Card::start(1 << 16);
    card.read_all();
    for _ in 0..10_000 {
        card.commit(1);
    }
    let (free, sent) = (card.free(), card.feed.sent());
    assert!((SPARE..SPARE + WHOLE).contains(&free), "{free}");
    // Half the ring for records of one frame, of 128 bytes each, and whole chunks in the rest.
    assert!((1 << 15) / 128 < sent && sent < 5_000, "{sent} frames");
}

/// Where nobody reads, what is due and does not fit is lost, in one piece, behind what was sent.
#[test]
fn what_does_not_fit_is_lost_when_it_is_due() {
    let mut card = Card::start(1 << 16);
    card.commit(20_000);
    let sent = card.feed.sent();
    assert!(sent < 10_000);
    card.play(sent);
    assert_eq!(card.feed.totals().lost_frames, 0);
    card.play(20_000 - sent);
    card.feed.state(State::Stop, due(20_000));
    let told = card.read_all();
    let sum: u64 = told.iter().map(frames).sum();
    assert_eq!(sum, 20_000);
    let lost = told.iter().filter(|told| matches!(told, Told::Lost { .. }));
    assert_eq!(lost.count(), 1);
}

fn frames(told: &Told) -> u64 {
    match told {
        Told::Audio { frames, .. } => u64::from(*frames),
        Told::Lost { frames, .. } => *frames,
        _ => 0,
    }
}

/// Whoever comes to a stream under way begins with what is due then, whatever the one before had.
#[test]
fn the_next_consumer_begins_with_what_is_due() {
    let mut card = Card::start(1 << 20);
    card.commit(4_800);
    assert_eq!(card.feed.sent(), 4_800);
    card.play(1_000);
    card.detach();
    assert_eq!(card.feed.sent(), 1_000);
    assert!(!card.send(), "sent to nobody");
    card.play(100);
    // Between frames 1199 and 1200.
    card.attach(due(1_200) - 1);
    assert!(!card.send(), "sent what was due before");
    card.play(100);
    assert!(card.send());
    let told = card.read_all();
    assert_eq!(told.len(), 3 + 15, "{told:?}");
    assert_eq!(told[3], audio(1_200, 240));
    let position = |told: &Told| match told {
        Told::Format { position, .. } | Told::State { position, .. } => *position,
        told => panic!("{told:?}"),
    };
    assert_eq!((position(&told[1]), position(&told[2])), (1_200, 1_200));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is committed, played and read when: each frame is told once and in order, with its
    /// samples and its time; and nothing is lost as long as the consumer reads what is due.
    #[test]
    fn every_frame_is_told_once(
        shift in 16u32..19,
        is_reader_lazy in any::<bool>(),
        steps in prop::collection::vec((0u8..5, 0u64..700), 1..400),
    ) {
        let mut card = Card::start(1 << shift);
        let (mut next, mut lost) = (0, 0);
        for (what, much) in steps {
            match what {
                0 | 1 => {
                    let queued = card.committed - card.position;
                    card.commit(much.min(20_000 - queued));
                }
                2 => card.play(much.min(card.committed - card.position)),
                3 => card.feed.volume(-(much as i32), true, much),
                _ => { card.send(); }
            }
            // The lazy one leaves what is not due in the ring.
            while !is_reader_lazy || next < card.position {
                let Some(told) = card.read() else { break };
                match &told {
                    Told::Audio { position, frames, .. } => {
                        prop_assert_eq!(*position, next);
                        prop_assert_eq!(&told, &audio(next, *frames));
                        let into = next % 480 % 240;
                        prop_assert!(into + u64::from(*frames) <= 240, "{} at {}", frames, next);
                    }
                    Told::Lost { position, frames, .. } => {
                        prop_assert_eq!(*position, next);
                        lost += frames;
                    }
                    Told::Volume { position, .. } => prop_assert!(*position <= card.position),
                    _ => {}
                }
                next += frames(&told);
            }
            prop_assert!(card.feed.sent() >= card.position);
            prop_assert!(card.feed.sent() <= card.committed);
        }
        prop_assert_eq!(lost, card.feed.totals().lost_frames);
        if !is_reader_lazy {
            prop_assert_eq!(lost, 0);
        }
        card.feed.state(State::Stop, 0);
        next += card.read_all().iter().map(frames).sum::<u64>();
        prop_assert_eq!(next, card.feed.sent());
    }
}
