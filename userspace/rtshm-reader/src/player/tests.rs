// SPDX-License-Identifier: MIT OR GPL-2.0

//! What the player does, in simulated time.

mod pace;
mod reopen;
mod volume;
mod world;

use rtshm_abi::record;

use super::*;
use crate::sink::{Broken, OpenError};

use self::world::*;

#[test]
fn a_stream_is_heard_whole_and_then_the_card_is_closed() {
    let mut world = World::new(false);
    world.start();
    world.run(1000);
    world.change(State::Stop);
    world.run(599);
    assert!(world.card.borrow().open);
    world.run(2);
    assert!(!world.card.borrow().open);
    assert_same(&world.heard_sound(), &frames(0, 1000 * TICK));
    assert_eq!(world.card.borrow().started_with, [LATENCY]);
    // 100 ms ahead, then half a second of silence.
    assert_eq!(world.heard().len() as u64, 1500 * TICK);
    let summary = world.summary();
    assert_eq!((summary.frames_in, summary.frames_out), (48_000, 48_000));
    assert_eq!((summary.streams, summary.chunks), (1, 1000));
    assert_eq!((summary.discarded_frames, summary.sink_xruns), (0, 0));
}

#[test]
fn nobody_playing_wakes_nobody() {
    let mut world = World::new(false);
    world.step();
    world.run(10_000);
    world.start();
    world.run(300);
    world.change(State::Stop);
    world.run(1000);
    let steps = world.steps;
    world.run(60_000);
    assert_eq!(world.steps, steps);
    assert_eq!(world.wait, Wait::Ring(None));
}

#[test]
fn a_stream_shorter_than_the_latency_is_heard() {
    let mut world = World::new(false);
    world.start();
    world.run(30);
    world.change(State::Stop);
    world.run(700);
    assert_same(&world.heard_sound(), &frames(0, 30 * TICK));
    assert!(!world.card.borrow().open);
}

#[test]
fn a_stream_of_no_frames_is_no_trouble() {
    let mut world = World::new(false);
    world.start();
    world.change(State::Stop);
    world.run(1000);
    assert!(world.heard_sound().is_empty());
    assert!(!world.card.borrow().open);
    assert_eq!(world.summary().sink_xruns, 0);
}

#[test]
fn the_next_stream_follows_without_reopening() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    world.change(State::Stop);
    world.run(300);
    world.start();
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    let card = world.card.borrow();
    assert_eq!((card.opened, card.started_with.len()), (1, 1));
    drop(card);
    let sound = world.heard_sound();
    let (first, rest) = sound.split_at(200 * TICK as usize);
    assert_same(first, &frames(0, 200 * TICK));
    let gap = rest.iter().position(|&sample| sample != 0.0).unwrap();
    assert_same(&rest[gap..], &frames(200 * TICK, 400 * TICK));
    // 300 ms passed in between, and each stream is heard 100 ms after it was played.
    assert!((295 * TICK..305 * TICK).contains(&(gap as u64)), "{gap}");
    assert_eq!(world.summary().sink_xruns, 0);
}

#[test]
fn every_stream_is_heard_after_the_latency() {
    let mut world = World::new(false);
    world.start();
    world.run(300);
    let age = world.age();
    assert!((LATENCY..LATENCY + 30 * TICK).contains(&age), "{age}");
    for pause in [210, 223, 236, 249] {
        world.change(State::Pause);
        world.run(pause);
        world.change(State::Resume);
        world.run(300);
        // Within the time it takes to wake.
        let age = world.age();
        assert!(
            (LATENCY..=LATENCY + TICK).contains(&age),
            "{age} after {pause} ms"
        );
    }
}

#[test]
fn streams_are_counted_when_they_start() {
    let mut world = World::new(false);
    world.start();
    for (flags, streams) in [(0, 2), (record::RESYNC, 2), (0, 3)] {
        // Of the stop in between nothing was told.
        assert!(world.kernel.state_with(State::Start, flags, 0));
        world.run(50);
        assert_eq!(world.summary().streams, streams);
    }
    world.change(State::Stop);
    assert!(world.kernel.state_with(State::Start, record::RESYNC, 0));
    world.run(50);
    assert_eq!(world.summary().streams, 4);
}

#[test]
fn another_format_waits_for_the_last_to_be_heard() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    world.change(State::Stop);
    world.start_with(44_100);
    world.run(149);
    assert_eq!(world.card.borrow().opened, 1);
    assert_same(&world.heard_sound(), &frames(0, 200 * TICK));
    world.run(2);
    assert_eq!(world.card.borrow().opened, 2);
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    let sound = world.heard_sound();
    let second = frames(200 * TICK, 551 * TICK);
    assert_same(&sound[sound.len() - second.len()..], &second);
    assert_eq!(world.summary().frames_out, 551 * TICK);
}

#[test]
fn larger_chunks_in_the_same_format_reopen_only_where_they_must() {
    let mut world = World::new(false);
    for (chunk_frames, opened) in [
        (TICK, 1),
        (LATENCY - 2 * PERIOD, 1),
        (LATENCY, 2),
        (TICK, 2),
    ] {
        assert!(world.kernel.format(RATE, 1, chunk_frames as u32));
        assert!(world.kernel.state(State::Start, 0));
        world.playing = true;
        world.run(300);
        world.change(State::Stop);
        world.run(200);
        assert_eq!(world.card.borrow().opened, opened, "{chunk_frames}");
    }
}

#[test]
fn a_pause_is_silence() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    world.change(State::Pause);
    world.run(5000);
    let steps = world.steps;
    world.run(1000);
    assert!(world.steps - steps <= 25, "it wakes too often");
    assert!(world.card.borrow().running);
    world.change(State::Resume);
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    let sound = world.heard_sound();
    let sounding: Vec<f32> = sound.into_iter().filter(|&sample| sample != 0.0).collect();
    assert_same(&sounding, &frames(0, 400 * TICK));
    let summary = world.summary();
    assert_eq!((summary.sink_xruns, summary.streams), (0, 1));
}

#[test]
fn a_pause_before_the_latency_is_reached_loses_nothing() {
    let mut world = World::new(false);
    world.start();
    world.run(50);
    world.change(State::Pause);
    world.run(300);
    assert_same(&world.heard_sound(), &frames(0, 50 * TICK));
}

#[test]
fn a_suspended_stream_is_a_pause() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    world.change(State::Suspend);
    world.run(5000);
    assert!(world.card.borrow().running);
    world.change(State::Resume);
    world.run(200);
    world.change(State::Suspend);
    world.change(State::Stop);
    world.run(1000);
    let sound = world.heard_sound();
    let sounding: Vec<f32> = sound.into_iter().filter(|&sample| sample != 0.0).collect();
    assert_same(&sounding, &frames(0, 400 * TICK));
    let summary = world.summary();
    assert_eq!((summary.sink_xruns, summary.streams), (0, 1));
    assert!(!world.card.borrow().open);
}

#[test]
fn attaching_to_a_paused_stream_opens_nothing_yet() {
    let mut world = World::new(false);
    assert!(world.kernel.format(RATE, 1, TICK as u32));
    assert!(world.kernel.state_with(State::Pause, record::RESYNC, 77));
    world.run(100);
    assert_eq!(world.card.borrow().opened, 0);
    world.change(State::Resume);
    world.run(300);
    assert_eq!(world.card.borrow().opened, 1);
    assert_eq!(world.summary().streams, 1);
}

#[test]
fn attaching_to_a_draining_stream_plays_the_rest() {
    let mut world = World::new(false);
    assert!(world.kernel.format(RATE, 1, TICK as u32));
    assert!(world.kernel.state_with(State::Drain, record::RESYNC, 77));
    world.playing = true;
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    assert_same(&world.heard_sound(), &frames(0, 200 * TICK));
    assert_eq!(world.summary().streams, 1);
}

#[test]
fn a_stream_whose_start_was_not_told_joins_the_silence_of_the_last() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    world.change(State::Stop);
    world.run(300);
    assert!(world.kernel.state_with(State::Drain, record::RESYNC, 77));
    world.playing = true;
    world.run(600);
    world.change(State::Stop);
    world.run(1000);
    let card = world.card.borrow();
    assert_eq!((card.opened, card.open), (1, false));
    drop(card);
    let sounding: Vec<f32> = world
        .heard_sound()
        .into_iter()
        .filter(|&s| s != 0.0)
        .collect();
    assert_same(&sounding, &frames(0, 800 * TICK));
    let summary = world.summary();
    assert_eq!((summary.streams, summary.sink_xruns), (2, 0));
}

#[test]
fn a_few_lost_frames_are_silence_in_their_place() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    assert!(world.kernel.lost(10 * TICK, 0, 200 * TICK));
    world.position += 10 * TICK;
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    let mut expected = frames(0, 200 * TICK);
    expected.extend(vec![0.0; 10 * TICK as usize]);
    expected.extend(frames(210 * TICK, 410 * TICK));
    assert_same(&world.heard_sound(), &expected);
    let summary = world.summary();
    assert_eq!((summary.lost_frames, summary.lost_records), (10 * TICK, 1));
    assert_eq!(summary.frames_out, 400 * TICK);
}

#[test]
fn many_lost_frames_are_not_waited_for() {
    let mut world = World::new(false);
    world.start();
    world.run(200);
    for (frames, flags) in [(LATENCY + 1, 0), (u64::MAX, 0), (5, record::SPANS_STREAMS)] {
        assert!(world.kernel.lost(frames, flags, 200 * TICK));
    }
    world.run(200);
    world.change(State::Stop);
    world.run(1000);
    let sounding: Vec<f32> = world
        .heard_sound()
        .into_iter()
        .filter(|&s| s != 0.0)
        .collect();
    assert_same(&sounding, &frames(0, 400 * TICK));
    let summary = world.summary();
    assert_eq!((summary.lost_frames, summary.lost_records), (u64::MAX, 3));
}

#[test]
fn being_held_up_costs_an_xrun_and_no_more_latency_than_before() {
    // The second time the ring is more than half full.
    for held_up in [125, 250] {
        let mut world = World::new(false);
        world.start();
        world.run(500);
        world.pass(held_up, false);
        world.run(500);
        let summary = world.summary();
        assert_eq!(summary.sink_xruns, 1);
        assert!(summary.discarded_frames > 0);
        let age = world.age();
        assert!(age <= LATENCY + 15 * TICK, "{age} frames late");
        world.change(State::Stop);
        world.run(1000);
        let summary = world.summary();
        assert_eq!(summary.frames_in, (1000 + held_up) * TICK);
        assert_eq!(
            summary.frames_in,
            summary.frames_out + summary.discarded_frames
        );
    }
}

#[test]
fn a_ring_that_filled_up_is_caught_up_with() {
    let mut world = World::new(false);
    world.start();
    world.run(500);
    // 64 KiB of ring are 250 ms with all headers.
    world.playing = false;
    let held = world.position;
    for chunk in 0.. {
        let audio = [1e9; TICK as usize];
        let position = held + chunk * TICK;
        if !world.kernel.audio(1, position, world.now, &audio) {
            break;
        }
    }
    world.now += 2 * SECOND;
    world.step();
    assert!(world.kernel.lost(96_000, 0, held));
    world.playing = true;
    world.position += 96_000;
    world.run(1000);
    let age = world.age();
    assert!(age <= LATENCY + 15 * TICK, "{age} frames late");
}

#[test]
fn a_card_that_comes_late_to_its_sound_makes_the_player_wait() {
    let mut world = World::new(false);
    world.slow = Some(10);
    world.start();
    world.run(1500);
    assert_eq!(world.summary().discarded_frames, 0);
    assert!(world.kernel.write_count() - world.kernel.read_count() > 4096);
    world.change(State::Stop);
    world.run(2000);
    assert_same(&world.heard_sound(), &frames(0, 1500 * TICK));
}

#[test]
fn a_card_that_lies_about_its_room_does_not_make_it_spin() {
    for pause in [false, true] {
        let mut world = World::new(false);
        world.start();
        world.run(300);
        if pause {
            world.change(State::Pause);
            world.run(10);
        }
        world.card.borrow_mut().deaf = true;
        let steps = world.steps;
        world.run(85);
        assert!(world.steps - steps < 15, "{} steps", world.steps - steps);
    }
}

#[test]
fn a_card_that_takes_everything_at_once_does_not_make_it_spin() {
    let mut world = World::new(false);
    world.card.borrow_mut().bottomless = true;
    world.start();
    world.run(300);
    world.change(State::Pause);
    let steps = world.steps;
    world.run(1000);
    assert!(world.steps - steps <= 101, "{} steps", world.steps - steps);
    world.change(State::Resume);
    world.run(300);
    world.change(State::Stop);
    world.run(1000);
    assert!(!world.card.borrow().open);
    let sounding: Vec<f32> = world
        .heard_sound()
        .into_iter()
        .filter(|&s| s != 0.0)
        .collect();
    assert_same(&sounding, &frames(0, 600 * TICK));
}

#[test]
fn a_card_that_is_lost_is_looked_for_and_the_ring_kept_empty() {
    let mut world = World::new(false);
    world.start();
    world.run(500);
    world.card.borrow_mut().fails = Some(Broken::Lost(19));
    world.card.borrow_mut().absent = true;
    world.run(3500);
    assert!(!world.card.borrow().open);
    assert_eq!(world.kernel.write_count(), world.kernel.read_count());
    world.card.borrow_mut().absent = false;
    world.run(1500);
    assert!(world.card.borrow().running);
    world.change(State::Stop);
    world.run(1000);
    let summary = world.summary();
    assert_eq!((summary.sink_losses, summary.sink_xruns), (1, 0));
    assert_eq!(summary.frames_in, 5500 * TICK);
    assert_eq!(
        summary.frames_in,
        summary.frames_out + summary.discarded_frames
    );
    let sound = world.heard_sound();
    assert_eq!(*sound.last().unwrap(), (5500 * TICK) as f32);
}

#[test]
fn a_card_that_is_lost_is_forgotten_when_the_stream_ends() {
    let mut world = World::new(false);
    world.card.borrow_mut().absent = true;
    world.start();
    world.run(1500);
    world.change(State::Stop);
    world.run(1);
    assert_eq!(world.wait, Wait::Ring(None));
    world.card.borrow_mut().absent = false;
    world.start();
    world.run(200);
    assert!(world.card.borrow().running);
    assert_eq!(world.summary().sink_losses, 1);
}

#[test]
fn a_card_that_is_lost_in_a_pause_is_reopened_after_it() {
    let mut world = World::new(false);
    world.start();
    world.run(300);
    world.change(State::Pause);
    world.run(200);
    world.card.borrow_mut().fails = Some(Broken::Lost(19));
    world.run(2000);
    assert_eq!(world.wait, Wait::Ring(None));
    assert_eq!(world.card.borrow().opened, 1);
    world.change(State::Resume);
    world.run(300);
    assert!(world.card.borrow().running);
    assert_eq!(world.summary().sink_losses, 1);
}

#[test]
fn an_unfit_card_ends_it() {
    let mut world = World::new(false);
    world.card.borrow_mut().unfit = true;
    world.start();
    let error = world
        .player
        .step(&mut world.consumer, world.now)
        .unwrap_err();
    assert!(error.is::<OpenError>());
}

#[test]
fn once_ends_with_the_first_stream() {
    let mut world = World::new(true);
    world.step();
    world.run(100);
    world.start();
    world.run(300);
    world.change(State::Stop);
    world.start();
    world.run(1000);
    assert_eq!(world.wait, Wait::Done);
    assert_same(&world.heard_sound(), &frames(0, 300 * TICK));
    assert_eq!(world.summary().streams, 1);
}

#[test]
fn once_goes_on_after_an_xrun_of_the_application() {
    let mut world = World::new(true);
    world.start();
    world.run(300);
    world.change(State::Xrun);
    world.run(20);
    world.start();
    world.run(300);
    assert_ne!(world.wait, Wait::Done);
    world.change(State::Xrun);
    world.run(1000);
    assert_eq!(world.wait, Wait::Done);
    assert_eq!(world.summary().frames_out, 600 * TICK);
}

#[test]
fn finishing_plays_what_was_played_until_then() {
    let mut world = World::new(false);
    world.start();
    world.run(300);
    let asked = world.position;
    world.player.finish(world.now);
    world.step();
    // The application goes on.
    world.run(1000);
    assert_eq!(world.wait, Wait::Done);
    assert_same(&world.heard_sound(), &frames(0, asked));
}

#[test]
fn finishing_with_a_full_sink_plays_what_was_played_until_then() {
    let mut world = World::new(false);
    world.slow = Some(10);
    world.start();
    world.run(1300);
    assert_eq!(world.wait, Wait::Sink);
    let asked = world.position;
    world.player.finish(world.now);
    world.run(2000);
    assert_eq!(world.wait, Wait::Done);
    assert_same(&world.heard_sound(), &frames(0, asked));
}

#[test]
fn finishing_ends_between_chunks_that_came_before_they_are_due() {
    const CHUNK: u64 = 47;
    let mut world = World::new(false);
    world.start();
    world.playing = false;
    for index in 0..250 {
        let first = index * CHUNK;
        let due = world.now + first * SECOND / u64::from(RATE);
        assert!(world
            .kernel
            .audio(1, first, due, &frames(first, first + CHUNK)));
    }
    world.step();
    // In the middle of a chunk.
    let buffered = world.card.borrow().buffered;
    assert_ne!(buffered % CHUNK, 0);
    world.player.finish(world.now);
    world.run(2000);
    assert_eq!(world.wait, Wait::Done);
    assert_same(
        &world.heard_sound(),
        &frames(0, buffered.next_multiple_of(CHUNK)),
    );
    let summary = world.summary();
    assert_eq!(summary.frames_in, summary.frames_out);
}

#[test]
fn finishing_without_a_stream_is_done_at_once() {
    let mut world = World::new(false);
    world.step();
    world.player.finish(world.now);
    world.step();
    assert_eq!(world.wait, Wait::Done);
}

#[test]
fn finishing_in_a_pause_or_without_a_card_ends() {
    let mut world = World::new(false);
    world.start();
    world.run(300);
    world.change(State::Pause);
    world.run(100);
    world.player.finish(world.now);
    world.step();
    world.run(700);
    assert_eq!(world.wait, Wait::Done);

    let mut world = World::new(false);
    world.card.borrow_mut().absent = true;
    world.start();
    world.run(300);
    world.player.finish(world.now);
    world.step();
    assert_eq!(world.wait, Wait::Done);
}

#[test]
fn an_xrun_in_silence_is_mended() {
    let mut world = World::new(false);
    world.start();
    world.run(300);
    world.change(State::Pause);
    world.run(100);
    world.pass(300, false);
    world.run(300);
    assert!(world.card.borrow().running);
    assert_eq!(world.summary().sink_xruns, 1);
    world.change(State::Resume);
    world.run(300);
    world.change(State::Stop);
    world.run(1000);
    let sounding: Vec<f32> = world
        .heard_sound()
        .into_iter()
        .filter(|&s| s != 0.0)
        .collect();
    assert_same(&sounding, &frames(0, 600 * TICK));
}

#[test]
fn the_ring_wakes_for_a_quarter_of_the_latency() {
    let mut world = World::new(false);
    world.start();
    world.run(1);
    let bytes = world.kernel.consumer_page().wake_bytes.load_relaxed();
    assert_eq!(u64::from(bytes), LATENCY / 4 * 4);
}
