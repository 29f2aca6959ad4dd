// SPDX-License-Identifier: MIT OR GPL-2.0

//! Two clocks.

use rtshm::ClockRatio;

use super::world::*;
use crate::cli::SyncMode;
use crate::player::*;

/// A card that plays 999 of 1000 milliseconds.
const SLOW: Option<u64> = Some(1000);

fn world(mode: SyncMode) -> World {
    let mut world = World::new(false);
    world.player = world.player.synced(mode);
    world.slow = SLOW;
    world.tell_clock(ClockRatio::NOMINAL);
    world
}

/// Frames in the card, at most, while the application plays for so many seconds.
fn most_buffered(world: &mut World, seconds: u64) -> u64 {
    (0..seconds)
        .map(|_| {
            world.run(1000);
            world.card.borrow().buffered
        })
        .max()
        .unwrap()
}

#[test]
fn the_clock_is_asked_to_follow() {
    for mode in [SyncMode::Auto, SyncMode::Follow] {
        let mut world = world(mode);
        world.obeys = true;
        world.start();
        let most = most_buffered(&mut world, 60);
        let asked = world.asked_for().unwrap();
        // A missing millisecond now and then is no smooth clock.
        assert!((-1000.0..-800.0).contains(&asked.ppm()), "{asked}");
        assert!(most < LATENCY + 40 * TICK, "{most}");
        world.change(State::Stop);
        world.run(1000);
        assert_same(&world.heard_sound(), &frames(0, world.position));
        let summary = world.summary();
        assert_eq!(summary.sync, SyncMode::Follow);
        assert_eq!(summary.frames_in, summary.frames_out);
    }
}

#[test]
fn a_clock_that_does_not_follow_is_resampled_for() {
    let mut world = world(SyncMode::Auto);
    world.start();
    world.run(5000);
    assert_eq!(world.asked_for(), None);
    let most = most_buffered(&mut world, 60);
    // Without it the card would lag by 65 ms.
    assert!(most < LATENCY + 40 * TICK, "{most}");
    let summary = world.summary();
    assert_eq!(summary.sync, SyncMode::Resample);
    assert_eq!((summary.sink_xruns, summary.discarded_frames), (0, 0));
    assert!(summary.frames_out < summary.frames_in);
}

#[test]
fn a_clock_that_is_not_ours_is_resampled_for_from_the_start() {
    for (mode, ours) in [(SyncMode::Auto, false), (SyncMode::Resample, true)] {
        let mut world = world(mode);
        world.card.borrow_mut().clock_is_ours = ours;
        world.start();
        world.run(300);
        assert_eq!(world.summary().sync, SyncMode::Resample);
        world.run(10_000);
        assert_eq!(world.asked_for(), None);
        world.change(State::Stop);
        world.run(1000);
        // Each frame is its own number: what is heard rises to the last one.
        let heard = world.heard_sound();
        let (near_end, position) = (heard[heard.len() - 300], world.position as f32);
        assert!(
            (position - near_end).abs() < 1000.0,
            "{near_end} of {position}"
        );
        assert_eq!(world.summary().sink_xruns, 0);
    }
}

#[test]
fn who_wants_no_resampling_gets_none() {
    let mut world = world(SyncMode::Follow);
    world.card.borrow_mut().clock_is_ours = false;
    world.start();
    world.run(20_000);
    assert!(world.asked_for().is_some());
    world.change(State::Stop);
    world.run(1000);
    assert_same(&world.heard_sound(), &frames(0, world.position));
    assert_eq!(world.summary().sync, SyncMode::Follow);
}

#[test]
fn who_wants_no_sync_gets_none() {
    let mut world = world(SyncMode::None);
    world.start();
    let most = most_buffered(&mut world, 60);
    assert_eq!(world.asked_for(), None);
    assert!(most > LATENCY + 55 * TICK, "{most}");
    assert_eq!(world.summary().card_ppm, None);
}

/// The distance is another after it, and no reason to hurry.
#[test]
fn lost_frames_and_pauses_do_not_bend_the_clock() {
    let mut world = world(SyncMode::Follow);
    world.slow = None;
    world.obeys = true;
    world.start();
    world.run(20_000);
    for round in 0..3 {
        assert!(world.kernel.lost(20 * TICK, 0, world.position));
        world.position += 20 * TICK;
        world.run(5000);
        world.change(State::Pause);
        world.run(333);
        world.change(State::Resume);
        for _ in 0..50 {
            world.run(100);
            let asked = world.asked_for().unwrap().ppm();
            assert!(asked.abs() < 5.0, "{asked} ppm in round {round}");
        }
    }
}
