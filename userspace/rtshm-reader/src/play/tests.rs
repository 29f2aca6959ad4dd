// SPDX-License-Identifier: MIT OR GPL-2.0

//! From a ring in a memfd, filled in real time, to a PCM that writes to a file.

use std::thread::{self, JoinHandle};

use nix::sys::signal::{raise, Signal};
use rtshm::{Error, State};
use rtshm_abi::record;

use super::*;
use crate::fake::Fake;
use crate::pcm::tests::{opener, pcm_to_file};

const RATE: u32 = 48_000;
const CHUNK: u32 = 480;

/// A time stamp that is not past, however slow the machine is.
const NEVER_LATE: u64 = u64::MAX;

/// Ends the tests if one of them sleeps for ever.
fn watchdog() {
    nix::unistd::alarm::set(600);
}

/// The sample at this place of the stream, never silence.
fn sample(index: u64) -> f32 {
    (1 + index % 32_767) as f32 / 32_768.0
}

/// An application that plays `chunks` chunks of two channels, each when its time has come, and the
/// kernel below it.
fn application(mut kernel: Fake, chunks: u64, stop: bool) -> JoinHandle<Fake> {
    thread::spawn(move || {
        assert!(kernel.format(RATE, 2, CHUNK));
        assert!(kernel.state(State::Start, 0));
        let start = now();
        for chunk in 0..chunks {
            let due = start + chunk * SECOND / 100;
            while now() < due + SECOND / 100 {
                kernel.update_bell();
                thread::sleep(Duration::from_millis(1));
            }
            let first = chunk * u64::from(CHUNK) * 2;
            let audio: Vec<f32> = (first..first + u64::from(CHUNK) * 2).map(sample).collect();
            while !kernel.audio(2, first / 2, NEVER_LATE, &audio) {
                kernel.update_bell();
            }
        }
        if stop {
            assert!(kernel.state(State::Stop, chunks * u64::from(CHUNK)));
        }
        while kernel.read_count() != kernel.write_count() {
            kernel.update_bell();
            thread::sleep(Duration::from_millis(1));
        }
        kernel.update_bell();
        kernel
    })
}

fn player(name: &str, once: bool, consumer: &Consumer) -> Player<PcmOpener> {
    let summary = Summary {
        ring: RingUse::new(consumer.capacity()),
        ..Summary::default()
    };
    let volume = Some(Volume::unity());
    Player::new(opener(name), once, volume, summary, Notes::new(false, true))
}

/// What was written to the file, without the silence before and behind it.
fn sound(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap();
    let samples: Vec<f32> = bytes
        .chunks_exact(4)
        .map(bytemuck::pod_read_unaligned)
        .collect();
    let is_sound = |sample: &f32| *sample != 0.0;
    let first = samples.iter().position(is_sound).unwrap_or(0);
    let last = samples
        .iter()
        .rposition(is_sound)
        .map_or(first, |at| at + 1);
    samples[first..last].to_vec()
}

#[test]
fn a_stream_arrives_bit_for_bit() {
    watchdog();
    let signals = Signals::take_over().unwrap();
    let (_dir, file, name) = pcm_to_file("raw");
    let kernel = Fake::new();
    let mut consumer = kernel.consumer().unwrap();
    let mut player = player(&name, true, &consumer);
    let application = application(kernel, 30, true);
    play(&mut player, &mut consumer, &signals, Hangup::Renews).unwrap();
    application.join().unwrap();

    let expected: Vec<f32> = (0..30 * u64::from(CHUNK) * 2).map(sample).collect();
    assert!(sound(&file) == expected);
    let summary = player.summary();
    assert_eq!((summary.streams, summary.chunks), (1, 30));
    assert_eq!(summary.frames_in, 30 * u64::from(CHUNK));
    assert_eq!(summary.frames_out, summary.frames_in);
}

#[test]
fn a_signal_ends_it_with_what_was_played() {
    watchdog();
    let signals = Signals::take_over().unwrap();
    let (_dir, file, name) = pcm_to_file("raw");
    let kernel = Fake::new();
    let mut consumer = kernel.consumer().unwrap();
    let mut player = player(&name, false, &consumer);
    let kernel = application(kernel, 5, false);
    while !kernel.is_finished() {
        player.step(&mut consumer, now()).unwrap();
    }
    raise(Signal::SIGTERM).unwrap();
    play(&mut player, &mut consumer, &signals, Hangup::Renews).unwrap();
    drop(kernel);
    let expected: Vec<f32> = (0..5 * u64::from(CHUNK) * 2).map(sample).collect();
    assert!(sound(&file) == expected);
}

#[test]
fn a_corrupt_ring_ends_it_with_the_reason() {
    watchdog();
    let signals = Signals::take_over().unwrap();
    let mut kernel = Fake::new();
    let mut consumer = kernel.consumer().unwrap();
    kernel.push(record::FORMAT, 0, 0, &[&[0; 8]]);
    kernel.update_bell();
    let mut player = player("null", false, &consumer);
    let error = play(&mut player, &mut consumer, &signals, Hangup::Renews).unwrap_err();
    assert!(matches!(
        error.downcast_ref::<Error>(),
        Some(Error::Malformed { at: 0, .. })
    ));
}

#[test]
fn a_consumer_found_faulty_ends_it() {
    watchdog();
    let signals = Signals::take_over().unwrap();
    // Polls as the device does then: POLLERR.
    let (read, write) = nix::unistd::pipe().unwrap();
    drop(read);
    let kernel = Fake::new();
    let mut consumer = kernel.consumer_polling(write).unwrap();
    let mut player = player("null", false, &consumer);
    let error = play(&mut player, &mut consumer, &signals, Hangup::Renews).unwrap_err();
    assert!(matches!(error.downcast_ref::<Error>(), Some(Error::Faulty)));
}

#[test]
fn a_card_that_was_taken_away_ends_it() {
    watchdog();
    let signals = Signals::take_over().unwrap();
    // Polls as the device does then: POLLHUP.
    let (read, write) = nix::unistd::pipe().unwrap();
    drop(write);
    let kernel = Fake::new();
    let mut consumer = kernel.consumer_polling(read).unwrap();
    let mut player = player("null", false, &consumer);
    let error = play(&mut player, &mut consumer, &signals, Hangup::Renews).unwrap_err();
    assert!(matches!(error.downcast_ref::<Error>(), Some(Error::Gone)));
}

mod hangup;
