// SPDX-License-Identifier: MIT OR GPL-2.0

//! Recording what is played: the same bytes, silence where nothing is played, and nobody disturbed.
//!
//! A recording is as long as the time it took. Where it is compared with the player's clock a frame
//! or two are left to rounding; the player's times are those that the consumer is told.

use std::fs;
use std::process::{Command, Stdio};

use alsa::pcm::Format;
use alsa::Direction;
use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use rtshm::State;

use super::tests;
use crate::app::{aplay, App, Setup};
use crate::hw_params::{self, HwParams, Interval};
use crate::material::{noise, numbered, Material};
use crate::module;
use crate::process::{Player, Role};
use crate::raw_pcm::RawPcm;
use crate::recording::{open, Microphone};
use crate::tape::{only_take, takes, Recorder, Take};
use crate::time::{frames, now, sleep_ms, wait_until};

/// A test for each format and access.
macro_rules! combinations {
    ($($name:ident: $format:ident, $mmap:literal, $planar:literal;)+) => {
        $(fn $name() -> Result<()> {
            records_what_is_played(Format::$format, $mmap, $planar)
        })+

        tests!(recording: $($name,)+ arecord_records, silence_is_silent, two_streams,
            as_long_as_it_takes, joins_in_the_middle, layout_is_dictated, another_layout_is_silent,
            eight_at_once, never_read, killed, come_and_go, player_pauses, recorder_pauses, linked,
            linked_and_refused,
            pointer_is_continuous, player_wraps_around);
    };
}

combinations! {
    u8_rw_interleaved: U8, false, false;
    u8_mmap_planar: U8, true, true;
    s16_rw_interleaved: S16LE, false, false;
    s16_rw_planar: S16LE, false, true;
    s16_mmap_interleaved: S16LE, true, false;
    s16_mmap_planar: S16LE, true, true;
    s24_rw_planar: S24LE, false, true;
    s24_mmap_interleaved: S24LE, true, false;
    s24_3_rw_interleaved: S243LE, false, false;
    s24_3_rw_planar: S243LE, false, true;
    s24_3_mmap_interleaved: S243LE, true, false;
    s24_3_mmap_planar: S243LE, true, true;
    s32_rw_interleaved: S32LE, false, false;
    s32_mmap_planar: S32LE, true, true;
    float_rw_planar: FloatLE, false, true;
    float_mmap_interleaved: FloatLE, true, false;
}

/// More than a recorder can be behind: where delivery is eager and the rate 8 kHz, a period of 512
/// frames and 2 ms.
const LAG_MS: u64 = 120;

/// What a recorder of 48 kHz lags behind a player in periods of 512 frames: a chunk, of 256, and 2 ms;
/// where delivery is eager a period, which is less than four chunks, and 2 ms.
fn lag_frames() -> u64 {
    match module::is_eager() {
        true => 512 + 96,
        false => 256 + 96,
    }
}

/// A buffer of a second, or as large as can be: a busy host does not overrun it.
fn patient(setup: &Setup) -> Setup {
    with_period(setup, 512)
}

fn with_period(setup: &Setup, period: u32) -> Setup {
    let most = (4 << 20) / setup.frame_bytes() as u32;
    let periods = (most.min(setup.rate) / period).clamp(2, 1024);
    Setup {
        period,
        buffer: period * periods,
        ..*setup
    }
}

fn play(setup: &Setup, material: &Material) -> Result<()> {
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    pcm.set_up(&Setup {
        start_threshold: Some(u32::MAX),
        ..*setup
    })?;
    pcm.write(&material.bytes)?;
    pcm.drain()
}

/// Some numbers of channels and rates; the player and the recorder have the same access, and then
/// different ones.
fn records_what_is_played(format: Format, mmap: bool, planar: bool) -> Result<()> {
    module::ready()?;
    for (channels, rate) in [
        (1, 8_000),
        (2, 48_000),
        (5, 44_100),
        (64, 12_345),
        (3, 192_000),
    ] {
        for same in [true, false] {
            let setup = patient(&Setup {
                format,
                channels,
                rate,
                mmap,
                planar,
                ..Setup::default()
            });
            let recorder = Setup {
                mmap: mmap == same,
                planar: planar == same,
                ..with_period(&setup, 300)
            };
            record_and_compare(&setup, &recorder)
                .with_context(|| format!("{setup:?}, same access: {same}"))?;
        }
    }
    Ok(())
}

/// Records 20 ms of sound, and silence around it.
fn record_and_compare(player: &Setup, recorder: &Setup) -> Result<()> {
    let frames = u64::from(player.rate / 50).min(65_536) + 7;
    let material = noise(player.format, player.channels, frames, player.rate.into());
    let microphone = Microphone::start(recorder)?;
    sleep_ms(5);
    play(player, &material)?;
    sleep_ms(LAG_MS);
    microphone.stop()?.check_only(&material)
}

/// At the highest rate, which takes a machine that is never late: for the group `load`.
pub(super) fn records_at_768000() -> Result<()> {
    module::ready()?;
    for (format, planar) in [(Format::S16LE, false), (Format::FloatLE, true)] {
        let setup = patient(&Setup {
            format,
            channels: 2,
            rate: 768_000,
            planar,
            ..Setup::default()
        });
        record_and_compare(&setup, &with_period(&setup, 300))
            .with_context(|| format!("{setup:?}"))?;
    }
    Ok(())
}

/// The tool that everybody has.
fn arecord_records() -> Result<()> {
    module::ready()?;
    let setup = Setup::default();
    let material = noise(setup.format, setup.channels, 24_000, 1);
    let file = "/tmp/selftest-arecord.raw";
    let arecord = Command::new("arecord")
        .args(["-q", "-D", module::PCM, "-t", "raw", "-d", "3"])
        .args(["-f", "S16_LE", "-c", "2", "-r", "48000"])
        .arg(file)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start arecord")?;
    wait_until("arecord to start", || {
        let card = module::device()?.info()?.card;
        let status = fs::read_to_string(format!("/proc/asound/card{card}/pcm0c/sub0/status"))?;
        Ok(status.contains("RUNNING"))
    })?;
    aplay(&setup, &material)?;
    let output = arecord.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && said.is_empty(),
        "arecord: {said}"
    );
    let recorded = fs::read(file)?;
    fs::remove_file(file)?;
    ensure!(recorded.len() == 3 * 48_000 * 4, "{} bytes", recorded.len());
    let expected = material.by_aplay(setup.period).bytes;
    let first = recorded.iter().position(|byte| *byte != 0);
    let first = first.context("nothing was recorded")? / 4 * 4;
    ensure!(recorded[first..].starts_with(&expected), "other bytes");
    let behind = &recorded[first + expected.len()..];
    ensure!(behind.iter().all(|byte| *byte == 0), "sound behind the end");
    Ok(())
}

/// With nobody playing, in each format.
fn silence_is_silent() -> Result<()> {
    module::ready()?;
    for format in [Format::U8, Format::S16LE, Format::S243LE, Format::FloatLE] {
        let setup = patient(&Setup {
            format,
            ..Setup::default()
        });
        let microphone = Microphone::start(&setup)?;
        sleep_ms(30);
        let recording = microphone.stop()?;
        ensure!(recording.frames() >= 1_440, "{} frames", recording.frames());
        recording.rest().silence_to_the_end()?;
    }
    Ok(())
}

/// Frames from the end of one stream to the start of the next, by the consumer's times.
fn frames_between(first: &Take, second: &Take) -> u64 {
    let rate = first.format.rate;
    let end = first.changes[0].time + crate::time::nanos(first.frames(), rate);
    frames(second.changes[0].time - end, rate)
}

/// Two streams with silence between them, which is as long as it was, in one recording.
fn two_streams() -> Result<()> {
    module::ready()?;
    let setup = patient(&Setup::default());
    let consumer = Recorder::open(2)?;
    let microphone = Microphone::start(&setup)?;
    let materials = [1, 2].map(|seed| noise(setup.format, setup.channels, 3_000, seed));
    for material in &materials {
        play(&setup, material)?;
        sleep_ms(40);
    }
    sleep_ms(LAG_MS);
    let recording = microphone.stop()?;
    let takes = takes(&consumer.finish()?)?;
    let mut rest = recording.rest();
    rest.material(&materials[0].bytes)?;
    let silent = rest.material(&materials[1].bytes)?;
    rest.silence_to_the_end()?;
    let expected = frames_between(&takes[0], &takes[1]);
    ensure!(
        silent.abs_diff(expected) <= 2,
        "{silent} silent frames instead of {expected}"
    );
    for (take, material) in takes.iter().zip(&materials) {
        take.check_all_of(material)?;
    }
    Ok(())
}

/// A recording is as long as the time from its start to its end, with sound in it and without.
fn as_long_as_it_takes() -> Result<()> {
    module::ready()?;
    for rate in [8_000, 44_100, 192_000] {
        let setup = patient(&Setup {
            rate,
            ..Setup::default()
        });
        let microphone = Microphone::start(&setup)?;
        sleep_ms(20);
        play(&setup, &noise(setup.format, 2, u64::from(rate) / 20, 1))?;
        sleep_ms(LAG_MS);
        let recording = microphone.stop()?;
        let (started, ended) = (recording.started, recording.ended);
        let least = frames(ended.0 - started.1, rate).saturating_sub(2);
        let most = frames(ended.1 - started.0, rate) + 2;
        ensure!(
            (least..=most).contains(&recording.frames()),
            "{} frames in the time for {least} to {most}",
            recording.frames()
        );
    }
    Ok(())
}

/// A recorder that comes while something is played gets it from there on, a chunk and 2 ms behind.
fn joins_in_the_middle() -> Result<()> {
    module::ready()?;
    let setup = patient(&Setup::default());
    let material = numbered(1, 24_000);
    let consumer = Recorder::open(1)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    sleep_ms(100);
    let microphone = Microphone::start(&setup)?;
    app.pcm.drain()?;
    sleep_ms(LAG_MS);
    let recording = microphone.stop()?;
    let take = only_take(&consumer.finish()?)?;
    take.check_all_of(&material)?;
    let mut first = [0; 4];
    first.copy_from_slice(&recording.bytes[..4]);
    let first = u64::from(u32::from_le_bytes(first)) - 1;
    let expected = &material.bytes[first as usize * 4..];
    recording.rest().material(expected)?;
    // What was due at the start, behind by the lag, or where it was opened, if that was less before.
    let start = take.changes[0].time;
    let at = |time: u64| frames(time - start, 48_000);
    let least = at(recording.started.0).saturating_sub(lag_frames());
    ensure!(
        (least..=at(recording.started.1)).contains(&first),
        "it began at frame {first}, but {least} was due"
    );
    let mut rest = recording.rest();
    rest.material(expected)?;
    rest.silence_to_the_end()
}

/// What alsa-lib is offered while something else is configured.
fn offered() -> Result<(u64, Interval, Interval)> {
    let device = hw_params::Device::open(Direction::Capture)?;
    let mut params = HwParams::any();
    device.refine(&mut params)?;
    Ok((
        params.mask(hw_params::FORMAT),
        params.interval(hw_params::RATE),
        params.interval(hw_params::CHANNELS),
    ))
}

/// While a player has the card configured, a recorder can have that and nothing else.
fn layout_is_dictated() -> Result<()> {
    module::ready()?;
    let setup = patient(&Setup {
        format: Format::S243LE,
        channels: 7,
        rate: 12_345,
        ..Setup::default()
    });
    let wrong = [
        Setup {
            format: Format::S16LE,
            ..setup
        },
        Setup {
            channels: 8,
            ..setup
        },
        Setup {
            rate: 12_346,
            ..setup
        },
    ];
    let is_free = || -> Result<bool> {
        let (formats, rate, channels) = offered()?;
        let free = formats.count_ones() == 6
            && (rate.min, rate.max) == (8_000, 768_000)
            && (channels.min, channels.max) == (1, 64);
        Ok(free)
    };
    ensure!(is_free()?, "{:?}", offered()?);
    // One that was open before is told the same.
    let mut early = RawPcm::open(module::PCM, Direction::Capture)?;
    let mut player = RawPcm::open(module::PCM, Direction::Playback)?;
    ensure!(is_free()?, "open and not configured: {:?}", offered()?);
    player.set_up(&setup)?;
    let (formats, rate, channels) = offered()?;
    ensure!(formats == 1 << 32, "formats {formats:#x}");
    ensure!((rate.min, rate.max) == (12_345, 12_345), "{rate:?}");
    ensure!((channels.min, channels.max) == (7, 7), "{channels:?}");
    let mut late = RawPcm::open(module::PCM, Direction::Capture)?;
    for recorder in [&mut early, &mut late] {
        for wrong in &wrong {
            let refused = recorder.set_up(wrong);
            ensure!(refused == Err(Errno::EINVAL), "{wrong:?}: {refused:?}");
        }
        // Its own buffer is its own business.
        recorder.set_up(&Setup {
            period: 100,
            buffer: 1_000,
            mmap: true,
            planar: true,
            ..setup
        })?;
    }
    // Another configuration of the player is another layout.
    player.set_up(&Setup::default())?;
    let (formats, ..) = offered()?;
    ensure!(formats == 1 << 2, "formats {formats:#x}");
    player.free()?;
    ensure!(is_free()?, "not configured: {:?}", offered()?);
    player.set_up(&Setup::default())?;
    ensure!(!is_free()?, "configured again");
    drop(player);
    ensure!(is_free()?, "closed: {:?}", offered()?);
    late.set_up(&wrong[0])?;
    Ok(())
}

/// A recorder that was there first, with another layout: it records silence, as long as ever, and
/// what is played with its own layout after that.
fn another_layout_is_silent() -> Result<()> {
    module::ready()?;
    let setup = patient(&Setup::default());
    let others = [
        Setup {
            format: Format::S32LE,
            ..setup
        },
        Setup {
            channels: 1,
            ..setup
        },
        Setup {
            rate: 44_100,
            ..setup
        },
    ];
    let consumer = Recorder::open(4)?;
    let microphone = Microphone::start(&setup)?;
    for other in &others {
        play(other, &noise(other.format, other.channels, 2_000, 3))?;
    }
    let material = noise(setup.format, 2, 2_000, 4);
    play(&setup, &material)?;
    sleep_ms(LAG_MS);
    let recording = microphone.stop()?;
    recording.check_only(&material)?;
    let least = frames(recording.ended.0 - recording.started.1, setup.rate);
    ensure!(recording.frames() + 2 >= least, "too short");
    ensure!(takes(&consumer.finish()?)?.len() == 4);
    Ok(())
}

fn eight_at_once() -> Result<()> {
    module::ready()?;
    let setup = patient(&Setup::default());
    let material = noise(setup.format, setup.channels, 9_000, 8);
    let consumer = Recorder::open(1)?;
    let microphones: Vec<_> = (1..=8)
        .map(|number| {
            // Each reads at a pace of its own, from two seconds: a busy host overruns less.
            Microphone::start(&Setup {
                period: 100 * number,
                buffer: 100 * number * (1000 / number),
                mmap: number % 2 == 0,
                planar: number % 3 == 0,
                ..setup
            })
        })
        .collect::<Result<_>>()?;
    let ninth = RawPcm::open(module::PCM, Direction::Capture).err();
    ensure!(ninth == Some(Errno::EBUSY), "the ninth: {ninth:?}");
    play(&setup, &material)?;
    sleep_ms(LAG_MS);
    for (number, microphone) in (1..).zip(microphones) {
        let recording = microphone.stop()?;
        recording
            .check_only(&material)
            .with_context(|| format!("recorder {number}"))?;
    }
    only_take(&consumer.finish()?)?.check_all_of(&material)
}

/// A recorder that hangs ends by an xrun, as ALSA has it; nobody else notices.
fn never_read() -> Result<()> {
    module::ready()?;
    let before = module::status()?;
    let setup = patient(&Setup::default());
    let hanging = open(&Setup {
        period: 64,
        buffer: 256,
        ..setup
    })?;
    hanging.start()?;
    let microphone = Microphone::start(&setup)?;
    let consumer = Recorder::open(1)?;
    let material = noise(setup.format, 2, 12_000, 1);
    play(&setup, &material)?;
    sleep_ms(LAG_MS);
    // What alsa-lib calls `SND_PCM_STATE_XRUN`.
    ensure!(hanging.state() == 4, "state {}", hanging.state());
    let late = hanging.read(&mut [0; 400]);
    ensure!(late == Err(Errno::EPIPE), "{late:?}");
    hanging.prepare()?;
    hanging.start()?;
    ensure!(hanging.state() == 3, "state {}", hanging.state());
    microphone.stop()?.check_only(&material)?;
    only_take(&consumer.finish()?)?.check_all_of(&material)?;
    let after = module::status()?;
    ensure!(
        after.xruns == before.xruns && after.lost_frames == before.lost_frames,
        "the recorder's xrun is told as the player's: {after:?}"
    );
    Ok(())
}

/// Recorders that are killed, while something is played and while not.
fn killed() -> Result<()> {
    module::ready()?;
    let setup = patient(&Setup::default());
    let material = noise(setup.format, 2, 30_000, 1);
    let consumer = Recorder::open(1)?;
    let early = Player::start(Role::Recorder)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    let late = Player::start(Role::Recorder)?;
    early.kill()?;
    sleep_ms(20);
    late.kill()?;
    app.pcm.drain()?;
    Player::start(Role::Recorder)?.kill()?;
    only_take(&consumer.finish()?)?.check_all_of(&material)?;
    drop(app);
    let microphone = Microphone::start(&setup)?;
    play(&setup, &material)?;
    sleep_ms(LAG_MS);
    microphone.stop()?.check_only(&material)
}

/// A hundred recorders, one after the other and two at a time, change nothing for the ring.
fn come_and_go() -> Result<()> {
    module::ready()?;
    let before = module::status()?;
    let setup = patient(&Setup::default());
    let material = noise(setup.format, 2, 5 * 48_000, 1);
    let consumer = Recorder::open(1)?;
    let app = App::open(&setup)?;
    app.write(&material.reshaped(2, 60_000))?;
    let rest = Material {
        bytes: material.bytes[60_000 * 4..].to_vec(),
        expected: material.expected[60_000 * 2..].to_vec(),
        ..material
    };
    let writer = std::thread::spawn(move || {
        app.write(&rest)?;
        app.pcm.drain().context("drain")
    });
    let mut other = None;
    for number in 0..100 {
        let recorder = open(&setup)?;
        recorder.start()?;
        let mut some = vec![0; 200 * 4];
        if number % 3 != 0 {
            recorder.read(&mut some)?;
        }
        if number % 4 == 0 {
            recorder.stop()?;
        }
        other = Some(recorder);
    }
    drop(other);
    writer.join().expect("the player panicked")?;
    only_take(&consumer.finish()?)?.check_all_of(&noise(setup.format, 2, 5 * 48_000, 1))?;
    let after = module::status()?;
    ensure!(after.xruns == before.xruns, "the player had an xrun");
    Ok(())
}

/// While the player pauses there is silence, for as long as the pause.
fn player_pauses() -> Result<()> {
    module::ready()?;
    let setup = patient(&Setup::default());
    // No frame of these is silent.
    let material = numbered(1, 14_000);
    let consumer = Recorder::open(1)?;
    let microphone = Microphone::start(&setup)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    sleep_ms(60);
    app.pcm.pause(true)?;
    sleep_ms(80);
    app.pcm.pause(false)?;
    app.pcm.drain()?;
    sleep_ms(LAG_MS);
    let recording = microphone.stop()?;
    let take = only_take(&consumer.finish()?)?;
    take.check_all_of(&material)?;
    let [start, pause, resume, ..] = take.changes[..] else {
        bail!("{:?}", take.changes);
    };
    ensure!(resume.state == State::Resume, "{resume:?}");
    let (before, behind) = material.bytes.split_at(pause.position as usize * 4);
    let mut rest = recording.rest();
    rest.material(before)?;
    let silent = rest.material(behind)?;
    rest.silence_to_the_end()?;
    let stood = start.time + crate::time::nanos(pause.position, setup.rate);
    let expected = frames(resume.time - stood, setup.rate);
    ensure!(
        silent.abs_diff(expected) <= 2,
        "{silent} silent frames instead of {expected}"
    );
    Ok(())
}

/// A recorder that pauses misses what is played meanwhile, and nothing else.
fn recorder_pauses() -> Result<()> {
    module::ready()?;
    let setup = patient(&Setup::default());
    let material = numbered(1, 24_000);
    let recorder = open(&setup)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    sleep_ms(40);
    recorder.start()?;
    sleep_ms(60);
    recorder.pause(true)?;
    let paused = recorder.avail()?;
    sleep_ms(50);
    ensure!(recorder.avail()? == paused, "it moves while it pauses");
    recorder.pause(false)?;
    sleep_ms(60);
    let recorded = recorder.avail()?;
    let mut bytes = vec![0; recorded * 4];
    let read = recorder.read(&mut bytes)?;
    ensure!(read == recorded, "{read} of {recorded} frames");
    let numbers: Vec<_> = bytes
        .chunks_exact(4)
        .map(|frame| u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]))
        .collect();
    let jumps: Vec<_> = (1..numbers.len())
        .filter(|&at| numbers[at] != numbers[at - 1] + 1)
        .collect();
    // ALSA asks for the pointer before it has the card pause.
    let [first] = jumps[..] else {
        bail!("jumps at {jumps:?} and a pause at {paused}");
    };
    ensure!(first >= paused, "a jump at {first} and a pause at {paused}");
    let missed = numbers[first] - numbers[first - 1];
    ensure!(missed >= 48 * 50, "{missed} frames missed in 50 ms");
    Ok(())
}

/// Linked streams start and stop together.
fn linked() -> Result<()> {
    module::ready()?;
    let setup = Setup {
        start_threshold: Some(u32::MAX),
        ..patient(&Setup::default())
    };
    let mut player = RawPcm::open(module::PCM, Direction::Playback)?;
    player.set_up(&setup)?;
    let recorder = open(&setup)?;
    player.link(&recorder)?;
    let material = numbered(1, 24_000);
    player.write(&material.bytes)?;
    let before = now();
    player.start()?;
    // One of them starts first.
    let apart = frames(now() - before, setup.rate);
    ensure!((player.state(), recorder.state()) == (3, 3));
    let mut bytes = vec![0; 4_800 * 4];
    recorder.read(&mut bytes)?;
    let lag = bytes
        .iter()
        .position(|byte| *byte != 0)
        .context("silence")?
        / 4;
    ensure!(
        (lag as u64).abs_diff(lag_frames()) <= 2 + apart,
        "the sound came after {lag} frames, {apart} for the start"
    );
    let sound = &bytes[lag * 4..];
    ensure!(sound == &material.bytes[..sound.len()], "other bytes");
    player.pause(true)?;
    ensure!((player.state(), recorder.state()) == (6, 6));
    player.pause(false)?;
    ensure!((player.state(), recorder.state()) == (3, 3));
    recorder.stop()?;
    ensure!((player.state(), recorder.state()) == (1, 1));
    Ok(())
}

/// A player that ALSA closes without stopping it, as it refuses to where a linked stream has no
/// configuration any more: the card stands still then, and other recorders get silence.
fn linked_and_refused() -> Result<()> {
    module::ready()?;
    let setup = Setup {
        start_threshold: Some(u32::MAX),
        ..patient(&Setup::default())
    };
    let consumer = Recorder::open(1)?;
    let mut player = RawPcm::open(module::PCM, Direction::Playback)?;
    player.set_up(&setup)?;
    // Nothing is to be read when the drain begins, so that it ends this one at once.
    let linked = open(&Setup {
        period: 24_000,
        buffer: 48_000,
        ..setup
    })?;
    player.link(&linked)?;
    let material = numbered(1, 24_000);
    player.write(&material.bytes)?;
    player.start()?;
    player.begin_drain()?;
    ensure!((player.state(), linked.state()) == (5, 1));
    linked.free()?;
    drop(player);
    drop(linked);
    let take = only_take(&consumer.finish()?)?;
    take.check_states(&[State::Start, State::Drain, State::Stop])?;
    take.check_part_of(&material)?;
    let recorder = open(&patient(&Setup::default()))?;
    recorder.start()?;
    let mut bytes = vec![1; 4_800 * 4];
    recorder.read(&mut bytes)?;
    // What was played last comes to it first.
    let silent = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    ensure!(silent / 4 <= lag_frames() as usize, "sound up to {silent}");
    Ok(())
}

/// The recorder's pointer moves frame by frame with time, whatever the player does, and never back.
fn pointer_is_continuous() -> Result<()> {
    module::ready()?;
    // Periods so long that a pointer which moves by periods or chunks would be seen.
    let setup = Setup {
        period: 48_000,
        buffer: 96_000,
        ..Setup::default()
    };
    let recorder = open(&setup)?;
    let player = patient(&setup);
    let material = noise(player.format, 2, 40_000, 1);
    let mut app = RawPcm::open(module::PCM, Direction::Playback)?;
    app.set_up(&player)?;
    let earliest = now();
    recorder.start()?;
    let latest = now();
    let (mut last, mut distinct, mut late) = (0, 0, 0);
    for round in 0..400 {
        match round {
            100 => drop(app.write(&material.bytes)?),
            200 => app.pause(true)?,
            250 => app.pause(false)?,
            _ => {}
        }
        let before = now();
        let reading = recorder.reading()?;
        let after = now();
        ensure!((before..=after).contains(&reading.time), "{reading:?}");
        ensure!(reading.delay == reading.avail, "{reading:?}");
        let position = reading.avail as u64;
        let least = frames(before - latest, setup.rate).saturating_sub(2);
        let most = frames(after - earliest, setup.rate) + 2;
        ensure!(position >= last, "from {last} back to {position}");
        ensure!(
            position <= most,
            "round {round}: {position} frames in the time for {most}"
        );
        // Where a busy host makes the player's timer late, there is nothing yet to record.
        late += usize::from(position < least);
        distinct += usize::from(position != last);
        last = position;
        sleep_ms(1);
    }
    ensure!(distinct >= 360, "only {distinct} positions in 400 readings");
    ensure!(late <= 40, "late in {late} of 400 readings");
    Ok(())
}

/// A player that goes round its buffer for want of sound is recorded as it sounds.
fn player_wraps_around() -> Result<()> {
    module::ready()?;
    let setup = Setup {
        period: 512,
        buffer: 2_048,
        nonstop: true,
        ..Setup::default()
    };
    let material = numbered(1, 2_048);
    let recorder = open(&patient(&setup))?;
    let consumer = Recorder::open(1)?;
    let app = App::open(&setup)?;
    let microphone = Microphone::start_with(recorder)?;
    app.write(&material)?;
    sleep_ms(150);
    app.pcm.drop()?;
    sleep_ms(LAG_MS);
    let recording = microphone.stop()?;
    let take = only_take(&consumer.finish()?)?;
    let played = take.frames() as usize;
    ensure!(played > 4_096, "{played} frames");
    let bytes: Vec<_> = material
        .bytes
        .iter()
        .copied()
        .cycle()
        .take(played * 4)
        .collect();
    let mut rest = recording.rest();
    rest.material(&bytes)?;
    rest.silence_to_the_end()
}
