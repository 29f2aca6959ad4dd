// SPDX-License-Identifier: MIT OR GPL-2.0

//! The mixer's volume, as the card hears it.

use super::world::*;
use crate::player::*;

/// Frames over which a change is spread: 10 ms.
const SPREAD: u64 = 10 * TICK;

/// -20 dB.
const TENTH: f32 = 0.1;

/// The frames `from..to` of the application's stream, at a volume.
fn frames_at(factor: f32, from: u64, to: u64) -> Vec<f32> {
    let all = frames(from, to);
    all.into_iter().map(|sample| sample * factor).collect()
}

/// Checks the frames from `first` on, while the volume goes from one factor to another in equal
/// steps.
#[track_caller]
fn assert_fades(heard: &[f32], (before, after): (f32, f32), first: u64) {
    assert_eq!(heard.len() as u64, SPREAD);
    let (before, after) = (f64::from(before), f64::from(after));
    for (step, &sample) in (1..).zip(heard) {
        let factor = before + (after - before) * step as f64 / SPREAD as f64;
        let expected = (first + step) as f64 * factor;
        let error = f64::from(sample) / expected - 1.0;
        assert!(error.abs() < 1e-6, "step {step}: {sample}, not {expected}");
    }
}

/// What is heard of a stream in which the volume changed at the millisecond `at` of `end`, from one
/// factor to another.
#[track_caller]
fn assert_change(world: &World, (before, after): (f32, f32), at: u64, end: u64) {
    let (at, spread, end) = (at * TICK, at * TICK + SPREAD, end * TICK);
    let sound = world.heard_sound();
    assert_same(&sound[..at as usize], &frames_at(before, 0, at));
    let fade = &sound[at as usize..spread as usize];
    assert_fades(fade, (before, after), at);
    assert_same(&sound[spread as usize..], &frames_at(after, spread, end));
}

#[test]
fn a_change_is_heard_in_its_place() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    assert!(world.kernel.volume(-2000, 1));
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    assert_change(&world, (1.0, TENTH), 200, 400);
    let summary = world.summary();
    assert_eq!(summary.frames_out, 400 * TICK);
    assert_eq!((summary.discarded_frames, summary.sink_xruns), (0, 0));
}

#[test]
fn muted_is_silent_and_back_is_as_before() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    assert!(world.kernel.volume(0, 0));
    world.run(300);
    assert!(world.kernel.volume(0, 1));
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    let sound = world.heard_sound();
    assert_eq!(sound.len() as u64, 700 * TICK);
    let part = |from: u64, to: u64| &sound[(from * TICK) as usize..(to * TICK) as usize];
    assert_same(part(0, 200), &frames(0, 200 * TICK));
    assert!(part(210, 500).iter().all(|sample| sample.to_bits() == 0));
    assert_same(part(510, 700), &frames(510 * TICK, 700 * TICK));
    assert_eq!(world.summary().frames_out, 700 * TICK);
}

/// While nothing is to be heard, there is nothing that could click.
#[test]
fn a_change_in_silence_is_there_at_once() {
    let mut world = World::new(false);
    assert!(world.kernel.volume(-2000, 1));
    world.start();
    world.run(200);
    assert_same(
        &world.heard_sound(),
        &frames_at(TENTH, 0, world.heard_sound().len() as u64),
    );
    world.change(State::Pause);
    world.run(300);
    assert!(world.kernel.volume(0, 1));
    world.change(State::Resume);
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    let sounding: Vec<f32> = world
        .heard_sound()
        .into_iter()
        .filter(|&sample| sample != 0.0)
        .collect();
    let (first, second) = sounding.split_at(200 * TICK as usize);
    assert_same(first, &frames_at(TENTH, 0, 200 * TICK));
    assert_same(second, &frames(200 * TICK, 400 * TICK));
}

/// Chunks that are larger than what is brought to its volume at once, into a card that takes them
/// bit by bit.
#[test]
fn large_chunks_are_heard_whole() {
    let mut world = World::new(false);
    let chunk = 3000;
    assert!(world.kernel.format(RATE, 1, chunk as u32));
    assert!(world.kernel.state(State::Start, 0));
    let play = |world: &mut World| {
        let first = world.position;
        let audio = frames(first, first + chunk);
        assert!(world.kernel.audio(1, first, u64::MAX, &audio));
        world.position += chunk;
    };
    for _ in 0..2 {
        play(&mut world);
    }
    assert!(world.kernel.volume(-2000, 1));
    for _ in 0..3 {
        play(&mut world);
    }
    world.change(State::Stop);
    world.run(1500);
    let sound = world.heard_sound();
    let (before, after) = sound.split_at(2 * chunk as usize);
    assert_same(before, &frames(0, 2 * chunk));
    let (fade, after) = after.split_at(SPREAD as usize);
    assert_fades(fade, (1.0, TENTH), 2 * chunk);
    assert_same(after, &frames_at(TENTH, 2 * chunk + SPREAD, 5 * chunk));
    let summary = world.summary();
    assert_eq!((summary.frames_out, summary.chunks), (5 * chunk, 5));
}

#[test]
fn a_player_that_does_not_care_plays_at_unity() {
    let mut world = World::at_volume(false, None);
    assert!(world.kernel.volume(-2000, 1));
    world.start();
    world.run(200);
    assert!(world.kernel.volume(0, 0));
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    assert_same(&world.heard_sound(), &frames(0, 400 * TICK));
}
