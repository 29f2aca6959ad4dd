// SPDX-License-Identifier: GPL-2.0

//! `module/tap.rs`: a player that numbers its frames, a recorder, and a tape that is read back.

use proptest::prelude::*;
use rtshm_module_tests::{
    clock::{Clock, Rate, Speed},
    tap::{Cursor, Frames, Piece, Tap, SAMPLE_MULTIPLE},
};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

/// One number of four bytes a frame.
const MONO: Frames = Frames {
    rate: 48_000,
    channels: 1,
    format: 10,
    bytes: 4,
};

/// Frames that are 1 ms behind.
const LAG: u32 = 48;

/// The playing side. Frames are numbered from 1 on, over all runs.
struct Player {
    tap: Tap<Vec<u8>>,
    clock: Option<Clock>,
    frames: Frames,
    /// Frames played.
    played: u64,
}

impl Player {
    fn new(frames: Frames) -> Self {
        Self {
            tap: Tap::new(),
            clock: None,
            frames,
            played: 0,
        }
    }

    /// With a storage of `frames` frames of four bytes, rounded up.
    fn listened_to(mut self, frames: usize) -> Self {
        let len = (4 * frames).next_multiple_of(SAMPLE_MULTIPLE);
        assert!(self.tap.listen(vec![0xee; len]).is_none());
        self
    }

    fn start(&mut self, now: u64, speed: Speed) {
        let clock = Clock::start(now, self.played, Rate::new(self.frames.rate, speed));
        self.clock = Some(clock);
        self.tap.start(self.frames, clock, self.played, LAG);
    }

    /// Plays what is due.
    fn tick(&mut self, now: u64) {
        let Some(clock) = self.clock else {
            return;
        };
        let due = clock.position_at(now) - self.played;
        let (first, size) = (self.played, u64::from(self.frames.bytes));
        self.tap.push(due * size, |done, place| {
            for (at, byte) in (done..).zip(place) {
                let number = first + at / size + 1;
                *byte = *number.to_le_bytes().get((at % size) as usize).unwrap_or(&0);
            }
        });
        self.played += due;
    }

    fn steer(&mut self, now: u64, speed: Speed) {
        self.tick(now);
        if let Some(clock) = &mut self.clock {
            clock.steer(now, Rate::new(self.frames.rate, speed));
            self.tap.steer(*clock);
        }
    }

    fn halt(&mut self, now: u64) {
        self.tick(now);
        self.clock = None;
        self.tap.halt();
    }
}

/// The recording side.
struct Recorder {
    cursor: Cursor,
    tape: Vec<u8>,
}

impl Recorder {
    fn start(player: &Player, frames: Frames, now: u64) -> Self {
        Self {
            cursor: Cursor::start(&player.tap, frames, now),
            tape: Vec::new(),
        }
    }

    fn tick(&mut self, player: &Player, now: u64) {
        while let Some(piece) = self.cursor.advance(&player.tap, now) {
            match piece {
                Piece::Silence(bytes) => self.tape.resize(self.tape.len() + bytes as usize, 0),
                Piece::Sound(bytes) => {
                    assert!(!bytes.is_empty());
                    self.tape.extend_from_slice(bytes);
                }
            }
        }
        assert_eq!(self.cursor.recorded(), self.tape.len() as u64);
    }

    /// The number of each frame, 0 for silence.
    fn numbers(&self) -> Vec<u64> {
        let number = |frame: &[u8]| u32::from_le_bytes(frame.try_into().unwrap()).into();
        self.tape.chunks_exact(4).map(number).collect()
    }
}

/// Ten frames of silence, and a thousand that are played.
#[test]
fn by_hand() {
    let mut player = Player::new(MONO).listened_to(4800);
    let mut recorder = Recorder::start(&player, MONO, 0);
    // Frame 480 begins at 10 ms.
    player.start(10 * MILLISECOND, Speed::NOMINAL);
    player.tick(20 * MILLISECOND);
    recorder.tick(&player, 20 * MILLISECOND);
    let numbers = recorder.numbers();
    // The recorder is 1 ms behind: 11 ms of silence, 9 ms of sound.
    assert_eq!(numbers.len(), 960);
    assert!(numbers[..528].iter().all(|&number| number == 0));
    assert!(numbers[528..].iter().copied().eq(1..=432));

    // It follows its own clock although the player has more.
    player.tick(30 * MILLISECOND);
    recorder.tick(&player, 25 * MILLISECOND);
    assert_eq!(recorder.numbers().len(), 1200);

    // The player stops at 30 ms with frame 960; the rest comes when it is due, then silence.
    player.halt(30 * MILLISECOND);
    recorder.tick(&player, 30 * MILLISECOND);
    assert_eq!(recorder.numbers().last(), Some(&912));
    recorder.tick(&player, 40 * MILLISECOND);
    let numbers = recorder.numbers();
    assert_eq!(numbers.len(), 1920);
    assert!(numbers[528..1488].iter().copied().eq(1..=960));
    assert!(numbers[1488..].iter().all(|&number| number == 0));
}

/// Who comes to a stream under way begins with what is due to a recorder then.
#[test]
fn coming_late() {
    let mut player = Player::new(MONO).listened_to(4800);
    player.start(0, Speed::NOMINAL);
    player.tick(50 * MILLISECOND);
    let mut recorder = Recorder::start(&player, MONO, 50 * MILLISECOND);
    player.tick(60 * MILLISECOND);
    recorder.tick(&player, 60 * MILLISECOND);
    // 49 ms are 2352 frames.
    assert!(recorder.numbers().into_iter().eq(2353..=2832));
}

/// Who comes first finds nothing of what was played before there was a storage.
#[test]
fn nothing_from_before_the_storage() {
    let mut player = Player::new(MONO);
    player.start(0, Speed::NOMINAL);
    player.tick(50 * MILLISECOND);
    let mut player = player.listened_to(4800);
    let mut recorder = Recorder::start(&player, MONO, 50 * MILLISECOND);
    player.tick(60 * MILLISECOND);
    recorder.tick(&player, 60 * MILLISECOND);
    // Frame 2400 was the last before; the recorder catches up with its clock.
    assert!(recorder.numbers().into_iter().eq(2401..=2832));
}

/// A player may stop and go on more often between two looks than the tap remembers: the recording
/// goes on from the last look, however far the player's clock is off by then.
#[test]
fn forgotten_runs_leave_no_drift() {
    let slow = Speed::from_millionths(750_000);
    let mut player = Player::new(MONO).listened_to(4800);
    let mut recorder = Recorder::start(&player, MONO, 0);
    player.start(0, slow);
    for now in (0..=100 * SECOND).step_by(10_000_000) {
        player.tick(now);
        recorder.tick(&player, now);
    }
    let before = recorder.numbers().len();
    for _ in 0..9 {
        player.halt(100 * SECOND);
        player.start(100 * SECOND, slow);
    }
    let now = 100 * SECOND + 5 * MILLISECOND;
    player.tick(now);
    recorder.tick(&player, now);
    // 48 frames behind: 64 of silence until the player has so many, and 132 of the 180 that it has.
    assert_eq!(recorder.numbers().len() - before, 64 + 132);
}

#[test]
fn another_layout_is_silence() {
    for other in [
        Frames {
            rate: 44_100,
            ..MONO
        },
        Frames {
            channels: 2,
            ..MONO
        },
        Frames { format: 2, ..MONO },
    ] {
        let mut player = Player::new(other).listened_to(4800);
        let mut recorder = Recorder::start(&player, MONO, 0);
        player.start(MILLISECOND, Speed::NOMINAL);
        let mut late = Recorder::start(&player, MONO, 2 * MILLISECOND);
        for now in [5, 10, 15].map(|time| time * MILLISECOND) {
            player.tick(now);
            recorder.tick(&player, now);
            late.tick(&player, now);
        }
        assert_eq!(recorder.numbers(), vec![0; 720]);
        assert_eq!(late.numbers(), vec![0; 624]);
        // The next stream is of the right layout.
        player.halt(15 * MILLISECOND);
        player.frames = MONO;
        player.played = 0;
        player.start(20 * MILLISECOND, Speed::NOMINAL);
        player.tick(30 * MILLISECOND);
        recorder.tick(&player, 30 * MILLISECOND);
        let sound: Vec<u64> = recorder.numbers()[1008..].to_vec();
        assert!(sound.into_iter().eq(1..=432));
    }
}

/// After a stall that the storage does not cover: silence for what is gone, and the rest in place.
#[test]
fn what_is_overwritten_is_silence() {
    let mut player = Player::new(MONO).listened_to(480);
    let mut recorder = Recorder::start(&player, MONO, 0);
    player.start(0, Speed::NOMINAL);
    player.tick(100 * MILLISECOND);
    recorder.tick(&player, 100 * MILLISECOND);
    let numbers = recorder.numbers();
    // 4800 played, the last 480 there, the recorder 48 behind.
    assert_eq!(numbers.len(), 4800);
    assert!(numbers[..4368].iter().all(|&number| number == 0));
    assert!(numbers[4368..].iter().copied().eq(4321..=4752));
}

/// Frames of a size that does not divide the storage, cut where it ends.
#[test]
fn frames_that_are_cut_by_the_end_of_the_storage() {
    let wide = Frames {
        channels: 5,
        bytes: 20,
        ..MONO
    };
    let mut player = Player::new(wide).listened_to(48 * 15 + 1);
    let mut recorder = Recorder::start(&player, wide, 0);
    player.start(0, Speed::NOMINAL);
    for now in (1..200).map(|time| time * MILLISECOND) {
        player.tick(now);
        recorder.tick(&player, now);
    }
    // 198 ms of it. The number is in the first eight bytes of a frame, and the rest is 0.
    let sound = &recorder.tape[20 * 48..];
    assert_eq!(sound.len(), 20 * 198 * 48);
    for (number, frame) in (1u64..).zip(sound.chunks_exact(20)) {
        assert_eq!(frame[..8], number.to_le_bytes());
    }
}

/// The time that a recorder sets its timer to.
#[test]
fn the_time_of_a_position() {
    let mut player = Player::new(MONO).listened_to(4800);
    let mut recorder = Recorder::start(&player, MONO, SECOND);
    assert_eq!(
        recorder.cursor.time_of(&player.tap, 480),
        SECOND + 10 * MILLISECOND
    );
    player.start(SECOND, Speed::from_millionths(750_000));
    let now = SECOND + 4 * MILLISECOND;
    player.tick(now);
    recorder.tick(&player, now);
    // 48 frames at 36 kHz are 1.33 ms, in which there are 64 frames of silence. 480 - 64 + 48 frames
    // at 36 kHz are 12.889 ms.
    assert_eq!(
        recorder
            .numbers()
            .iter()
            .filter(|&&number| number == 0)
            .count(),
        64
    );
    assert_eq!(
        recorder.cursor.time_of(&player.tap, 480),
        SECOND + 12_888_889
    );
}

/// What may happen next, and after how many microseconds.
#[derive(Clone, Debug)]
enum Event {
    Start(u32),
    Steer(u32),
    Halt,
    Play,
    Record,
}

fn event() -> impl Strategy<Value = (u64, Event)> {
    let speed = 750_000..=1_005_000u32;
    (
        0..3000u64,
        prop_oneof![
            1 => speed.clone().prop_map(Event::Start),
            1 => speed.prop_map(Event::Steer),
            1 => Just(Event::Halt),
            8 => Just(Event::Play),
            8 => Just(Event::Record),
        ],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens: every frame once, in order, and the recording is as long as it took.
    #[test]
    fn every_frame_once(events in prop::collection::vec(event(), 1..300)) {
        let mut player = Player::new(MONO).listened_to(48_000);
        let mut recorder = Recorder::start(&player, MONO, 0);
        let mut now = 0;
        // Frames that the recording may be shorter because the player was slower than nominal.
        let mut slack = 0;
        let mut starts = 0;
        for (wait, event) in events {
            now += wait * 1000;
            slack += wait * 12;
            match event {
                // A recorder can be some runs behind, and no more.
                Event::Start(pitch) => {
                    if player.clock.is_none() {
                        starts += 1;
                        if starts % 4 == 0 {
                            recorder.tick(&player, now);
                        }
                        player.start(now, Speed::from_millionths(pitch));
                    }
                }
                Event::Steer(pitch) => player.steer(now, Speed::from_millionths(pitch)),
                Event::Halt => player.halt(now),
                Event::Play => player.tick(now),
                Event::Record => {
                    recorder.tick(&player, now);
                    let length = recorder.tape.len() as u64 / 4;
                    let nominal = now * 48 / MILLISECOND;
                    prop_assert!(length <= nominal + nominal / 200 + 2 * u64::from(LAG));
                }
            }
        }
        player.halt(now);
        now += 10 * MILLISECOND;
        recorder.tick(&player, now);
        let numbers = recorder.numbers();
        let length = numbers.len() as u64;
        prop_assert!(length + slack / 1000 + 2 * u64::from(LAG) >= now * 48 / MILLISECOND);
        let sound = numbers.into_iter().filter(|&number| number != 0);
        prop_assert!(sound.eq(1..=player.played));
    }
}

/// The player's `Locked::record`: what the buffer of `buffer` frames does not hold any more is silent.
/// Returns the bytes that were copied.
fn record(player: &mut Player, buffer: u64, now: u64) -> u64 {
    let clock = player.clock.unwrap();
    let due = clock.position_at(now) - player.played;
    let gone = due.saturating_sub(buffer);
    let (first, size) = (player.played + gone, u64::from(player.frames.bytes));
    let mut copied = 0;
    player.tap.push(gone * size, |_, place| {
        place.fill(0);
        copied += place.len() as u64;
    });
    player.tap.push((due - gone) * size, |done, place| {
        for (at, frame) in (done / size..).zip(place.chunks_exact_mut(4)) {
            frame.copy_from_slice(&((first + at + 1) as u32).to_le_bytes());
        }
        copied += place.len() as u64;
    });
    player.played += due;
    copied
}

/// What came of a recorder's tick.
#[derive(Debug, Default)]
struct Tick {
    pieces: u32,
    silent: u64,
    /// Numbers of frames.
    sound: Vec<u32>,
}

fn look(cursor: &mut Cursor, player: &Player, now: u64) -> Tick {
    let mut tick = Tick::default();
    while let Some(piece) = cursor.advance(&player.tap, now) {
        tick.pieces += 1;
        match piece {
            Piece::Silence(bytes) => tick.silent += bytes / 4,
            Piece::Sound(bytes) => tick.sound.extend(
                bytes
                    .chunks_exact(4)
                    .map(|frame| u32::from_le_bytes(frame.try_into().unwrap())),
            ),
        }
    }
    tick
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However long nothing ticks, a tick copies no more than the storage holds, in a few pieces; and
    /// the recording is as long as it took, with what is left of the sound in its place.
    #[test]
    fn a_stall_is_bounded_work(
        rate in prop::sample::select(vec![8_000u32, 44_100, 48_000, 768_000]),
        seconds in 1u64..200_000,
        odd in 0..SECOND,
        buffer in 100u64..6_000,
        storage in 300usize..6_000,
        recorder_first in any::<bool>(),
    ) {
        let frames = Frames { rate, ..MONO };
        let mut player = Player::new(frames).listened_to(storage);
        let room = (4 * storage).next_multiple_of(SAMPLE_MULTIPLE) as u64;
        let mut cursor = Cursor::start(&player.tap, frames, 0);
        player.start(0, Speed::NOMINAL);
        let mut silent = Cursor::start(&player.tap, Frames { channels: 2, ..frames }, 0);
        record(&mut player, buffer, MILLISECOND);
        look(&mut cursor, &player, MILLISECOND);

        let now = seconds * SECOND + odd;
        if recorder_first {
            // What the player did not get to play cannot be recorded, and is not silence either.
            let early = look(&mut cursor, &player, now);
            prop_assert!(early.pieces <= 3, "{} pieces", early.pieces);
            prop_assert!(cursor.position() <= player.played + u64::from(LAG));
        }
        let copied = record(&mut player, buffer, now);
        prop_assert!(copied <= 2 * room, "{copied} bytes copied");

        let tick = look(&mut cursor, &player, now);
        prop_assert!(tick.pieces <= 4, "{} pieces", tick.pieces);
        prop_assert!(tick.sound.len() as u64 * 4 <= room);
        let due = Clock::start(0, 0, Rate::new(rate, Speed::NOMINAL)).position_at(now);
        prop_assert_eq!(cursor.position(), due);
        // The last frames, in order; silent ones where the buffer had lost them.
        let end = due - u64::from(LAG);
        for (number, &got) in (1..=end).rev().zip(tick.sound.iter().rev()) {
            let held = number > player.played - buffer;
            prop_assert_eq!(got, if held { number as u32 } else { 0 });
        }

        let tick = look(&mut silent, &player, now);
        prop_assert_eq!((tick.pieces, tick.silent), (1, due));
        prop_assert_eq!(silent.position(), due);
        // The timer is set to a time to come.
        prop_assert!(cursor.time_of(&player.tap, due + 1) > now);
        prop_assert!(silent.time_of(&player.tap, due + 1) > now);
    }
}
