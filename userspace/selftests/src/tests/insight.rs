// SPDX-License-Identifier: MIT OR GPL-2.0

//! What `/proc/asound/RtShm/` shows.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module::{self, CARD};
use crate::process::set_pitch;
use crate::raw::Node;
use crate::tape::{only_take, Recorder};
use crate::time::{sleep_ms, wait_until};

tests!(insight: before_the_first_stream, while_it_plays, clock, losses_and_faults, readers_disturb_nobody, files_go_with_the_card);

/// The lines of a file, as keys and what they say.
struct Shown(HashMap<String, String>);

impl Shown {
    fn read(file: &str) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/asound/{CARD}/{file}"))?;
        let mut lines = HashMap::new();
        for line in text.lines() {
            let (key, value) = line.split_once(':').with_context(|| text.clone())?;
            ensure!(
                line.find(value.trim_start()) == Some(14) && value == value.trim_end(),
                "not aligned: {text}"
            );
            let earlier = lines.insert(key.to_string(), value.trim().to_string());
            ensure!(earlier.is_none(), "{key} twice: {text}");
        }
        Ok(Self(lines))
    }

    /// Checks some of them.
    fn check(&self, expected: &[(&str, String)]) -> Result<()> {
        for (key, value) in expected {
            let shown = self.0.get(*key);
            ensure!(
                shown == Some(value),
                "{key}: {shown:?} instead of {value:?}"
            );
        }
        Ok(())
    }
}

fn before_the_first_stream() -> Result<()> {
    module::ready()?;
    module::unload()?;
    module::load("ring_kib=64")?;
    Shown::read("stream")?.check(&[
        ("state", "none".into()),
        ("format", "none".into()),
        ("rate", "0 Hz".into()),
        ("streams", "0".into()),
        ("frames", "0".into()),
    ])?;
    Shown::read("ring")?.check(&[
        ("capacity", "65536 bytes".into()),
        ("consumer_pid", "none".into()),
        ("write_count", "0 bytes".into()),
        ("read_count", "0 bytes".into()),
        ("fill", "0 bytes".into()),
        ("lost_frames", "0 frames".into()),
        ("lost_records", "0".into()),
        ("faults", "0".into()),
        ("wakeups", "0".into()),
    ])
}

fn while_it_plays() -> Result<()> {
    module::ready()?;
    let node = Node::consumer()?;
    let page = node.consumer_page()?;
    let before = node.status()?;
    let setup = Setup {
        rate: 44_100,
        period: 512,
        buffer: 32_768,
        ..Setup::default()
    };
    let app = App::open(&setup)?;
    let state = |expected: &str| {
        Shown::read("stream")?
            .check(&[("state", expected.into())])
            .with_context(|| format!("{expected}?"))
    };
    app.write(&noise(Format::S16LE, 2, 30_000, 1))?;
    state("running")?;
    app.pcm.pause(true)?;
    state("paused")?;
    app.pcm.pause(false)?;
    state("running")?;
    app.pcm.drain()?;

    let status = node.status()?;
    Shown::read("stream")?.check(&[
        ("state", "stopped".into()),
        ("format", "S16_LE".into()),
        ("rate", "44100 Hz".into()),
        ("channels", "2".into()),
        ("period", "512 frames".into()),
        ("buffer", "32768 frames".into()),
        ("chunk", "256 frames".into()),
        ("streams", (before.streams + 1).to_string()),
        ("xruns", before.xruns.to_string()),
        ("chunks", status.chunks.to_string()),
        ("frames", (before.frames + 30_000).to_string()),
    ])?;
    let read = status.write_count - 64;
    page.as_consumer().read_count.store_release(read);
    Shown::read("ring")?.check(&[
        ("capacity", "1048576 bytes".into()),
        ("consumer_pid", std::process::id().to_string()),
        ("write_count", format!("{} bytes", status.write_count)),
        ("read_count", format!("{read} bytes")),
        ("fill", "64 bytes".into()),
        ("wakeups", node.status()?.wakeups.to_string()),
    ])?;
    drop(app);
    let app = App::open(&Setup {
        format: Format::FloatLE,
        channels: 1,
        ..setup
    })?;
    app.play(&noise(Format::FloatLE, 1, 1_000, 1))?;
    Shown::read("stream")?.check(&[("format", "FLOAT_LE".into()), ("channels", "1".into())])
}

fn clock() -> Result<()> {
    module::ready()?;
    let clock = |speed: &str, pitch: u32, request: &str| {
        Shown::read("clock")?.check(&[
            ("source", "Consumer".into()),
            ("pitch", pitch.to_string()),
            ("request", request.into()),
            ("speed", speed.into()),
        ])
    };
    clock("stands still", 1_000_000, "none")?;
    let node = Node::consumer()?;
    let page = node.consumer_page()?;
    let app = App::open(&Setup {
        nonstop: true,
        ..Setup::default()
    })?;
    app.write(&noise(Format::S16LE, 2, 16_000, 1))?;
    clock("0 ppb", 1_000_000, "none")?;
    // 2^-12 off, which has no fraction in either notation but that of the parts.
    page.as_consumer()
        .rate_request
        .store_relaxed((1 << 32) + (1 << 20));
    wait_until("the speed", || Ok(node.status()?.clock_ratio != 1 << 32))?;
    clock("244140 ppb", 1_000_000, "244140 ppb")?;
    set_pitch(1_000_500)?;
    let shown = clock("244140 ppb", 1_000_500, "244140 ppb");
    set_pitch(1_000_000)?;
    drop(app);
    shown?;
    clock("stands still", 1_000_000, "244140 ppb")
}

fn losses_and_faults() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let node = Node::consumer()?;
    let page = node.consumer_page()?;
    let before = node.status()?;
    let app = App::open(&Setup::default())?;
    // Three times what the ring holds.
    app.play(&noise(Format::S16LE, 2, 24_000, 1))?;
    let frames = node.status()?.frames - before.frames;
    let lost = before.lost_frames + 24_000 - frames;
    ensure!(lost > 10_000, "{lost} lost");
    Shown::read("ring")?.check(&[("lost_frames", format!("{lost} frames"))])?;
    page.as_consumer().read_count.store_release(1 << 40);
    // Has the kernel look at it.
    node.poll(0)?;
    Shown::read("ring")?.check(&[
        ("read_count", format!("{} bytes", 1u64 << 40)),
        ("fill", "impossible".into()),
        ("faults", (before.faults + 1).to_string()),
    ])
}

/// Readers all the time, while streams come and go with every frame in its place.
fn readers_disturb_nobody() -> Result<()> {
    module::ready()?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for file in ["ring", "stream"] {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // What cannot be read is found by the other tests.
                    let _ = Shown::read(file);
                }
            });
        }
        let play = |round| -> Result<()> {
            let recorder = Recorder::open(1)?;
            let material = noise(Format::S16LE, 2, 6_000, round);
            App::open(&Setup::default())?.play(&material)?;
            only_take(&recorder.finish()?)?.check_all_of(&material)
        };
        let played = (0..5).try_for_each(play);
        stop.store(true, Ordering::Relaxed);
        played
    })
}

/// A file that is open keeps the module, and neither the card nor, when that is gone, the module.
fn files_go_with_the_card() -> Result<()> {
    module::ready()?;
    let open = |name| File::open(format!("/proc/asound/{CARD}/{name}"));
    let mut files = [open("ring")?, open("stream")?, open("stream")?];
    files[0].read_exact(&mut [0; 8])?;
    module::check_in_use()?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = Shown::read("stream");
            }
        });
        sleep_ms(20);
        let gone = module::take_card_away();
        stop.store(true, Ordering::Relaxed);
        gone
    })?;
    for file in &mut files {
        ensure!(
            file.read(&mut [0; 8]).is_err(),
            "it can be read without a card"
        );
    }
    wait_until("the module to be unused", || Ok(module::refcount()? == 0))?;
    module::unload()?;
    for file in &mut files {
        ensure!(file.read(&mut [0; 8]).is_err(), "without the module");
    }
    module::ready()?;
    Shown::read("stream")?.check(&[("state", "none".into())])
}
