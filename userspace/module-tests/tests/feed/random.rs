// SPDX-License-Identifier: GPL-2.0

//! Random play: applications, the card and consumers in any order that ALSA and the seat allow.
//!
//! The rig and its ledger check every step. What is left to see to here is that the play is varied
//! enough: that rings fill up, streams are summed up and consumers lie.

use std::cell::Cell;

use proptest::{
    prelude::*,
    test_runner::{
        Config as RunnerConfig,
        TestRunner, //
    }, //
};
use rtshm_module_tests::abi::record::State;

use super::{
    card::{
        due,
        Config, //
    },
    ledger::is_active,
    rig::{
        Joined,
        Rig, //
    }, //
};

/// All of these fit into a ring of 4096 bytes a few times.
const CONFIGS: [Config; 5] = [
    Config::new(48_000, 1, 64, 16),
    Config::new(44_100, 2, 100, 34),
    Config::new(48_000, 2, 24, 24),
    Config::new(96_000, 64, 5, 3),
    Config::new(44_100, 1, 7, 1),
];

#[derive(Clone, Debug)]
enum Op {
    /// Ends the stream, if there is one, and starts another.
    Start(Config),
    Prepare(Config),
    /// Pauses or suspends a stream that plays, or resumes one that stands still.
    StandStillOrResume(State),
    Drain,
    End(State),
    Play(u32),
    Skip(u64),
    /// Moves the slider, and maybe the switch.
    Volume(i32, bool),
    Clock(u64),
    RequestRate(u64),
    Settle,
    Inspect,
    Wake,
    TakeNews,
    ReadBytes(u64),
    /// Comes this many frames and nanoseconds after the next frame is due.
    Attach(u64, i64),
    Detach,
    Lie(u64),
}

/// Steps at which the consumer reads with a weight of `reading`, and comes and goes with one of
/// `coming`.
fn op(reading: u32, coming: u32) -> impl Strategy<Value = Op> {
    let config = prop::sample::select(CONFIGS.to_vec());
    let attach = (
        prop_oneof![1 => Just(0u64), 2 => 0u64..80],
        prop_oneof![2 => Just(0i64), 1 => Just(-1), 1 => Just(1), 1 => 0i64..20_000],
    );
    let lie = prop_oneof![Just(0), any::<u64>(), (1u64..5).prop_map(u64::wrapping_neg)];
    prop_oneof![
        4 => config.clone().prop_map(Op::Start),
        1 => config.prop_map(Op::Prepare),
        6 => prop::sample::select(vec![State::Pause, State::Pause, State::Suspend])
            .prop_map(Op::StandStillOrResume),
        2 => Just(Op::Drain),
        2 => prop::sample::select(vec![State::Stop, State::Xrun]).prop_map(Op::End),
        16 => (1u32..120).prop_map(Op::Play),
        4 => (1u64..200).prop_map(Op::Skip),
        1 => Just(Op::Skip(0)),
        5 => (-2i32..=0, prop::bool::weighted(0.8))
            .prop_map(|(step, on)| Op::Volume(50 * step, on)),
        1 => any::<u64>().prop_map(Op::Clock),
        1 => any::<u64>().prop_map(Op::RequestRate),
        4 => Just(Op::Settle),
        1 => Just(Op::Inspect),
        1 => Just(Op::Wake),
        4 => Just(Op::TakeNews),
        reading => prop_oneof![
            3 => (0u64..20).prop_map(|units| Op::ReadBytes(64 * units)),
            2 => (0u64..2000).prop_map(Op::ReadBytes),
            1 => Just(Op::ReadBytes(u64::MAX)),
        ],
        coming => prop_oneof![
            8 => attach.prop_map(|(frames, nanos)| Op::Attach(frames, nanos)),
            2 => Just(Op::Detach),
            1 => lie.prop_map(Op::Lie),
        ],
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // From consumers that hardly ever read to some that keep up, and from some that stay to some that
    // do not.
    let reading = prop::sample::select(vec![1u32, 4, 12, 40]);
    let coming = prop::sample::select(vec![1u32, 1, 1, 8]);
    (reading, coming)
        .prop_flat_map(|(reading, coming)| prop::collection::vec(op(reading, coming), 1..300))
}

/// Does what the op says, if this can be now.
fn step(rig: &mut Rig, op: &Op, is_paused: &mut bool, is_ready: &mut bool) {
    let is_under_way = rig.state().is_some_and(is_active) && !*is_ready;
    let is_playing = is_under_way && !*is_paused;
    let can_read = rig.is_attached() && !rig.is_hostile();
    match *op {
        Op::Start(config) => {
            if is_under_way {
                rig.change(State::Stop);
            }
            if !*is_ready {
                rig.prepare(config);
            }
            rig.change(State::Start);
            (*is_paused, *is_ready) = (false, false);
        }
        Op::Prepare(config) if !is_under_way => {
            rig.prepare(config);
            *is_ready = true;
        }
        Op::StandStillOrResume(halt) if is_under_way => {
            *is_paused = !*is_paused;
            let change = if *is_paused { halt } else { State::Resume };
            rig.change(change);
        }
        Op::Drain if is_playing => rig.change(State::Drain),
        Op::End(end) if is_under_way => {
            rig.change(end);
            *is_paused = false;
        }
        Op::Play(frames) if is_playing => rig.play(frames),
        Op::Skip(frames) if is_playing => rig.skip(frames),
        Op::Volume(gain, on) => rig.volume(gain, on),
        Op::Clock(ratio) => rig.clock(ratio),
        Op::RequestRate(ratio) if rig.is_attached() => rig.request_rate(ratio),
        Op::Settle => {
            rig.settle();
        }
        Op::Inspect => {
            rig.inspect();
        }
        Op::Wake => rig.wake(),
        Op::TakeNews => {
            rig.take_news();
        }
        Op::ReadBytes(len) if can_read => rig.read_bytes(len),
        Op::Attach(frames, nanos) => {
            if rig.is_attached() {
                rig.detach();
            }
            let time = due(rig.consumed() + frames);
            rig.come_at(time.saturating_add_signed(nanos));
        }
        Op::Detach if rig.is_attached() => rig.detach(),
        Op::Lie(count) if rig.is_attached() => rig.write_read_count(count),
        _ => {}
    }
}

/// How consumers can come to a stream, as in [`Joined`].
const JOINED: [&str; 9] = [
    "joined after start",
    "joined after resume",
    "joined while draining",
    "joined with a piece due just then",
    "joined with a skip",
    "joined in mid-chunk",
    "joined with a change of state",
    "joined while it stood still",
    "pieces passed before",
];

/// How often what is rare came about.
#[derive(Default)]
struct Seen {
    chunks: Cell<u64>,
    losses: Cell<u64>,
    collapses: Cell<u64>,
    faults: Cell<u64>,
    held_back: Cell<u64>,
    whole: Cell<u64>,
    joined: [Cell<u64>; JOINED.len()],
}

fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

/// Plays, and lets everything come to rest.
fn play(ops: &[Op], seen: &Seen) {
    let mut rig = Rig::attached(4096);
    let (mut is_paused, mut is_ready) = (false, false);
    for op in ops {
        step(&mut rig, op, &mut is_paused, &mut is_ready);
    }
    if rig.state().is_some_and(is_active) && !is_ready {
        rig.change(State::Stop);
    }
    if rig.is_attached() && !rig.is_hostile() {
        // In the end all is told.
        rig.read_bytes(u64::MAX);
        assert!(rig.settle());
        assert_eq!(rig.ledger.untold_frames(), 0);
        assert!(!rig.ledger.has_untold_notes());
        add(&seen.whole, 1);
    }
    let totals = rig.feed.totals();
    add(&seen.chunks, totals.chunks);
    add(&seen.losses, totals.lost_records);
    add(&seen.faults, totals.faults);
    add(&seen.collapses, rig.collapses());
    add(&seen.held_back, rig.held_back());
    let Joined {
        by_piece: [start, resume, drain],
        just_then,
        by_skip,
        in_mid_chunk,
        by_change,
        standing,
        passed,
    } = rig.joined();
    let joined = [
        start,
        resume,
        drain,
        just_then,
        by_skip,
        in_mid_chunk,
        by_change,
        standing,
        passed,
    ];
    for (count, more) in seen.joined.iter().zip(joined) {
        add(count, more);
    }
}

#[test]
fn everything_is_told() {
    let config = RunnerConfig {
        source_file: Some(file!()),
        ..RunnerConfig::default()
    };
    let cases = config.cases;
    let mut runner = TestRunner::new(config);
    let seen = Seen::default();
    runner
        .run(&ops(), |ops| {
            play(&ops, &seen);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    for (what, count, least) in [
        ("chunks", &seen.chunks, cases),
        ("losses", &seen.losses, cases / 2),
        ("collapses", &seen.collapses, cases / 20),
        ("faults", &seen.faults, cases / 50),
        ("polls inside of a gap", &seen.held_back, cases / 200),
        ("told to the end", &seen.whole, cases / 4),
    ] {
        println!("{}: {what}", count.get());
        assert!(count.get() >= least.into(), "too few: {what}");
    }
    for (what, count) in JOINED.iter().zip(&seen.joined) {
        println!("{}: {what}", count.get());
        assert!(count.get() >= (cases / 100).into(), "too few: {what}");
    }
}
