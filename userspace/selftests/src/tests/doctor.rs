// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader doctor` on this machine, in the states in which users find theirs.

use std::fs;

use alsa::pcm::{Format, State};
use anyhow::{ensure, Context, Result};
use serde_json::Value;

use super::tests;
use super::tool::{check_refusal, READER};
use crate::app::{aplay, App, Setup};
use crate::material::noise;
use crate::module;
use crate::process::{run, Outcome, Player, Role};

tests!(doctor: all_is_well, disturbs_nobody, module_not_loaded, card_taken_away, node_of_another_user, loop_is_found, losses_are_told);

/// What the tool reports.
struct Report(Value);

impl Report {
    /// Of the tool, run by `command`, which has to end with this status.
    fn of(command: &[&str], more: &[&str], code: i32) -> Result<Self> {
        let arguments = [&command[1..], &["doctor", "--json"], more].concat();
        let outcome = run(command[0], &arguments)?;
        ensure!(
            outcome.code == Some(code) && outcome.stderr.is_empty(),
            "status {code} expected: {outcome}"
        );
        Ok(Self(serde_json::from_str(&outcome.stdout)?))
    }

    /// Checks a verdict, and that the finding and the fix contain these texts.
    fn check(&self, name: &str, verdict: &str, finding: &str, fix: &str) -> Result<()> {
        let checks = self.0["checks"].as_array().context("no checks")?;
        let check = checks
            .iter()
            .find(|check| check["check"] == name)
            .with_context(|| format!("no {name}: {}", self.0))?;
        let has = |field: &str, text| check[field].as_str().unwrap_or_default().contains(text);
        ensure!(
            check["verdict"] == verdict && has("finding", finding) && has("fix", fix),
            "{name}: {verdict}, {finding:?}, {fix:?} expected: {check}"
        );
        Ok(())
    }
}

fn all_is_well() -> Result<()> {
    module::ready()?;
    let report = Report::of(&[READER], &[], 0)?;
    report.check("/dev/rtshm", "ok", "card 1 (RtShm), ABI version 1", "")?;
    report.check("module loaded", "ok", "0.1.0", "")?;
    report.check("module file", "ok", "/rtshm.ko", "")?;
    report.check("virtual card", "ok", "RtShm", "")?;
    report.check("RtShm reader", "ok", "none", "")?;
    report.check("PCM default", "ok", "HDA", "")?;
    ensure!(report.0["failures"] == 0, "{}", report.0);
    let Outcome { code, stdout, .. } = run(READER, &["doctor"])?;
    let count = stdout.lines().last().unwrap_or_default();
    ensure!(code == Some(0) && count.contains(" 0 failed"), "{stdout}");
    for line in stdout.lines() {
        ensure!(line.chars().count() <= 80, "longer than a line: {line}");
    }
    Ok(())
}

/// A consumer is named, and neither it nor the player notices.
fn disturbs_nobody() -> Result<()> {
    module::ready()?;
    let consumer = Player::start(Role::Consumer)?;
    // For as long as it takes.
    let app = App::open(&Setup {
        nonstop: true,
        ..Setup::default()
    })?;
    app.write(&noise(Format::S16LE, 2, 16_000, 1))?;
    let before = module::status()?;
    let report = Report::of(&[READER], &[], 0)?;
    let after = module::status()?;
    let reader = format!("(pid {})", consumer.pid());
    report.check("RtShm reader", "ok", &reader, "")?;
    let player = format!("(pid {})", std::process::id());
    report.check("RtShm player", "ok", &player, "")?;
    ensure!(app.pcm.state() == State::Running && after.frames > before.frames);
    ensure!(
        after.consumer_pid == Some(consumer.pid()) && after.faults == before.faults,
        "{after:?}"
    );
    Ok(())
}

fn module_not_loaded() -> Result<()> {
    module::ready()?;
    module::unload()?;
    let report = Report::of(&[READER], &[], 9)?;
    let is_loaded = module::is_loaded();
    module::ready()?;
    ensure!(!is_loaded, "it has loaded the module");
    report.check("module file", "ok", "/rtshm.ko", "")?;
    report.check("module loaded", "fail", "no", "modprobe rtshm")?;
    report.check("/dev/rtshm", "skip", "not loaded", "")?;
    report.check("virtual card", "skip", "not loaded", "")?;
    ensure!(report.0["failures"] == 1, "{}", report.0);
    Ok(())
}

fn card_taken_away() -> Result<()> {
    module::ready()?;
    module::take_card_away()?;
    let report = Report::of(&[READER], &[], 9)?;
    module::unload()?;
    module::ready()?;
    report.check("module loaded", "ok", "", "")?;
    report.check("/dev/rtshm", "fail", "taken away", "modprobe -r rtshm")?;
    report.check("virtual card", "fail", "taken away", "modprobe -r rtshm")
}

/// As it is without a udev rule.
fn node_of_another_user() -> Result<()> {
    module::ready()?;
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        READER,
    ];
    let report = Report::of(&nobody, &[], 9)?;
    report.check("/dev/rtshm", "fail", "root:root 0600", "chgrp audio")?;
    report.check("virtual card", "fail", "may not open", "")?;
    report.check("sound card", "fail", "may not open", "")?;
    report.check("PCM default", "skip", "", "")?;
    // What everybody may know is told all the same.
    report.check("module loaded", "ok", "0.1.0", "")?;
    report.check("RtShm reader", "ok", "none", "")?;
    report.check("real time", "warn", "not allowed", "rtprio")
}

/// The default card is ours: what `play` refuses.
fn loop_is_found() -> Result<()> {
    module::ready()?;
    let home = "/tmp/selftest-loop";
    fs::create_dir_all(home)?;
    fs::write(
        format!("{home}/.asoundrc"),
        "pcm.!default { type plug  slave.pcm \"hw:RtShm\" }\n",
    )?;
    let variable = format!("HOME={home}");
    let command = ["env", &variable, READER];
    let refused = run("env", &[&variable, READER, "play"])?;
    check_refusal(&refused, 6, &["would play to itself"])?;
    let report = Report::of(&command, &[], 9)?;
    report.check("PCM default", "fail", "a loop", "--device plughw:HDA")?;
    ensure!(report.0["failures"] == 1, "{}", report.0);
    for pcm in ["hw:RtShm", "plughw:1", "sysdefault:RtShm"] {
        let report = Report::of(&[READER], &["--device", pcm], 9)?;
        report.check(&format!("PCM {pcm}"), "fail", "a loop", "plughw:HDA")?;
    }
    let report = Report::of(&command, &["--device", "plughw:HDA"], 0)?;
    report.check("PCM plughw:HDA", "ok", "card 0 (HDA)", "")
}

fn losses_are_told() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    // It pops nothing.
    let steerer = Player::start(Role::Steerer)?;
    aplay(&Setup::default(), &noise(Format::S16LE, 2, 24_576, 1))?;
    let lost = module::status()?.lost_frames;
    ensure!(lost > 10_000, "{lost} lost");
    let report = Report::of(&[READER], &[], 0)?;
    drop(steerer);
    report.check(
        "RtShm counters",
        "warn",
        &format!("{lost} frames lost"),
        "ring_kib",
    )?;
    ensure!(report.0["warnings"] == 1, "{}", report.0);
    Ok(())
}
