// SPDX-License-Identifier: GPL-2.0

//! Scenes, as in [`scenes`](super::scenes), of the mixer, of suspend, and of the clock's speed.

use rtshm_module_tests::abi::record::{
    State,
    RESYNC,
    SPANS_STREAMS, //
};

use super::{
    card::due,
    rig::Rig,
    scenes::{
        audio,
        fill,
        format_again,
        lost,
        lost_with,
        state,
        state_again,
        AMPLE,
        SMALL,
        STEREO,
        TIGHT, //
    },
    told::Told, //
};

fn volume(gain: i32, on: bool, position: u64, time: u64) -> Told {
    volume_again(0, gain, on, position, time)
}

fn volume_again(flags: u16, gain: i32, on: bool, position: u64, time: u64) -> Told {
    Told::Volume {
        flags,
        position,
        gain,
        on,
        time,
    }
}

/// Every change is told in its place, and ends the chunk under way; what is no change is not told.
#[test]
fn a_volume_divides_chunks() {
    let mut rig = Rig::attached(AMPLE);
    rig.start(STEREO);
    rig.read_all();
    rig.play(100);
    rig.volume(0, true);
    rig.volume(-650, true);
    let first = rig.now();
    rig.play(56);
    rig.volume(-650, false);
    let second = rig.now();
    rig.volume(-650, false);
    rig.volume(-700, false);
    let third = rig.now();
    rig.play(100);
    let expected = [
        audio(STEREO, 0, 0, 100),
        volume(-650, true, 100, first),
        audio(STEREO, 100, 100, 56),
        volume(-650, false, 156, second),
        volume(-700, false, 156, third),
        audio(STEREO, 156, 156, 100),
    ];
    assert_eq!(rig.read_all(), expected);
    assert_eq!(rig.take_news(), Some(true));
}

/// No stream, no chunk: a change is told all the same.
#[test]
fn a_volume_between_streams() {
    let mut rig = Rig::attached(AMPLE);
    rig.volume(-50, true);
    assert_eq!(rig.read_all(), [volume(-50, true, 0, rig.now())]);
    rig.start(STEREO);
    rig.play(10);
    rig.change(State::Stop);
    rig.read_all();
    rig.volume(0, true);
    assert_eq!(rig.read_all(), [volume(0, true, 10, rig.now())]);
}

/// What no mixer should say is told within the bounds of the contract.
#[test]
fn a_volume_out_of_bounds() {
    let mut rig = Rig::attached(AMPLE);
    for (gain, told) in [(i32::MIN, -10_000), (-10_000, -10_000), (i32::MAX, 0)] {
        rig.feed.volume(gain, true, 7);
        assert_eq!(rig.feed.last_volume().gain, told);
    }
    assert_eq!(rig.feed.write_count(), 3 * 64, "one of them is no change");
}

/// Every consumer is told first of all what it missed, and whatever the stream does.
#[test]
fn every_consumer_is_told_the_volume() {
    let mut rig = Rig::new(AMPLE);
    rig.volume(-1250, false);
    let changed = rig.now();
    for changes in [
        &[][..],
        &[State::Start],
        &[State::Pause],
        &[State::Suspend],
        &[State::Resume],
        &[State::Stop],
    ] {
        for &change in changes {
            if change == State::Start {
                rig.prepare(STEREO);
            }
            rig.change(change);
        }
        if let Some(State::Start | State::Resume) = rig.state() {
            rig.play(10);
        }
        let position = rig.position();
        rig.come_at(due(rig.consumed()));
        let told = rig.read_all();
        let first = volume_again(RESYNC, -1250, false, position, changed);
        assert_eq!(told[0], first);
        let is_still = matches!(rig.state(), Some(State::Pause | State::Suspend));
        assert_eq!(
            told.len(),
            if is_still { 3 } else { 1 },
            "{:?}",
            rig.state()
        );
        rig.detach();
    }
}

/// A change before the first piece that is for a consumer, which knows nothing of the stream yet.
#[test]
fn a_volume_before_the_stream_is_told() {
    let mut rig = Rig::new(AMPLE);
    rig.start(STEREO);
    rig.play(100);
    rig.attach_at(due(140));
    rig.play(10);
    rig.volume(-50, true);
    let changed = rig.now();
    rig.play(30);
    rig.play(116);
    let expected = [
        volume(-50, true, 110, changed),
        format_again(STEREO, RESYNC, 140),
        state_again(State::Start, RESYNC, 140, due(140)),
        audio(STEREO, 140, 140, 116),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// A slider that is moved over a full ring takes the room of one record, and the gap is one.
#[test]
fn a_slider_over_a_full_ring() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    for step in 1..100 {
        rig.play(16);
        rig.volume(-50 * step, true);
    }
    let changed = rig.now();
    assert_eq!(rig.collapses(), 0);
    let told = rig.read_all();
    assert_eq!(told.last(), Some(&audio(SMALL, end - 16, end - 16, 16)));
    let (behind, left) = (end + 99 * 16, 16);
    assert!(rig.settle());
    rig.play(left);
    let expected = [
        lost(end, end, 99 * 16),
        volume(-50 * 99, true, behind, changed),
        audio(SMALL, behind, behind, left),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// A change of the volume is the ninth of what is owed.
#[test]
fn a_stall_that_ends_in_a_volume() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.play(16);
    rig.change(State::Stop);
    rig.start(STEREO);
    rig.play(256);
    rig.volume(-50, true);
    rig.change(State::Pause);
    rig.change(State::Resume);
    // Eight so far.
    rig.volume(-100, true);
    let changed = rig.now();
    rig.read_all();
    assert!(rig.settle());
    let expected = [
        lost_with(SPANS_STREAMS, end, end, 16 + 256),
        volume_again(RESYNC, -100, true, 256, changed),
        format_again(STEREO, RESYNC, 256),
        state_again(State::Resume, RESYNC, 256, changed),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// What the volume was changed to while nothing was told one by one.
#[test]
fn a_stall_over_a_volume() {
    let mut rig = Rig::attached(TIGHT);
    let end = fill(&mut rig);
    rig.volume(-50, false);
    let changed = rig.now();
    for _ in 0..4 {
        rig.change(State::Pause);
        rig.change(State::Resume);
    }
    let resumed = rig.now();
    rig.read_all();
    assert!(rig.settle());
    let expected = [
        volume_again(RESYNC, -50, false, end, changed),
        format_again(SMALL, RESYNC, end),
        state_again(State::Resume, RESYNC, end, resumed),
    ];
    assert_eq!(rig.read_all(), expected);
}

/// The machine suspends a stream that then goes on, or ends.
#[test]
fn a_suspended_stream() {
    let mut rig = Rig::attached(TIGHT);
    rig.start(SMALL);
    rig.read_all();
    rig.play(10);
    rig.change(State::Suspend);
    let suspended = rig.now();
    rig.change(State::Resume);
    let resumed = rig.now();
    rig.play(6);
    rig.change(State::Suspend);
    let again = rig.now();
    rig.change(State::Stop);
    let expected = [
        audio(SMALL, 0, 0, 10),
        state(State::Suspend, 10, suspended),
        state(State::Resume, 10, resumed),
        audio(SMALL, 10, 10, 6),
        state(State::Suspend, 16, again),
        state(State::Stop, 16, rig.now()),
    ];
    assert_eq!(rig.read_all(), expected);
    assert_eq!(rig.feed.totals().streams, 1);
}

#[test]
fn the_speed_of_the_clock_is_shown_and_asked_for() {
    let mut rig = Rig::new(AMPLE);
    assert_eq!(rig.feed.clock_ratio(), 0);
    rig.clock(1 << 32);
    // The rig compares with the page, also where it is a new one.
    rig.attach();
    assert_eq!(rig.feed.rate_request(), 0);
    for ratio in [(1 << 32) + 4_294_967, u64::MAX, 0] {
        rig.clock(ratio);
        rig.request_rate(ratio);
    }
    rig.request_rate(5);
    assert_eq!(rig.feed.rate_request(), 5);
    rig.detach();
    assert_eq!(rig.feed.rate_request(), 0, "of nobody");
    rig.attach();
    assert_eq!(rig.feed.rate_request(), 0, "of one that did not ask");
    rig.request_rate(5);
    rig.write_read_count(u64::MAX);
    assert!(rig.inspect());
    assert_eq!(rig.feed.rate_request(), 0, "of a faulty one");
}
