// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader bench`: its account against the module's, and where it refuses.

use std::process::{Command, Stdio};

use alsa::pcm::{Format, State};
use anyhow::{ensure, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use super::tests;
use super::tool::{check_refusal, json, number, READER};
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::process::{run, Player, Role};
use crate::time::wait_until;

tests!(bench: accounts_for_all, interrupt_ends_it, refuses_a_ring_in_use, refuses_a_card_in_use, wrong_arguments);

fn real(told: &Value, name: &str) -> Result<f64> {
    told[name]
        .as_f64()
        .with_context(|| format!("no {name} in {told}"))
}

fn accounts_for_all() -> Result<()> {
    module::ready()?;
    // Periods, and chunks of up to 256 frames that each is cut into, by hand.
    let cases = [
        (&["--duration", "2s"][..], 375 * 256, 375),
        (
            &[
                "--duration",
                "1s",
                "--rate",
                "44100",
                "--channels",
                "3",
                "--period",
                "1000",
            ],
            45 * 1000,
            45 * 4,
        ),
        // Less than the buffer.
        (
            &["--duration", "100ms", "--period", "16", "--realtime", "no"],
            300 * 16,
            300,
        ),
    ];
    for (arguments, frames, chunks) in cases {
        check_account(arguments, frames, chunks).with_context(|| format!("{arguments:?}"))?;
    }
    let text = run(READER, &["bench", "--duration", "100ms"])?;
    ensure!(
        text.code == Some(0) && text.stdout.contains("all equal"),
        "{text}"
    );
    Ok(())
}

fn check_account(arguments: &[&str], frames: u64, chunks: u64) -> Result<()> {
    let before = module::status()?;
    let told = json(&run(READER, &[&["bench", "--json"], arguments].concat())?)?;
    let after = module::status()?;
    println!("{told}");
    ensure!(number(&told, "frames_written")? == frames, "{told}");
    ensure!(number(&told, "differing_samples")? == 0, "{told}");
    let xruns = number(&told, "xruns")?;
    let pairs = [
        ("frames", after.frames - before.frames),
        ("chunks", after.chunks - before.chunks),
        ("lost_frames", after.lost_frames - before.lost_frames),
        ("xruns", after.xruns - before.xruns),
    ];
    for (name, count) in pairs {
        ensure!(number(&told, name)? == count, "{name} {count}: {told}");
    }
    ensure!(after.streams - before.streams == 1 + xruns, "{told}");
    let lost = number(&told, "lost_frames")?;
    ensure!(number(&told, "frames")? + lost == frames, "{told}");
    if lost == 0 && xruns == 0 {
        // The drain cuts one where it begins.
        let found = number(&told, "chunks")?;
        ensure!((chunks..=chunks + 1).contains(&found), "{chunks}: {told}");
    }
    let latencies =
        ["min", "median", "p999", "max"].map(|name| real(&told, &format!("latency_{name}_us")));
    let latencies: Vec<_> = latencies.into_iter().collect::<Result<_>>()?;
    // None is there before the card has played it.
    ensure!(latencies[0] >= 0.0 && latencies.is_sorted(), "{told}");
    let woken = number(&told, "reader_wakeups")?;
    ensure!(
        woken > 0 && number(&told, "reader_system_calls")? >= woken,
        "{told}"
    );
    ensure!(
        real(&told, "cpu_us_per_second")? >= real(&told, "reader_cpu_us_per_second")?,
        "{told}"
    );
    ensure!(after.consumer_pid.is_none());
    Ok(())
}

fn interrupt_ends_it() -> Result<()> {
    module::ready()?;
    let child = Command::new(READER)
        .args(["bench", "--duration", "1h", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let before = module::status()?;
    wait_until("sound", || {
        Ok(module::status()?.frames > before.frames + 4_800)
    })?;
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    let told = json(&child.wait_with_output()?.into())?;
    let frames = number(&told, "frames")? + number(&told, "lost_frames")?;
    ensure!(
        frames >= 4_800 && frames == number(&told, "frames_written")?,
        "{told}"
    );
    ensure!(number(&told, "differing_samples")? == 0, "{told}");
    Ok(())
}

fn refuses_a_ring_in_use() -> Result<()> {
    module::ready()?;
    let consumer = Player::start(Role::Consumer)?;
    let pid = format!("(pid {})", consumer.pid());
    let before = module::status()?;
    check_refusal(&run(READER, &["bench"])?, 5, &["/dev/rtshm", &pid])?;
    let after = module::status()?;
    ensure!(after.consumer_pid == Some(consumer.pid()) && after.streams == before.streams);
    Ok(())
}

fn refuses_a_card_in_use() -> Result<()> {
    module::ready()?;
    let app = App::open(&Setup {
        nonstop: true,
        ..Setup::default()
    })?;
    app.write(&noise(Format::S16LE, 2, 16_000, 1))?;
    let before = module::status()?;
    let refused = run(READER, &["bench"])?;
    let after = module::status()?;
    let pid = format!("(pid {})", std::process::id());
    check_refusal(&refused, 5, &["hw:1", &pid])?;
    ensure!(app.pcm.state() == State::Running);
    ensure!(after.streams == before.streams && after.consumer_pid.is_none());
    Ok(())
}

fn wrong_arguments() -> Result<()> {
    module::ready()?;
    for wrong in [
        &["--rate", "768001"][..],
        &["--channels", "0"],
        &["--period", "0"],
        &["--duration", "0s"],
        &["--channels", "64", "--period", "8193"],
        &["--realtime", "0"],
    ] {
        let outcome = run(READER, &[&["bench"], wrong].concat())?;
        ensure!(
            outcome.code == Some(2) && outcome.stdout.is_empty(),
            "{wrong:?}: {outcome}"
        );
    }
    // The most.
    let most = [
        "bench",
        "--channels",
        "64",
        "--period",
        "8192",
        "--duration",
        "100ms",
    ];
    let outcome = run(READER, &most)?;
    ensure!(outcome.code == Some(0), "{outcome}");
    Ok(())
}
