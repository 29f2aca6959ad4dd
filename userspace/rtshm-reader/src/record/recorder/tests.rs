// SPDX-License-Identifier: MIT OR GPL-2.0

//! From a ring in a memfd to files.

use std::path::PathBuf;

use hound::WavReader;
use rtshm_abi::record::{RESYNC, SPANS_STREAMS};
use tempfile::TempDir;

use super::*;
use crate::fake::Fake;

const MS: u64 = SECOND / 1000;

/// A card, a recorder and a directory.
struct World {
    kernel: Fake,
    consumer: Consumer,
    recorder: Recorder,
    dir: TempDir,
    /// Frames of the stream so far.
    position: u64,
    channels: u32,
    now: u64,
}

fn settings() -> Settings {
    Settings {
        container: Container::Wav,
        gaps: Gaps::Silence,
        apply_volume: false,
        once: false,
        duration: None,
    }
}

/// The sample at this place of a stream.
fn sample(index: u64) -> f32 {
    (1 + index % 32_767) as f32 / 32_768.0
}

fn samples(range: std::ops::Range<u64>) -> Vec<f32> {
    range.map(sample).collect()
}

impl World {
    fn new(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = match settings.container {
            Container::Wav => "song.wav",
            Container::Raw => "song.raw",
        };
        let target = Target::new(&dir.path().join(name), false).unwrap();
        Self::with_target(settings, target, dir)
    }

    fn with_target(settings: Settings, target: Target, dir: TempDir) -> Self {
        let kernel = Fake::new();
        let consumer = kernel.consumer().unwrap();
        let notes = Notes::new(false, true);
        Self {
            kernel,
            consumer,
            recorder: Recorder::new(settings, target, Summary::default(), notes),
            dir,
            position: 0,
            channels: 2,
            now: 1000 * SECOND,
        }
    }

    fn start(&mut self, rate: u32, channels: u32) {
        (self.position, self.channels) = (0, channels);
        assert!(self.kernel.format(rate, channels, 480));
        assert!(self.kernel.state(State::Start, 0));
    }

    /// Plays so many frames in chunks of 480.
    fn play(&mut self, frames: u64) {
        let end = self.position + frames;
        while self.position < end {
            let count = (end - self.position).min(480);
            let channels = u64::from(self.channels);
            let first = self.position * channels;
            let audio = samples(first..first + count * channels);
            while !self
                .kernel
                .audio(self.channels, self.position, self.now, &audio)
            {
                self.step();
            }
            self.position += count;
        }
    }

    fn change(&mut self, state: State) {
        assert!(self.kernel.state(state, self.position));
    }

    fn lose(&mut self, frames: u64) {
        assert!(self.kernel.lost(frames, 0, self.position));
        self.position += frames;
    }

    fn step(&mut self) -> Wait {
        self.recorder.step(&mut self.consumer, self.now).unwrap()
    }

    fn conclude(&mut self) -> Summary {
        self.step();
        self.recorder.conclude().unwrap();
        self.recorder.summary().clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Rate, channels and samples of a file.
    fn read(&self, name: &str) -> (u32, u16, Vec<f32>) {
        let mut reader = WavReader::open(self.path(name)).unwrap();
        let spec = reader.spec();
        let samples = reader.samples().map(Result::unwrap).collect();
        (spec.sample_rate, spec.channels, samples)
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn streams_of_a_format_follow_each_other_in_a_file() {
    let mut world = World::new(settings());
    world.start(48_000, 2);
    world.play(1000);
    world.change(State::Pause);
    world.step();
    world.now += 60 * SECOND;
    world.change(State::Resume);
    world.play(500);
    world.change(State::Stop);
    world.start(48_000, 2);
    world.play(7);
    world.change(State::Stop);
    let summary = world.conclude();
    let expected = [samples(0..3000), samples(0..14)].concat();
    assert_eq!(world.read("song.wav"), (48_000, 2, expected));
    assert_eq!(world.files(), ["song.wav"]);
    assert_eq!((summary.streams, summary.frames_out), (2, 1507));
    assert_eq!((summary.silence_frames, summary.lost_records), (0, 0));
}

#[test]
fn another_rate_or_number_of_channels_begins_another_file() {
    let mut world = World::new(settings());
    for (rate, channels) in [(48_000, 2), (44_100, 2), (44_100, 1), (48_000, 2)] {
        world.start(rate, channels);
        world.play(1000);
        world.change(State::Stop);
    }
    // What is never played leaves no file.
    world.start(8_000, 2);
    world.change(State::Stop);
    let summary = world.conclude();
    let names = ["song-2.wav", "song-3.wav", "song-4.wav", "song.wav"];
    assert_eq!(world.files(), names);
    assert_eq!(world.read("song.wav"), (48_000, 2, samples(0..2000)));
    assert_eq!(world.read("song-2.wav"), (44_100, 2, samples(0..2000)));
    assert_eq!(world.read("song-3.wav"), (44_100, 1, samples(0..1000)));
    assert_eq!(world.read("song-4.wav"), (48_000, 2, samples(0..2000)));
    let files: Vec<_> = summary.files.iter().map(|file| file.frames).collect();
    assert_eq!((files, summary.frames_out), (vec![1000; 4], 4000));
}

#[test]
fn lost_frames_keep_their_place() {
    for (gaps, silence) in [(Gaps::Silence, 300), (Gaps::Skip, 0)] {
        let mut world = World::new(Settings { gaps, ..settings() });
        world.start(48_000, 2);
        world.play(1000);
        world.lose(300);
        world.play(10);
        let summary = world.conclude();
        let gap = vec![0.0; silence * 2];
        let expected = [samples(0..2000), gap, samples(2600..2620)].concat();
        assert_eq!(world.read("song.wav").2, expected);
        assert_eq!(summary.frames_out, 1010 + silence as u64);
        assert_eq!(summary.silence_frames, silence as u64);
        assert_eq!((summary.lost_frames, summary.lost_records), (300, 1));
    }
}

/// What a consumer is told that attaches in the middle, and one that has lost count.
#[test]
fn what_is_under_way_is_joined() {
    let mut world = World::new(settings());
    world.kernel.lost(5, 0, 0); // no format, no place
    for lost in [0, 96] {
        world.position += lost;
        if lost != 0 {
            assert!(world.kernel.lost(lost, SPANS_STREAMS, world.position));
        }
        let format = rtshm_abi::record::Format {
            rate: 48_000,
            channels: 2,
            format: 2,
            period_frames: 1024,
            buffer_frames: 4096,
            chunk_frames: 480,
            reserved: [0; 2],
        };
        let position = world.position;
        world
            .kernel
            .put(rtshm_abi::record::FORMAT, RESYNC, position, &format);
        world.kernel.state_with(State::Start, RESYNC, position);
        world.play(480);
    }
    let summary = world.conclude();
    let gap = vec![0.0; 192];
    let expected = [samples(0..960), gap, samples(1152..2112)].concat();
    assert_eq!(world.read("song.wav").2, expected);
    assert_eq!((summary.streams, summary.lost_frames), (1, 101));
}

#[test]
fn a_duration_is_exact_to_the_frame() {
    // 0.1 s and 1 s are whole numbers of frames, 10 us at 48 kHz are not quite one.
    for (micros, rate, frames) in [
        (100_000, 44_100, 4410),
        (1_000_000, 48_000, 48_000),
        (1_000_000, 44_100, 44_100),
        (10_000, 48_000, 480),
        (10, 192_000, 1),
    ] {
        let duration = Some(Duration::from_micros(micros));
        let mut world = World::new(Settings {
            duration,
            ..settings()
        });
        world.start(rate, 2);
        world.play(frames - 1);
        if frames > 1 {
            assert_ne!(world.step(), Wait::Done);
        }
        world.play(1000);
        assert_eq!(world.step(), Wait::Done);
        assert_eq!(world.conclude().frames_out, frames);
        assert_eq!(world.read("song.wav").2, samples(0..2 * frames));
    }
}

/// Silence counts, pauses do not, and files of all formats do.
#[test]
fn a_duration_is_that_of_what_is_written() {
    let mut world = World::new(Settings {
        duration: Some(Duration::from_millis(30)),
        ..settings()
    });
    world.start(48_000, 2);
    world.play(240);
    world.lose(240);
    world.step();
    world.now += 60 * SECOND;
    world.change(State::Stop);
    world.start(44_100, 2);
    world.play(1000);
    assert_eq!(world.step(), Wait::Done);
    let summary = world.conclude();
    assert_eq!(world.read("song.wav").2.len(), 2 * 480);
    assert_eq!(world.read("song-2.wav").2, samples(0..2 * 882));
    assert_eq!(
        (summary.frames_out, summary.silence_frames),
        (480 + 882, 240)
    );
}

#[test]
fn once_ends_with_the_stream() {
    let mut world = World::new(Settings {
        once: true,
        ..settings()
    });
    assert_eq!(world.step(), Wait::Ring(None));
    world.start(48_000, 2);
    world.play(100);
    world.change(State::Xrun);
    let over = world.now + SECOND / 2;
    assert_eq!(world.step(), Wait::Ring(Some(over)));
    // It goes on.
    world.now += LINGER - 1;
    world.start(48_000, 2);
    world.play(100);
    assert_ne!(world.step(), Wait::Done);
    world.now += 2 * LINGER;
    assert_ne!(world.step(), Wait::Done);
    world.change(State::Stop);
    world.start(48_000, 2);
    world.play(100);
    assert_eq!(world.step(), Wait::Done);
    assert_eq!(world.conclude().frames_out, 200);
}

#[test]
fn once_ends_where_nobody_goes_on_after_an_xrun() {
    let mut world = World::new(Settings {
        once: true,
        ..settings()
    });
    world.start(48_000, 2);
    world.play(100);
    world.change(State::Xrun);
    world.step();
    world.now += LINGER;
    assert_eq!(world.step(), Wait::Done);
}

/// Twice a second while a stream plays, at once when it stops, and nobody wakes for silence.
#[test]
fn the_file_is_brought_up_to_date() {
    let mut world = World::new(settings());
    world.step();
    world.start(48_000, 2);
    world.play(100);
    world.step();
    world.play(100);
    let due = world.now + SECOND / 2;
    assert_eq!(world.step(), Wait::Ring(Some(due)));
    world.now = due;
    world.step();
    assert_eq!(world.read("song.wav").2, samples(0..400));
    world.play(100);
    world.now += MS;
    world.step();
    assert_eq!(world.read("song.wav").2, samples(0..400));
    world.change(State::Pause);
    assert_eq!(world.step(), Wait::Ring(None));
    assert_eq!(world.read("song.wav").2, samples(0..600));
}

#[test]
fn it_finishes_with_what_was_due() {
    let mut world = World::new(settings());
    world.start(48_000, 2);
    world.play(480);
    world.recorder.finish(world.now + 1);
    world.now += 2;
    world.play(480);
    assert_eq!(world.step(), Wait::Done);
    assert_eq!(world.conclude().frames_out, 480);
}

#[test]
fn a_split_loses_nothing() {
    let mut world = World::new(settings());
    // There is nothing to split.
    world.recorder.split().unwrap();
    world.start(48_000, 2);
    world.play(700);
    world.step();
    world.recorder.split().unwrap();
    world.play(300);
    world.conclude();
    assert_eq!(world.read("song.wav").2, samples(0..1400));
    assert_eq!(world.read("song-2.wav").2, samples(1400..2000));
}

#[test]
fn the_volume_is_applied_where_it_is_asked_for() {
    for apply_volume in [false, true] {
        let mut world = World::new(Settings {
            apply_volume,
            ..settings()
        });
        world.kernel.volume(0, 0);
        world.start(48_000, 2);
        world.play(100);
        world.conclude();
        let expected = match apply_volume {
            true => vec![0.0; 200],
            false => samples(0..200),
        };
        assert_eq!(world.read("song.wav").2, expected);
    }
}

/// `/dev/full` takes nothing at all.
#[test]
fn a_full_disk_is_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::new("/dev/full".as_ref(), true).unwrap();
    let raw = Settings {
        container: Container::Raw,
        ..settings()
    };
    let mut world = World::with_target(raw, target, dir);
    world.start(48_000, 2);
    world.play(100);
    let error = world
        .recorder
        .step(&mut world.consumer, world.now)
        .unwrap_err();
    assert!(error.is::<WriteError>());
    assert_eq!(
        error.to_string(),
        "cannot write /dev/full: No space left on device; 0 frames (0.000 s) are safe in it"
    );
    world.recorder.conclude().unwrap();
}
