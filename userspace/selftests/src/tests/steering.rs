// SPDX-License-Identifier: MIT OR GPL-2.0

//! Who steers the card's clock, how exactly it follows, and that it never steps.
//!
//! How fast it goes is read off the time stamps of chunks: a fifth of a second of them tells it to
//! five parts per billion.

use alsa::ctl::ElemType;
use alsa::Direction;
use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use rtshm::{ClockRatio, Consumer};
use rtshm_abi::record::{AudioChunk, AUDIO};

use super::tests;
use crate::app::Setup;
use crate::controls::{Element, Events};
use crate::material::noise;
use crate::module;
use crate::process::{run, Player, Role};
use crate::raw::Records;
use crate::raw_pcm::RawPcm;
use crate::storm::dice::Dice;
use crate::tape::{attach, pop_all, Chunk, Entry};
use crate::time::{now, sleep_ms, wait_until};

tests!(steering: elements, nominal_by_default, pitch_is_followed, consumer_is_followed, consumer_is_clamped, sources, ends_with_the_consumer, pitch_ends_with_the_player, never_a_step, position_never_goes_back);

const FREE: i32 = 0;
const PITCH: i32 = 1;
const CONSUMER: i32 = 2;

const RATE: u32 = 48_000;

/// A stream that never ends; chunks of 256 frames.
const ENDLESS: Setup = Setup {
    format: alsa::pcm::Format::S16LE,
    channels: 1,
    rate: RATE,
    period: 512,
    // Ten seconds: what a busy host does not let pass in one go.
    buffer: 512_000,
    mmap: false,
    planar: false,
    start_threshold: None,
    nonstop: true,
};

fn pitch() -> Result<Element> {
    Element::pcm(c"Playback Pitch 1000000", ElemType::Integer)
}

fn source() -> Result<Element> {
    Element::pcm(c"Clock Source", ElemType::Enumerated)
}

/// A card as it is when it was loaded, that nobody uses.
fn ready() -> Result<()> {
    module::ready()?;
    restore()
}

fn restore() -> Result<()> {
    pitch()?.set(1_000_000)?;
    source()?.set(CONSUMER)?;
    Ok(())
}

fn endless() -> Result<RawPcm> {
    let mut pcm = RawPcm::open(module::PCM, Direction::Playback)?;
    pcm.set_up(&ENDLESS)?;
    pcm.write(&noise(ENDLESS.format, 1, 4_096, 1).bytes)?;
    Ok(pcm)
}

/// Waits until the clock goes at this ratio to nominal, to one part per billion.
fn settle(ratio: f64) -> Result<()> {
    wait_until("the clock to follow", || {
        let now = module::status_by_ioctl()?.clock_ratio as f64 / 2f64.powi(32);
        Ok((now - ratio).abs() < 1e-9)
    })
}

/// The frames per nominal frame that the chunks of the next fifth of a second tell.
fn measure(consumer: &mut Consumer) -> Result<f64> {
    pop_all(consumer, &mut Vec::new())?;
    sleep_ms(200);
    let mut tape = Vec::new();
    pop_all(consumer, &mut tape)?;
    let chunks: Vec<_> = tape
        .iter()
        .filter_map(|entry| match entry {
            Entry::Audio { chunk, .. } => Some(*chunk),
            _ => None,
        })
        .collect();
    // The first may have begun at another speed.
    let (first, last) = (chunks.get(1), chunks.last());
    let (first, last) = first.zip(last).context("no chunks")?;
    let frames = last.position - first.position;
    ensure!(frames > 6_000, "{frames} frames in 200 ms");
    let nanos = last.time_stamp - first.time_stamp;
    Ok(frames as f64 * 1e9 / nanos as f64 / f64::from(RATE))
}

/// Checks that the clock goes at this ratio to nominal, by its chunks, to 20 parts per billion.
fn check_speed(consumer: &mut Consumer, ratio: f64) -> Result<()> {
    settle(ratio)?;
    let measured = measure(consumer)?;
    ensure!(
        (measured - ratio).abs() < 2e-8,
        "{measured:.9} instead of {ratio:.9}"
    );
    Ok(())
}

/// The elements' names, ranges and defaults, as others look for them.
fn elements() -> Result<()> {
    module::ready()?;
    module::unload()?;
    module::load("")?;
    ensure!((pitch()?.get()?, source()?.get()?) == (1_000_000, CONSUMER));
    let show = |name: &str| run("amixer", &["-D", "hw:RtShm", "cget", name]);
    let shown = show("iface=PCM,name='Playback Pitch 1000000'")?.stdout;
    ensure!(
        shown.contains("type=INTEGER,access=rw------,values=1,min=750000,max=1005000,step=1"),
        "{shown}"
    );
    let shown = show("iface=PCM,name='Clock Source'")?.stdout;
    for part in [
        "type=ENUMERATED,access=rw------,values=1,items=3",
        "#0 'Free'",
        "#1 'Pitch'",
        "#2 'Consumer'",
    ] {
        ensure!(shown.contains(part), "no {part:?} in {shown}");
    }
    let events = Events::new()?;
    for value in [749_999, 1_005_001, 0, -1, i32::MIN, i32::MAX] {
        let refused = pitch()?.set(value);
        ensure!(refused == Err(Errno::EINVAL), "pitch {value}: {refused:?}");
    }
    for value in [3, -1, i32::MAX] {
        let refused = source()?.set(value);
        ensure!(refused == Err(Errno::EINVAL), "source {value}: {refused:?}");
    }
    ensure!((pitch()?.get()?, source()?.get()?) == (1_000_000, CONSUMER));
    pitch()?.set(1_000_000)?;
    source()?.set(CONSUMER)?;
    let changed = events.changed()?;
    ensure!(changed.is_empty(), "no change, but told: {changed:?}");
    pitch()?.set(750_000)?;
    pitch()?.set(1_005_000)?;
    source()?.set(FREE)?;
    let changed = events.changed()?;
    let expected = ["Playback Pitch 1000000", "Clock Source"];
    // The two changes of one element may be told as one.
    let mut names = changed.clone();
    names.dedup();
    ensure!(names == expected, "{changed:?}");
    restore()
}

fn nominal_by_default() -> Result<()> {
    ready()?;
    let mut consumer = attach()?;
    let _pcm = endless()?;
    check_speed(&mut consumer, 1.0)?;
    ensure!(consumer.clock_ratio() == Some(ClockRatio::NOMINAL));
    Ok(())
}

fn pitch_is_followed() -> Result<()> {
    ready()?;
    source()?.set(PITCH)?;
    let mut consumer = attach()?;
    let _pcm = endless()?;
    for value in [
        1_005_000, 750_000, 1_000_001, 999_999, 900_123, 1_000_000, 1_000_500,
    ] {
        pitch()?.set(value)?;
        check_speed(&mut consumer, f64::from(value) / 1e6).with_context(|| value.to_string())?;
    }
    restore()
}

fn consumer_is_followed() -> Result<()> {
    ready()?;
    let mut consumer = attach()?;
    let _pcm = endless()?;
    for ppm in [1000.0, -1000.0, 0.25, -0.25, 123.456, -987.654_321, 0.0] {
        consumer.request_rate(ClockRatio::from_ppm(ppm).context("no ratio")?);
        check_speed(&mut consumer, 1.0 + ppm / 1e6).with_context(|| format!("{ppm} ppm"))?;
        let told = consumer.clock_ratio().context("it stands still")?.ppm();
        ensure!((told - ppm).abs() < 1e-3, "{told} ppm instead of {ppm}");
    }
    consumer.request_rate(ClockRatio::MAX);
    settle(1.001)?;
    consumer.clear_rate_request();
    check_speed(&mut consumer, 1.0)
}

/// Whatever a consumer writes into its page, the clock stays within 1000 ppm.
fn consumer_is_clamped() -> Result<()> {
    ready()?;
    let consumer = Records::open()?;
    let _pcm = endless()?;
    let request = &consumer.page().rate_request;
    let ppm = |ppm: f64| (2f64.powi(32) * (1.0 + ppm / 1e6)) as u64;
    for (raw, ratio) in [
        (ppm(1001.0), 1.001),
        (1 << 33, 1.001),
        (1 << 32, 1.0),
        (u64::MAX, 1.001),
        (ppm(-1001.0), 0.999),
        (1, 0.999),
        (1 << 63, 1.001),
        (0, 1.0),
    ] {
        request.store_relaxed(raw);
        settle(ratio).with_context(|| format!("{raw:#x}"))?;
    }
    Ok(())
}

fn sources() -> Result<()> {
    ready()?;
    let mut consumer = attach()?;
    let _pcm = endless()?;
    pitch()?.set(1_003_000)?;
    // A consumer that asks for nothing leaves the pitch in charge.
    check_speed(&mut consumer, 1.003)?;
    consumer.request_rate(ClockRatio::MIN);
    check_speed(&mut consumer, 0.999)?;
    source()?.set(PITCH)?;
    check_speed(&mut consumer, 1.003)?;
    source()?.set(FREE)?;
    check_speed(&mut consumer, 1.0)?;
    source()?.set(CONSUMER)?;
    check_speed(&mut consumer, 0.999)?;
    consumer.clear_rate_request();
    check_speed(&mut consumer, 1.003)?;
    restore()
}

/// What a consumer has asked for is forgotten with it, however it goes.
fn ends_with_the_consumer() -> Result<()> {
    ready()?;
    let _pcm = endless()?;
    for pitch_now in [1_000_000, 1_002_000] {
        pitch()?.set(pitch_now)?;
        let ratio = f64::from(pitch_now) / 1e6;
        let mut consumer = attach()?;
        consumer.request_rate(ClockRatio::MAX);
        settle(1.001)?;
        drop(consumer);
        settle(ratio)?;
        let steerer = Player::start(Role::Steerer)?;
        settle(1.001)?;
        steerer.kill()?;
        settle(ratio)?;
        check_speed(&mut attach()?, ratio)?;
    }
    restore()
}

/// A pitch that was set before is the player's, and is left to nobody else; recorders have no say.
fn pitch_ends_with_the_player() -> Result<()> {
    ready()?;
    let mut consumer = attach()?;
    pitch()?.set(1_003_000)?;
    drop(RawPcm::open(module::PCM, Direction::Capture)?);
    let pcm = endless()?;
    check_speed(&mut consumer, 1.003)?;
    pitch()?.set(999_553)?;
    check_speed(&mut consumer, 0.999_553)?;
    drop(pcm);
    let left = pitch()?.get()?;
    ensure!(left == 1_000_000, "{left}");
    let _pcm = endless()?;
    check_speed(&mut consumer, 1.0)
}

/// Time stamps go on where they were, through a thousand changes of the speed: from chunk to chunk
/// passes the time that its frames take at some speed of those asked for.
fn never_a_step() -> Result<()> {
    ready()?;
    let mut consumer = Records::open()?;
    let _pcm = endless()?;
    let mut chunks = Vec::new();
    let mut dice = Dice::new(1, "steering", 0);
    for _ in 0..1000 {
        let ppm = dice.below(2_001);
        let ratio = (1u64 << 32) * (999_000 + ppm) / 1_000_000;
        consumer.page().rate_request.store_relaxed(ratio);
        sleep_ms(3);
        for record in consumer.pop_all()? {
            if record.header.kind == AUDIO {
                let chunk: AudioChunk = record.read()?;
                chunks.push(Chunk {
                    position: record.header.position,
                    frames: chunk.frame_count.into(),
                    time_stamp: chunk.time_stamp,
                    popped: 0,
                    changes: 0,
                });
            }
        }
    }
    ensure!(chunks.len() > 400, "{} chunks", chunks.len());
    let mut speeds = 0;
    let mut last = 0.0;
    for pair in chunks.windows(2) {
        let [chunk, next] = pair else { continue };
        ensure!(next.position == chunk.position + chunk.frames, "{pair:?}");
        let nanos = (next.time_stamp - chunk.time_stamp) as f64;
        let nominal = chunk.frames as f64 * 1e9 / f64::from(RATE);
        let (least, most) = (nominal / 1.001 - 1.0, nominal / 0.999 + 1.0);
        ensure!(
            (least..=most).contains(&nanos),
            "{nanos} ns for what takes {least} to {most}: {pair:?}"
        );
        speeds += usize::from((nominal / nanos - last).abs() > 1e-6);
        last = nominal / nanos;
    }
    ensure!(speeds > 300, "only {speeds} different speeds");
    Ok(())
}

/// The application's view of the same: what it is told moves on with time at one of the speeds asked
/// for, to a frame.
fn position_never_goes_back() -> Result<()> {
    ready()?;
    let pcm = endless()?;
    source()?.set(PITCH)?;
    let pitch = pitch()?;
    let mut dice = Dice::new(2, "steering", 0);
    let (mut last_before, mut last, mut last_after) = (0, 0, 0);
    for round in 0..1000 {
        pitch.set(990_000 + dice.below(15_001) as i32)?;
        let before = now();
        let reading = pcm.reading()?;
        let after = now();
        ensure!((before..=after).contains(&reading.time), "{reading:?}");
        // SND_PCM_STATE_RUNNING.
        ensure!(reading.state == 3, "{reading:?}");
        let position = reading.avail as u64;
        if round != 0 {
            let (least, most) = (before - last_after, after - last_before);
            let least = least as f64 * 48e-6 * 0.99 - 1.0;
            let most = most as f64 * 48e-6 * 1.005 + 1.0;
            ensure!(position >= last, "from {last} back to {position}");
            let moved = (position - last) as f64;
            ensure!(
                (least..=most).contains(&moved),
                "round {round}: {moved} frames in the time for {least:.1} to {most:.1}"
            );
        }
        (last_before, last, last_after) = (before, position, after);
        sleep_ms(2);
    }
    restore()
}
