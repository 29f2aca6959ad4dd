// SPDX-License-Identifier: GPL-2.0

//! `module/backlog.rs` against a queue without a bound, and against sums.

use std::collections::VecDeque;

use proptest::prelude::*;
use rtshm_module_tests::{
    abi::record::{
        self,
        Format,
        Lost,
        State,
        StateChange,
        Volume, //
    },
    backlog::{
        Backlog,
        Body,
        Entry, //
    },
};

/// The contract: records are kept one by one up to eight (`Documentation/abi.rst`).
const ROOM: usize = 8;

/// What is to be seen of an entry: kind, flags, position, and two numbers of its body.
type Seen = (u16, u16, u64, u64, u64);

fn seen(entry: &Entry) -> Seen {
    let (first, second) = match entry.body {
        Body::Format(format) => (format.rate.into(), format.channels.into()),
        Body::State(change) => (change.state.into(), change.time_stamp),
        Body::Lost(lost) => (lost.frames, lost.time_stamp),
        Body::Volume(volume) => (volume.gain.unsigned_abs().into(), volume.time_stamp),
    };
    let kind = entry.body.kind();
    (kind, entry.flags, entry.position, first, second)
}

fn lost(position: u64, frames: u64, time_stamp: u64) -> Entry {
    Entry {
        flags: 0,
        position,
        body: Body::Lost(Lost { frames, time_stamp }),
    }
}

fn state(state: State, position: u64, time_stamp: u64) -> Entry {
    Entry {
        flags: 0,
        position,
        body: Body::State(StateChange {
            state: state.as_raw(),
            reserved: 0,
            time_stamp,
        }),
    }
}

fn format(rate: u32, channels: u32) -> Entry {
    Entry {
        flags: record::RESYNC,
        position: 0,
        body: Body::Format(Format {
            rate,
            channels,
            ..Format::default()
        }),
    }
}

/// A volume of so many hundredths of a decibel below unity.
fn volume(below: i32, position: u64, time_stamp: u64) -> Entry {
    Entry {
        flags: 0,
        position,
        body: Body::Volume(Volume {
            gain: -below,
            on: 1,
            time_stamp,
        }),
    }
}

fn backlog(entries: &[Entry]) -> Backlog {
    let mut backlog = Backlog::default();
    for &entry in entries {
        assert!(backlog.push(entry));
    }
    backlog
}

fn drain(mut backlog: Backlog) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(entry) = backlog.first() {
        assert!(!backlog.is_empty());
        all.push(seen(entry));
        backlog.remove_first();
    }
    assert!(backlog.is_empty());
    all
}

#[test]
fn keeps_order_and_content() {
    let backlog = backlog(&[
        format(48_000, 2),
        state(State::Start, 0, 11),
        lost(100, 20, 12),
        volume(650, 120, 14),
        state(State::Pause, 120, 13),
    ]);
    // Each takes a header of 16 bytes and a body of 16 or 32, up to the next multiple of 64.
    assert_eq!(backlog.stored_len(), 5 * 64);
    assert_eq!(format(1, 1).body.size(), 32);
    assert_eq!(state(State::Start, 0, 0).body.size(), 16);
    assert_eq!(lost(0, 0, 0).body.size(), 16);
    assert_eq!(volume(0, 0, 0).body.size(), 16);
    let expected = [
        (record::FORMAT, record::RESYNC, 0, 48_000, 2),
        (record::STATE, 0, 0, 1, 11),
        (record::LOST, 0, 100, 20, 12),
        (record::VOLUME, 0, 120, 650, 14),
        (record::STATE, 0, 120, 2, 13),
    ];
    assert_eq!(drain(backlog), expected);
}

/// The ninth is refused, and does not disturb the others; then there is room for one again.
#[test]
fn is_bounded() {
    let entries: [_; ROOM] = std::array::from_fn(|n| lost(n as u64 * 10, 1, 0));
    let mut backlog = backlog(&entries);
    assert!(!backlog.push(lost(1000, 1, 0)));
    backlog.remove_first();
    assert!(backlog.push(lost(2000, 1, 0)));
    assert!(!backlog.push(lost(3000, 1, 0)));
    let positions: Vec<_> = drain(backlog).iter().map(|seen| seen.2).collect();
    assert_eq!(positions, [10, 20, 30, 40, 50, 60, 70, 2000]);
}

#[test]
fn extends_only_where_frames_continue() {
    let mut backlog = Backlog::default();
    assert!(!backlog.extend(0, 1), "nothing is lost yet");
    assert!(backlog.push(lost(100, 20, 5)));
    assert!(!backlog.extend(121, 1), "a frame between");
    assert!(!backlog.extend(119, 1), "a frame twice");
    assert!(backlog.extend(120, 7));
    assert!(backlog.extend(127, 3));
    assert!(backlog.push(state(State::Pause, 130, 6)));
    assert!(!backlog.extend(130, 1), "a pause between");
    let expected = [(record::LOST, 0, 100, 30, 5), (record::STATE, 0, 130, 2, 6)];
    assert_eq!(drain(backlog), expected);
}

/// A slider that is moved while nothing fits: its last place counts, and there is one gap before it.
#[test]
fn a_volume_supersedes_one_that_only_losses_follow() {
    let start = [state(State::Start, 0, 1), lost(0, 10, 2)];
    let mut backlog = backlog(&start);
    for n in 1..100 {
        assert!(backlog.push(volume(n, 10 * n as u64, 0)));
        assert!(backlog.push(volume(n + 100, 10 * n as u64, 5)));
        if !backlog.extend(10 * n as u64, 10) {
            assert!(backlog.push(lost(10 * n as u64, 10, 7)));
        }
    }
    assert_eq!(backlog.stored_len(), 4 * 64);
    let expected = [
        (record::STATE, 0, 0, 1, 1),
        (record::LOST, 0, 0, 990, 2),
        (record::VOLUME, 0, 990, 199, 5),
        (record::LOST, 0, 990, 10, 7),
    ];
    assert_eq!(drain(backlog), expected);
}

/// The first of all, and one with nothing before it.
#[test]
fn a_volume_supersedes_the_oldest_record() {
    let mut one = backlog(&[volume(1, 0, 1)]);
    assert!(one.push(volume(2, 5, 2)));
    assert_eq!(drain(one), [(record::VOLUME, 0, 5, 2, 2)]);
    let mut more = backlog(&[volume(1, 0, 1), lost(0, 5, 3)]);
    assert!(more.push(volume(2, 5, 2)));
    let expected = [(record::LOST, 0, 0, 5, 3), (record::VOLUME, 0, 5, 2, 2)];
    assert_eq!(drain(more), expected);
}

/// What was to be heard at a volume, or is not one gap, stays as it is.
#[test]
fn a_volume_supersedes_nothing_else() {
    let entries = [
        volume(1, 10, 1),
        state(State::Pause, 10, 2),
        volume(2, 10, 3),
        format(48_000, 2),
        lost(10, 5, 4),
    ];
    let mut kept = backlog(&entries);
    assert!(kept.push(volume(3, 15, 5)));
    let expected = [
        (record::VOLUME, 0, 10, 1, 1),
        (record::STATE, 0, 10, 2, 2),
        (record::VOLUME, 0, 10, 2, 3),
        (record::FORMAT, record::RESYNC, 0, 48_000, 2),
        (record::LOST, 0, 10, 5, 4),
        (record::VOLUME, 0, 15, 3, 5),
    ];
    assert_eq!(drain(kept), expected);

    let mut apart = backlog(&[lost(0, 5, 1), volume(1, 5, 2), lost(6, 5, 3)]);
    assert!(apart.push(volume(2, 11, 4)));
    let expected = [
        (record::LOST, 0, 0, 5, 1),
        (record::LOST, 0, 6, 5, 3),
        (record::VOLUME, 0, 11, 2, 4),
    ];
    assert_eq!(drain(apart), expected);
}

/// In a full backlog there is room for a volume that supersedes another, and for no other.
#[test]
fn a_volume_in_a_full_backlog() {
    let mut entries: [_; ROOM] = std::array::from_fn(|n| lost(n as u64 * 10, 1, 0));
    entries[ROOM - 1] = volume(1, 100, 1);
    let mut full = backlog(&entries);
    assert!(full.push(volume(2, 200, 2)));
    assert!(!full.push(state(State::Pause, 200, 3)));
    assert_eq!(drain(full)[ROOM - 1], (record::VOLUME, 0, 200, 2, 2));

    entries[ROOM - 1] = state(State::Pause, 100, 1);
    let mut full = backlog(&entries);
    assert!(!full.push(volume(2, 200, 2)));
    assert_eq!(drain(full).len(), ROOM);
}

/// Of what came before only the losses are told; the volume is told anew by whoever collapses.
#[test]
fn collapses_over_volumes() {
    let mut backlog = backlog(&[
        volume(1, 0, 1),
        lost(0, 5, 2),
        volume(2, 5, 3),
        lost(5, 1, 4),
    ]);
    backlog.collapse();
    let expected = [(record::LOST, record::SPANS_STREAMS, 0, 6, 2)];
    assert_eq!(drain(backlog), expected);
}

/// The whole of it is one record of all frames, from the first of them on.
#[test]
fn collapses_to_the_sum() {
    let mut backlog = backlog(&[
        state(State::Pause, 90, 4),
        lost(100, 20, 5),
        state(State::Stop, 120, 6),
        format(44_100, 1),
        state(State::Start, 0, 7),
        lost(0, 3, 8),
    ]);
    backlog.collapse();
    let expected = [(record::LOST, record::SPANS_STREAMS, 100, 23, 5)];
    assert_eq!(drain(backlog), expected);
}

#[test]
fn collapses_with_one_more() {
    let entries: [_; ROOM] = std::array::from_fn(|n| lost(n as u64 * 10, 1, n as u64));
    let mut backlog = backlog(&entries);
    backlog.collapse_into(lost(1000, 5, 99));
    let expected = [(record::LOST, record::SPANS_STREAMS, 0, 13, 0)];
    assert_eq!(drain(backlog), expected);
}

/// No frames lost: nothing is told of what led here.
#[test]
fn collapses_to_nothing() {
    let mut backlog = backlog(&[state(State::Start, 0, 7), state(State::Stop, 0, 8)]);
    backlog.collapse();
    assert!(backlog.is_empty());
    assert!(backlog.first().is_none());
}

#[test]
fn collapses_once_more() {
    let mut backlog = backlog(&[lost(100, 20, 5), lost(0, 1, 6)]);
    backlog.collapse();
    assert!(backlog.push(format(48_000, 2)));
    assert!(backlog.push(lost(7, 2, 9)));
    backlog.collapse();
    let expected = [(record::LOST, record::SPANS_STREAMS, 100, 23, 5)];
    assert_eq!(drain(backlog), expected);
}

#[test]
fn extremes() {
    let mut backlog = Backlog::default();
    backlog.remove_first();
    backlog.collapse();
    assert!(backlog.push(lost(u64::MAX, u64::MAX, 0)));
    assert!(backlog.extend(u64::MAX.wrapping_add(u64::MAX), u64::MAX));
    assert!(backlog.push(lost(0, u64::MAX, 0)));
    backlog.collapse();
    assert_eq!(drain(backlog).len(), 1);
}

#[derive(Clone, Debug)]
enum Op {
    Push(bool, u64, u64),
    Volume(u64),
    Extend(u64, u64),
    RemoveFirst,
    Clear,
    Collapse,
    CollapseInto(u64, u64),
}

fn op() -> impl Strategy<Value = Op> {
    // Few positions, so that records are contiguous now and then.
    let (position, frames) = (0u64..6, 0u64..4);
    prop_oneof![
        8 => (any::<bool>(), position.clone(), frames.clone())
            .prop_map(|(is_lost, position, frames)| Op::Push(is_lost, position, frames)),
        4 => position.clone().prop_map(Op::Volume),
        4 => (position.clone(), frames.clone()).prop_map(|(p, f)| Op::Extend(p, f)),
        3 => Just(Op::RemoveFirst),
        1 => Just(Op::Clear),
        1 => Just(Op::Collapse),
        1 => (position, frames).prop_map(|(p, f)| Op::CollapseInto(p, f)),
    ]
}

/// The sum of all that is lost, as one record.
fn sum(model: &VecDeque<Seen>) -> Option<Seen> {
    let all: Vec<_> = model.iter().filter(|seen| seen.0 == record::LOST).collect();
    let frames = all.iter().map(|seen| seen.3).sum();
    let first = all.first()?;
    Some((
        record::LOST,
        record::SPANS_STREAMS,
        first.2,
        frames,
        first.4,
    ))
}

/// Drops the last `VOLUME` if only losses follow, the first of which then joins the one before if it
/// goes on where that ends.
fn supersede(model: &mut VecDeque<Seen>) {
    let Some(last) = model.iter().rposition(|seen| seen.0 != record::LOST) else {
        return;
    };
    if model[last].0 != record::VOLUME {
        return;
    }
    model.remove(last);
    if last == 0 || last == model.len() {
        return;
    }
    let (before, behind) = (model[last - 1], model[last]);
    if before.0 == record::LOST && before.2 + before.3 == behind.2 {
        model[last - 1].3 += behind.3;
        model.remove(last);
    }
}

proptest! {
    #[test]
    fn does_as_a_queue_does(ops in prop::collection::vec(op(), 1..80)) {
        let mut backlog = Backlog::default();
        let mut model = VecDeque::new();
        for (time, op) in (0..).zip(ops) {
            match op {
                Op::Push(is_lost, position, frames) => {
                    let entry = match is_lost {
                        true => lost(position, frames, time),
                        false => state(State::Resume, position, time),
                    };
                    let room = model.len() < ROOM;
                    prop_assert_eq!(backlog.push(entry), room);
                    if room {
                        model.push_back(seen(&entry));
                    }
                }
                Op::Volume(position) => {
                    let entry = volume(time as i32, position, time);
                    supersede(&mut model);
                    let room = model.len() < ROOM;
                    prop_assert_eq!(backlog.push(entry), room);
                    if room {
                        model.push_back(seen(&entry));
                    }
                }
                Op::Extend(position, frames) => {
                    let newest = model.back_mut().filter(|(kind, _, first, count, _)| {
                        *kind == record::LOST && first + count == position
                    });
                    prop_assert_eq!(backlog.extend(position, frames), newest.is_some());
                    if let Some(newest) = newest {
                        newest.3 += frames;
                    }
                }
                Op::RemoveFirst => {
                    backlog.remove_first();
                    model.pop_front();
                }
                Op::Clear => {
                    backlog.clear();
                    model.clear();
                }
                Op::Collapse => {
                    backlog.collapse();
                    model = sum(&model).into_iter().collect();
                }
                Op::CollapseInto(position, frames) => {
                    let last = lost(position, frames, time);
                    backlog.collapse_into(last);
                    model.push_back(seen(&last));
                    model = sum(&model).into_iter().collect();
                }
            }
            prop_assert_eq!(backlog.is_empty(), model.is_empty());
            prop_assert_eq!(backlog.stored_len(), 64 * model.len() as u64);
            prop_assert_eq!(backlog.first().map(seen), model.front().copied());
        }
        prop_assert_eq!(drain(backlog), Vec::from(model));
    }
}
