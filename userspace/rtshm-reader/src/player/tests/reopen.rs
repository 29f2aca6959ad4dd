// SPDX-License-Identifier: MIT OR GPL-2.0

//! The card is opened anew when somebody asks for it.

use super::*;

#[test]
fn all_is_heard_before_and_what_is_late_is_discarded() {
    let mut world = World::new(false);
    world.start();
    world.run(500);
    let written = world.summary().frames_out;
    let age = world.age();
    world.player.reopen(world.now);
    world.step();
    world.run(1000);
    world.change(State::Stop);
    world.run(1000);
    assert_eq!(world.card.borrow().opened, 2);
    assert_eq!(world.card.borrow().forgotten, 1);
    let summary = world.summary();
    assert_eq!((summary.sink_losses, summary.sink_xruns), (0, 0));
    assert_eq!((summary.streams, summary.lost_frames), (1, 0));
    assert_eq!(summary.frames_in, 1500 * TICK);
    let gone = summary.discarded_frames;
    // The 50 ms for which what was written is followed by silence.
    assert!(gone.abs_diff(50 * TICK) <= 2 * TICK, "{gone}");
    assert_eq!(summary.frames_in, summary.frames_out + gone);
    let mut expected = frames(0, written);
    expected.extend(frames(written + gone, 1500 * TICK));
    let sound: Vec<f32> = world.heard().into_iter().filter(|s| *s != 0.0).collect();
    assert_same(&sound, &expected);
    assert!(age <= LATENCY + TICK, "{age}");
}

#[test]
fn the_latency_is_what_it_was() {
    let mut world = World::new(false);
    world.start();
    world.run(500);
    let age = world.age();
    world.player.reopen(world.now);
    world.step();
    world.run(1000);
    assert!(world.age().abs_diff(age) <= TICK, "{} {age}", world.age());
}

#[test]
fn a_card_that_waits_is_closed_and_opened_after_the_pause() {
    let mut world = World::new(false);
    world.start();
    world.run(300);
    world.change(State::Pause);
    world.run(300);
    world.player.reopen(world.now);
    world.step();
    world.run(300);
    assert!(!world.card.borrow().open);
    world.change(State::Resume);
    world.run(300);
    world.change(State::Stop);
    world.run(1000);
    assert_eq!(world.card.borrow().opened, 2);
    let sound: Vec<f32> = world.heard().into_iter().filter(|s| *s != 0.0).collect();
    assert_same(&sound, &frames(0, 600 * TICK));
}

#[test]
fn the_next_stream_is_played_on_another() {
    let mut world = World::new(false);
    world.start();
    world.run(300);
    world.change(State::Stop);
    world.run(20);
    world.player.reopen(world.now);
    world.step();
    assert_eq!(world.card.borrow().opened, 1);
    world.position = 0;
    world.start();
    world.run(500);
    assert_eq!(world.card.borrow().opened, 2);
    world.change(State::Stop);
    world.run(1000);
    // All of the first stream was heard, and it is not counted as late.
    let mut expected = frames(0, 300 * TICK);
    let gone = world.summary().discarded_frames;
    expected.extend(frames(gone, 500 * TICK));
    let sound: Vec<f32> = world.heard().into_iter().filter(|s| *s != 0.0).collect();
    assert_same(&sound, &expected);
    assert_eq!(world.summary().streams, 2);
}

#[test]
fn nothing_is_opened_for_nobody() {
    let mut world = World::new(false);
    world.step();
    world.player.reopen(world.now);
    world.step();
    assert_eq!(world.wait, Wait::Ring(None));
    assert_eq!(world.card.borrow().opened, 0);
}

#[test]
fn a_card_that_is_lost_is_tried_at_once() {
    let mut world = World::new(false);
    world.card.borrow_mut().absent = true;
    world.start();
    world.run(100);
    world.card.borrow_mut().absent = false;
    world.player.reopen(world.now);
    world.step();
    assert_eq!(world.card.borrow().opened, 1);
}

#[test]
fn a_card_that_is_lost_meanwhile_is_waited_for() {
    let mut world = World::new(false);
    world.start();
    world.run(300);
    world.player.reopen(world.now);
    world.step();
    world.card.borrow_mut().absent = true;
    world.run(1500);
    assert_eq!(world.summary().sink_losses, 1);
    world.card.borrow_mut().absent = false;
    world.run(1500);
    assert!(world.card.borrow().running);
}

#[test]
fn once_ends_with_the_first_stream_all_the_same() {
    for state in [State::Stop, State::Xrun] {
        let mut world = World::new(true);
        world.start();
        world.run(300);
        world.player.reopen(world.now);
        world.step();
        world.run(300);
        world.change(state);
        world.run(20);
        world.player.reopen(world.now);
        world.step();
        world.run(1000);
        assert_eq!(world.wait, Wait::Done, "{state:?}");
        assert_eq!(world.card.borrow().opened, 2);
    }
}

#[test]
fn what_is_opened_next_is_by_the_new_configuration() {
    let mut world = World::new(false);
    world.step();
    world.player.reopen(world.now);
    world.start();
    world.run(300);
    assert_eq!(world.card.borrow().forgotten, 1);
    world.change(State::Stop);
    world.start_with(44_100);
    world.run(20);
    // The first format makes room for the second.
    assert!(matches!(world.player.phase, Phase::Changing { .. }));
    world.player.reopen(world.now);
    world.run(500);
    assert_eq!(world.card.borrow().opened, 2);
    assert_eq!(world.card.borrow().forgotten, 2);
    assert_eq!(world.summary().discarded_frames, 0);
}

#[test]
fn the_end_leaves_out_nothing_that_was_due() {
    let mut world = World::new(false);
    world.start();
    world.run(500);
    world.player.reopen(world.now);
    world.step();
    world.run(50);
    assert!(matches!(world.player.phase, Phase::Changing { .. }));
    world.player.finish(world.now);
    world.step();
    world.run(1500);
    assert_eq!(world.wait, Wait::Done);
    assert_eq!(world.card.borrow().opened, 2);
    let summary = world.summary();
    assert_eq!(summary.frames_in, 550 * TICK);
    let accounted = summary.frames_out + summary.discarded_frames;
    assert_eq!(summary.frames_in, accounted);
    let sound: Vec<f32> = world.heard().into_iter().filter(|s| *s != 0.0).collect();
    assert_same(&sound, &frames(0, 550 * TICK));
}

#[test]
fn the_end_comes_also_where_the_card_does_not_come_back() {
    let mut world = World::new(false);
    world.start();
    world.run(500);
    world.player.reopen(world.now);
    world.step();
    world.card.borrow_mut().absent = true;
    world.run(50);
    world.player.finish(world.now);
    world.step();
    world.run(1500);
    assert_eq!(world.wait, Wait::Done);
    let summary = world.summary();
    let accounted = summary.frames_out + summary.discarded_frames;
    assert_eq!((summary.frames_in, accounted), (550 * TICK, 550 * TICK));
}
