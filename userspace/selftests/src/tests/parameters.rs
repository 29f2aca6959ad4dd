// SPDX-License-Identifier: MIT OR GPL-2.0

//! Module parameters, good and bad.

use std::fs;

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use rtshm::Device;

use super::{instances::node, tests};
use crate::app::{App, Setup};
use crate::kernel_log::Listener;
use crate::material::noise;
use crate::module;
use crate::tape::{only_take, Recorder};

tests!(parameters: bad_values, taken_index, smallest, largest, index, free_indices);

/// Each is refused with `EINVAL` and one line that says what to do; then the module loads as ever.
fn bad_values() -> Result<()> {
    module::ready()?;
    module::unload()?;
    let ours = [
        "devices=0",
        "devices=9",
        "devices=4294967295",
        "index=31 devices=2",
        "index=25 devices=8",
        "index=32",
        "index=2147483647",
        "ring_kib=0",
        "ring_kib=1",
        "ring_kib=32",
        "ring_kib=63",
        "ring_kib=65",
        "ring_kib=96",
        "ring_kib=65537",
        "ring_kib=131072",
        "ring_kib=4194304",
        "ring_kib=4294967295",
        "chunk_frames=0",
        "chunk_frames=15",
        "chunk_frames=4097",
        "chunk_frames=4294967295",
        "eager=2",
        "eager=4294967295",
    ];
    for arguments in ours {
        let lines = refused(arguments, "Invalid argument")?;
        let name = arguments.split('=').next().unwrap_or_default();
        let helps = lines.len() == 1 && lines[0].contains(name) && lines[0].contains("use ");
        ensure!(helps, "{arguments}: {lines:?}");
    }
    // These do not even parse, which the kernel itself says.
    for arguments in [
        "devices=-1",
        "devices=two",
        "index=one",
        "index=",
        "ring_kib=-1",
        "ring_kib=1M",
        "chunk_frames=0x",
        "chunk_frames=4294967296",
        "eager=-1",
        "eager=yes",
    ] {
        let output = module::try_load(arguments)?;
        ensure!(
            !output.status.success() && !module::is_loaded(),
            "{arguments} is accepted"
        );
    }
    module::ready()
}

/// Tries to load the module with these arguments; returns what it said in the kernel log.
fn refused(arguments: &str, reason: &str) -> Result<Vec<String>> {
    let mut log = Listener::new()?;
    let output = module::try_load(arguments)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && !module::is_loaded(),
        "{arguments} is accepted"
    );
    ensure!(error.contains(reason), "{arguments}: {error}");
    Ok(log
        .lines_with("rtshm: ")
        .into_iter()
        .filter(|line| !line.contains("taint"))
        .collect())
}

/// An index that another card has.
fn taken_index() -> Result<()> {
    module::ready()?;
    module::unload()?;
    refused("index=0", "resource busy")?;
    module::ready()
}

/// Plays through a module with these arguments.
fn check(arguments: &str, ring_bytes: u64, chunk_frames: u32) -> Result<()> {
    module::ready_with(arguments)?;
    let info = module::device()?.info()?;
    ensure!(info.capacity == ring_bytes, "{arguments}: {info:?}");
    let recorder = Recorder::open(1)?;
    let setup = Setup {
        period: 8_192,
        ..Setup::default()
    };
    let material = noise(Format::S16LE, 2, 10_000, 1);
    App::open(&setup)?.play(&material)?;
    let take = only_take(&recorder.finish()?)?;
    ensure!(
        take.format.chunk_frames == chunk_frames,
        "{:?}",
        take.format
    );
    take.check_all_of(&material)
}

fn smallest() -> Result<()> {
    check("ring_kib=64 chunk_frames=16", 64 << 10, 16)
}

/// Chunks as long as they get, and in a small ring as long as an eighth of it has room for.
fn largest() -> Result<()> {
    check("ring_kib=65536 chunk_frames=4096", 64 << 20, 4096).context("large ring")?;
    check("ring_kib=64 chunk_frames=4096", 64 << 10, 911).context("small ring")
}

fn index() -> Result<()> {
    module::ready_with("index=31")?;
    ensure!(module::device()?.info()?.card == 31);
    ensure!(fs::read_to_string("/proc/asound/cards")?.contains("31 [RtShm"));
    Ok(())
}

/// Negative ones are ALSA's bit masks: all but 0 and 1, and 31 alone.
fn free_indices() -> Result<()> {
    module::ready_with("index=-4 devices=2")?;
    let cards = [0, 1].map(|number| Device::open(node(number))?.info());
    let [first, second] = cards;
    ensure!(first?.card == 2 && second?.card == 3);
    module::ready_with("index=-2147483648")?;
    ensure!(module::device()?.info()?.card == 31);
    Ok(())
}
