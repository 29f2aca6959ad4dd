// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader` on this machine: its work, and its answers where it cannot do it.

use std::process::{Child, Command, Stdio};

use alsa::pcm::Format;
use anyhow::{bail, ensure, Context, Result};
use serde_json::Value;

use super::tests;
use crate::app::{aplay, Aplay, Setup};
use crate::material::noise;
use crate::module;
use crate::process::{run, Outcome, Player, Role};
use crate::time::{sleep_ms, wait_until};

tests!(tool: status_tells, list_tells, plays_once, killed_while_playing, interrupt_ends_it, device_is_busy, no_such_pcm, not_a_device, not_allowed, no_module, wrong_usage);

pub(super) const READER: &str = "rtshm-reader";

/// Checks that the tool failed with a status and one line that contains all of `texts`.
pub(super) fn check_refusal(outcome: &Outcome, code: i32, texts: &[&str]) -> Result<()> {
    ensure!(
        outcome.code == Some(code),
        "status {code} expected: {outcome}"
    );
    ensure!(outcome.stdout.is_empty(), "{outcome}");
    let line = outcome.stderr.trim_end();
    ensure!(
        line.lines().count() == 1 && line.starts_with("rtshm-reader: "),
        "not one line: {outcome}"
    );
    for text in texts {
        ensure!(line.contains(text), "no {text:?}: {outcome}");
    }
    Ok(())
}

pub(super) fn json(outcome: &Outcome) -> Result<Value> {
    ensure!(outcome.code == Some(0), "{outcome}");
    serde_json::from_str(&outcome.stdout).with_context(|| format!("{outcome}"))
}

pub(super) fn number(value: &Value, name: &str) -> Result<u64> {
    value[name]
        .as_u64()
        .with_context(|| format!("no {name} in {value}"))
}

fn status_tells() -> Result<()> {
    module::ready()?;
    let consumer = Player::start(Role::Consumer)?;
    aplay(&Setup::default(), &noise(Format::S16LE, 2, 2_048, 1))?;
    let told = json(&run(READER, &["status", "--json"])?)?;
    let status = module::status()?;
    ensure!(number(&told, "frames")? == status.frames, "{told}");
    ensure!(number(&told, "chunks")? == status.chunks, "{told}");
    ensure!(number(&told, "streams")? == status.streams, "{told}");
    ensure!(
        number(&told, "consumer_pid")? == u64::from(consumer.pid()),
        "{told}"
    );
    ensure!(
        told["card_id"] == "RtShm" && told["state"] == "stopped",
        "{told}"
    );
    ensure!(
        told["stream"]["format"] == "S16_LE" && told["stream"]["rate"] == 48_000,
        "{told}"
    );
    ensure!(told["volume_db"] == 0.0 && told["muted"] == false, "{told}");
    let text = run(READER, &["status"])?;
    ensure!(
        text.code == Some(0) && text.stdout.contains("S16_LE, 48000 Hz"),
        "{text}"
    );
    Ok(())
}

fn list_tells() -> Result<()> {
    module::ready()?;
    let told = json(&run(READER, &["list", "--json"])?)?;
    ensure!(told.to_string().contains("/dev/rtshm"), "{told}");
    let text = run(READER, &["list"])?;
    ensure!(
        text.code == Some(0) && text.stdout.contains("/dev/rtshm"),
        "{text}"
    );
    Ok(())
}

/// Starts the tool and waits until it is the consumer.
pub(super) fn start_playing(more: &[&str]) -> Result<Child> {
    let child = Command::new(READER)
        .args(["play", "--device", "hw:HDA"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = child.id();
    wait_until("the tool to open the device", || {
        Ok(module::status()?.consumer_pid == Some(pid))
    })?;
    Ok(child)
}

/// From the virtual card to the emulated one, and the account of it.
fn plays_once() -> Result<()> {
    module::ready()?;
    let reader = start_playing(&["--once", "--json"])?;
    let before = module::status()?;
    aplay(&Setup::default(), &noise(Format::S16LE, 2, 24_000, 1))?;
    let told = json(&reader.wait_with_output()?.into())?;
    let after = module::status()?;
    ensure!(number(&told, "frames_in")? == 24_576, "{told}");
    ensure!(number(&told, "frames_out")? == 24_576, "{told}");
    ensure!(
        number(&told, "chunks")? == after.chunks - before.chunks,
        "{told}"
    );
    ensure!(
        number(&told, "streams")? == 1 && number(&told, "lost_frames")? == 0,
        "{told}"
    );
    Ok(())
}

/// The real consumer dies; the application plays to its end.
fn killed_while_playing() -> Result<()> {
    module::ready()?;
    let mut reader = start_playing(&[])?;
    let before = module::status()?;
    let player = Aplay::start(&Setup::default(), &noise(Format::S16LE, 2, 30_720, 1))?;
    wait_until("sound", || {
        Ok(module::status()?.frames > before.frames + 4_800)
    })?;
    reader.kill()?;
    reader.wait()?;
    ensure!(module::status()?.consumer_pid.is_none());
    player.finish()?;
    ensure!(module::status()?.xruns == before.xruns);
    Ok(())
}

/// SIGINT is a way to end, not a failure.
fn interrupt_ends_it() -> Result<()> {
    module::ready()?;
    for busy in [false, true] {
        let reader = start_playing(&["--json"])?;
        let player = match busy {
            true => Some(Aplay::start(
                &Setup::default(),
                &noise(Format::S16LE, 2, 30_720, 1),
            )?),
            false => None,
        };
        sleep_ms(300);
        let pid = nix::unistd::Pid::from_raw(i32::try_from(reader.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT)?;
        let told = json(&reader.wait_with_output()?.into())?;
        ensure!(
            number(&told, "frames_in")? == number(&told, "frames_out")?,
            "{told}"
        );
        if let Some(player) = player {
            player.finish()?;
        }
    }
    Ok(())
}

fn device_is_busy() -> Result<()> {
    module::ready()?;
    let holder = start_playing(&[])?;
    let pid = holder.id().to_string();
    let outcome = run(READER, &["play", "--device", "hw:HDA"])?;
    let result = check_refusal(&outcome, 5, &["/dev/rtshm", "rtshm-reader (pid ", &pid]);
    let mut holder = holder;
    holder.kill()?;
    holder.wait()?;
    result
}

fn no_such_pcm() -> Result<()> {
    module::ready()?;
    for pcm in ["hw:Nowhere", "nonsense", "hw:HDA,7", ""] {
        let outcome = run(READER, &["play", "--device", pcm])?;
        check_refusal(&outcome, 6, &[pcm, "--device"]).with_context(|| format!("{pcm:?}"))?;
    }
    Ok(())
}

fn not_a_device() -> Result<()> {
    module::ready()?;
    for file in ["/dev/null", "/etc/passwd", "/tmp"] {
        let outcome = run(READER, &["--rtshm", file, "status"])?;
        check_refusal(&outcome, 3, &[file]).with_context(|| file.to_string())?;
        let outcome = run(READER, &["--rtshm", file, "play", "--device", "hw:HDA"])?;
        if !matches!(outcome.code, Some(1 | 3)) {
            bail!("{file}: {outcome}");
        }
    }
    Ok(())
}

/// A user who is not in the device's group.
fn not_allowed() -> Result<()> {
    module::ready()?;
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", READER];
    let check = |advice| {
        for command in [&["status"][..], &["play", "--device", "hw:HDA"]] {
            let outcome = run("setpriv", &[&nobody[..], command].concat())?;
            check_refusal(&outcome, 7, &["/dev/rtshm", advice])?;
        }
        Ok(())
    };
    // As the kernel makes it, and then as the udev rule does; a load makes it anew.
    check("sudo chgrp audio /dev/rtshm ")?;
    for (program, how) in [("chgrp", "audio"), ("chmod", "660")] {
        let outcome = run(program, &[how, module::NODE])?;
        ensure!(outcome.code == Some(0), "{outcome}");
    }
    let checked = check("sudo usermod -aG audio ");
    module::unload()?;
    checked
}

fn no_module() -> Result<()> {
    module::ready()?;
    module::unload()?;
    for command in [
        &["status"][..],
        &["play", "--device", "hw:HDA"],
        &["--rtshm", "/dev/rtshm3", "status"],
    ] {
        let outcome = run(READER, command)?;
        check_refusal(&outcome, 3, &["modprobe rtshm"])?;
    }
    let list = run(READER, &["list", "--json"])?;
    ensure!(list.code == Some(3) && list.stdout.trim() == "[]", "{list}");
    ensure!(list.stderr.contains("modprobe rtshm"), "{list}");
    module::ready()
}

fn wrong_usage() -> Result<()> {
    module::ready()?;
    let wrong = [
        &["paly"][..],
        &["play", "--latency", "20"],
        &["play", "--latency", "1h"],
        &[],
    ];
    for arguments in wrong {
        let outcome = run(READER, arguments)?;
        ensure!(
            outcome.code == Some(2) && outcome.stdout.is_empty(),
            "{arguments:?}: {outcome}"
        );
    }
    Ok(())
}
