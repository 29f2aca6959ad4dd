// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader monitor` on this machine: it tells what is played, and disturbs nobody.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use super::tests;
use super::tool::{json, number, READER};
use crate::app::{Aplay, App, Setup};
use crate::material::Material;
use crate::module;
use crate::process::{run, Outcome, Player, Role};
use crate::terminal::Terminal;
use crate::time::{sleep_ms, wait_for, wait_until};

tests!(monitor: levels, nobody_plays, format_changes, every_recorder_taken, card_removed, reader_goes_away, module_reloaded, live_stereo, live_many_channels, no_terminal);

/// A period of the sound that is played: 1 kHz at 48 kHz.
const PERIOD: usize = 48;

/// A square of half of full scale in the first channel, a sine of a tenth in the others.
fn sound(channels: u32, frames: u64) -> Material {
    let mut values = Vec::new();
    for frame in 0..frames as usize {
        let phase = frame % PERIOD;
        let square = if phase < PERIOD / 2 {
            0x4000
        } else {
            -0x4000i16
        };
        let angle = std::f64::consts::TAU * phase as f64 / PERIOD as f64;
        let sine = (3_276.8 * angle.sin()).round() as i16;
        values.push(square);
        values.resize(values.len() + channels as usize - 1, sine);
    }
    Material {
        format: Format::S16LE,
        channels,
        bytes: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        expected: values
            .iter()
            .map(|value| (f32::from(*value) / 32_768.0).to_bits())
            .collect(),
    }
}

/// Plays sound round and round, so that nobody is late.
fn endless(setup: &Setup, material: &Material) -> Result<App> {
    let setup = Setup {
        buffer: u32::try_from(material.frames())?,
        nonstop: true,
        ..*setup
    };
    let app = App::open(&setup)?;
    app.write(material)?;
    Ok(app)
}

/// The tool that prints lines.
struct Monitor {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Monitor {
    fn start(arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(READER)
            .arg("monitor")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        Ok(Self {
            child,
            stdout: BufReader::new(stdout),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "it has ended: {line:?}");
        Ok(line)
    }

    /// The next line of JSON that satisfies.
    fn wait_for(&mut self, what: &str, satisfies: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(what, || {
            let told: Value = serde_json::from_str(&self.line()?)?;
            Ok(satisfies(&told).then_some(told))
        })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        signal_to(self.child.id(), signal)
    }

    /// Waits for its end; returns what it had not told yet, too.
    fn finish(mut self) -> Result<Outcome> {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest)?;
        let mut outcome: Outcome = self.child.wait_with_output()?.into();
        outcome.stdout = rest;
        Ok(outcome)
    }
}

fn signal_to(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
    Ok(())
}

/// Whether the levels of a line are these, in whole periods or nearly so.
fn has_levels(told: &Value, name: &str, expected: &[f64]) -> bool {
    let Some(levels) = told[name].as_array() else {
        return false;
    };
    let close = |(level, expected): (&Value, &f64)| {
        level
            .as_f64()
            .is_some_and(|level| (level - expected).abs() <= 0.05)
    };
    levels.len() == expected.len() && levels.iter().zip(expected).all(close)
}

/// Who has the device, what is played and what is told of it; the player and the consumer are not
/// disturbed by two who look on.
fn levels() -> Result<()> {
    module::ready()?;
    let consumer = Command::new(READER)
        .args(["play", "--device", "hw:HDA", "--once", "--json", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = consumer.id();
    wait_until("the tool to open the device", || {
        Ok(module::status()?.consumer_pid == Some(pid))
    })?;
    let before = module::status()?;
    let mut monitor = Monitor::start(&["--json", "--interval", "200ms"])?;
    let mut batch = Monitor::start(&["--batch", "--interval", "200ms"])?;
    let heading = batch.line()?;
    let material = sound(2, 131_072);
    let setup = Setup {
        buffer: 65_536,
        ..Setup::of(&material)
    };
    let player = Aplay::start(&setup, &material)?;
    let told = monitor.wait_for("the levels", |told| {
        told["measured_frames"].as_u64() > Some(4_800)
            && told["peak_dbfs"][0].is_number()
            && has_levels(told, "rms_dbfs", &[-6.02, -23.01])
    })?;
    // 20 log10 of a half and of a tenth, and 3.01 less for the sine.
    ensure!(has_levels(&told, "peak_dbfs", &[-6.02, -20.0]), "{told}");
    ensure!(
        told["clipped_samples"] == serde_json::json!([0, 0]),
        "{told}"
    );
    ensure!(told["meters_missing"].is_null(), "{told}");
    ensure!(
        told["state"] == "running" && told["stream"]["rate"] == 48_000,
        "{told}"
    );
    ensure!(
        number(&told, "consumer_pid")? == u64::from(pid) && told["consumer_name"] == READER,
        "{told}"
    );
    // A buffer of 65536 frames and a chunk of 256 at 48 kHz, and what is in the ring.
    let ahead = (65_536.0 + 256.0) / 48.0;
    let ring = told["ring_fill_ms"].as_f64().context("no fill")?;
    let latency = told["latency_ms"].as_f64().context("no latency")?;
    ensure!((latency - ring - ahead).abs() < 0.02, "{told}");
    let columns = wait_for("the levels in a column", || {
        let line = batch.line()?;
        let columns: Vec<_> = line.split_whitespace().map(str::to_string).collect();
        Ok((columns[16] == "-6.02").then_some(columns))
    })?;
    ensure!(
        heading.split_whitespace().count() == 21 && columns.len() == 21,
        "{heading}{columns:?}"
    );
    ensure!(
        columns[1..5] == ["running", "S16_LE", "48000", "2"]
            && columns[19..] == [pid.to_string(), READER.to_string()],
        "{columns:?}"
    );
    player.finish()?;
    let summary = json(&consumer.wait_with_output()?.into())?;
    let last = monitor.wait_for("the end", |told| told["consumer_pid"].is_null())?;
    monitor.signal(Signal::SIGINT)?;
    batch.signal(Signal::SIGTERM)?;
    for monitor in [monitor, batch] {
        let outcome = monitor.finish()?;
        ensure!(
            outcome.code == Some(0) && outcome.stderr.is_empty(),
            "{outcome}"
        );
        ensure!(!outcome.stdout.contains('\x1b'), "{outcome}");
    }
    let played = material.by_aplay(1024).frames();
    let after = module::status()?;
    ensure!(number(&last, "frames")? == before.frames + played, "{last}");
    ensure!(number(&last, "frames")? == after.frames, "{last}");
    ensure!(number(&last, "chunks")? == after.chunks, "{last}");
    ensure!(number(&summary, "frames_in")? == played, "{summary}");
    ensure!(after.lost_frames == before.lost_frames && after.xruns == before.xruns);
    Ok(())
}

/// It sleeps from one line to the next.
fn nobody_plays() -> Result<()> {
    module::ready_with("chunk_frames=128")?;
    let lines = ["monitor", "--batch", "--interval", "50ms", "--count", "2"];
    let outcome = run(READER, &lines)?;
    ensure!(
        outcome.code == Some(0) && outcome.stderr.is_empty(),
        "{outcome}"
    );
    let lines: Vec<_> = outcome.stdout.lines().collect();
    ensure!(
        lines.len() == 3 && lines[0].contains(" STATE "),
        "{outcome}"
    );
    for line in &lines[1..] {
        let columns: Vec<_> = line.split_whitespace().collect();
        ensure!(
            columns[1..5] == ["none", "-", "-", "-"] && columns[16..] == ["-", "-", "-", "-", "-"],
            "{line}"
        );
    }
    let monitor = Monitor::start(&["--batch", "--interval", "1h"])?;
    let status = format!("/proc/{}/status", monitor.child.id());
    let switches = || -> Result<u64> {
        let text = fs::read_to_string(&status)?;
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        Ok(count.context("no count")?.trim().parse()?)
    };
    sleep_ms(500);
    let before = switches()?;
    sleep_ms(1_000);
    let after = switches()?;
    ensure!(after == before, "it woke {} times", after - before);
    // The module is not held by it.
    module::unload()?;
    monitor.signal(Signal::SIGINT)?;
    ensure!(monitor.finish()?.code == Some(0));
    Ok(())
}

/// One stream follows the other between two looks.
fn format_changes() -> Result<()> {
    module::ready()?;
    let mut monitor = Monitor::start(&["--json", "--interval", "400ms"])?;
    let square = |format: Format, channels: u32| {
        let mut material = sound(channels, 48 * 500);
        material.format = format;
        if format == Format::FloatLE {
            let samples = material.expected.iter();
            material.bytes = samples.flat_map(|bits| bits.to_le_bytes()).collect();
        }
        material
    };
    for (rate, format, channels) in [
        (48_000, Format::S16LE, 2),
        (44_100, Format::FloatLE, 1),
        (96_000, Format::S16LE, 6),
    ] {
        let material = square(format, channels);
        let setup = Setup {
            rate,
            period: 1_000,
            ..Setup::of(&material)
        };
        let app = endless(&setup, &material)?;
        let mut levels = vec![-20.0; channels as usize];
        levels[0] = -6.02;
        let told = monitor.wait_for("the levels", |told| has_levels(told, "peak_dbfs", &levels))?;
        ensure!(
            told["stream"]["rate"] == rate && told["stream"]["channels"] == channels,
            "{told}"
        );
        drop(app);
    }
    monitor.wait_for("silence", |told| told["peak_dbfs"].is_null())?;
    Ok(monitor.child.kill()?)
}

/// The card has room for eight.
fn every_recorder_taken() -> Result<()> {
    module::ready()?;
    let material = sound(2, 48 * 500);
    let setup = Setup {
        period: 1_000,
        ..Setup::of(&material)
    };
    let app = endless(&setup, &material)?;
    let recorders: Vec<_> = (0..8)
        .map(|_| Player::start(Role::Recorder))
        .collect::<Result<_>>()?;
    let mut monitor = Monitor::start(&["--json", "--interval", "50ms"])?;
    let told = monitor.wait_for("a reason", |told| told["meters_missing"].is_string())?;
    ensure!(told["peak_dbfs"].is_null(), "{told}");
    let reason = told["meters_missing"].as_str().unwrap_or_default();
    ensure!(reason.contains("eight recorders"), "{told}");
    drop(recorders);
    monitor.wait_for("meters", |told| {
        has_levels(told, "peak_dbfs", &[-6.02, -20.0])
    })?;
    monitor.child.kill()?;
    drop(app);
    Ok(())
}

fn card_removed() -> Result<()> {
    for plays in [false, true] {
        module::ready()?;
        let material = sound(2, 48 * 500);
        let setup = Setup {
            period: 1_000,
            ..Setup::of(&material)
        };
        let app = match plays {
            true => Some(endless(&setup, &material)?),
            false => None,
        };
        let mut monitor = Monitor::start(&["--json", "--interval", "50ms"])?;
        monitor.wait_for("a line", |told| {
            !plays || told["measured_frames"].as_u64() > Some(0)
        })?;
        module::take_card_away()?;
        let outcome = monitor.finish()?;
        ensure!(outcome.code == Some(3), "{outcome}");
        ensure!(
            outcome.stderr.contains("the card was taken away")
                && outcome.stderr.lines().count() == 1,
            "{outcome}"
        );
        drop(app);
    }
    module::ready()
}

/// Whoever read it has had enough: no failure, also in the middle of an hour.
fn reader_goes_away() -> Result<()> {
    module::ready()?;
    for interval in ["10ms", "1h"] {
        let mut monitor = Monitor::start(&["--batch", "--interval", interval])?;
        monitor.line()?;
        drop(monitor.stdout);
        let outcome: Outcome = monitor.child.wait_with_output()?.into();
        ensure!(
            outcome.code == Some(0) && outcome.stderr.is_empty(),
            "{outcome}"
        );
    }
    Ok(())
}

/// Between two lines the module goes and comes back.
fn module_reloaded() -> Result<()> {
    module::ready()?;
    let mut monitor = Monitor::start(&["--json", "--interval", "1500ms"])?;
    let first = monitor.wait_for("a line", |_| true)?;
    module::unload()?;
    module::load("ring_kib=64")?;
    let then = monitor.wait_for("another ring", |told| told["ring_bytes"] == 65_536)?;
    ensure!(first["ring_bytes"] == 1_048_576, "{first}");
    ensure!(
        then["frames"] == 0 && then["frames_per_second"] == 0.0,
        "{then}"
    );
    Ok(monitor.child.kill()?)
}

const UTF8: (&str, &str) = ("LANG", "C.UTF-8");
const ARGUMENTS: [&str; 3] = ["monitor", "--interval", "50ms"];

fn shows(lines: &[String], text: &str) -> bool {
    lines.iter().any(|line| line.contains(text))
}

fn dump(what: &str, lines: &[String]) {
    println!("{what}:");
    for line in lines {
        println!("|{line}");
    }
}

fn live_stereo() -> Result<()> {
    module::ready()?;
    let mut terminal = Terminal::start(READER, &ARGUMENTS, &[UTF8], (80, 24))?;
    terminal.wait_for("an idle card", |lines| shows(lines, "nothing plays"))?;
    let consumer = Player::start(Role::Consumer)?;
    let material = sound(2, 48 * 500);
    let setup = Setup {
        period: 1_000,
        ..Setup::of(&material)
    };
    let app = endless(&setup, &material)?;
    // The scale has 60 dB in 56 characters: -6.02 dB are 50 of them, -20 dB 37 and -23 dB 35.
    let square = format!("  1 {}│", "█".repeat(49));
    let sine = format!("  2 {}░│", "█".repeat(35));
    let lines = terminal.wait_for("meters", |lines| {
        lines
            .iter()
            .any(|line| line.starts_with(&square) && line.ends_with("-6.0   -6.0"))
            && lines
                .iter()
                .any(|line| line.starts_with(&sine) && line.ends_with("-20.0  -23.0"))
    })?;
    dump("stereo", &lines);
    ensure!(shows(&lines, "S16_LE, 48000 Hz, 2 channels"));
    ensure!(shows(&lines, &format!("(pid {})", consumer.pid())));
    ensure!(terminal.is_coloured());
    terminal.resize((100, 30))?;
    let lines = terminal.wait_for("a wider scale", |lines| {
        lines
            .iter()
            .any(|line| line.starts_with("  1 █") && line.chars().count() > 80)
    })?;
    dump("wider", &lines);
    drop(app);
    terminal.wait_for("silence", |lines| shows(lines, "nothing plays"))?;
    terminal.type_in("q")?;
    let (status, _) = terminal.finish()?;
    ensure!(status.code() == Some(0), "{status}");

    // Any way to end leaves the terminal as it was.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut terminal = Terminal::start(READER, &ARGUMENTS, &[("NO_COLOR", "1")], (80, 24))?;
        terminal.wait_for("a card", |lines| shows(lines, "card"))?;
        ensure!(!terminal.is_coloured());
        signal_to(terminal.pid(), signal)?;
        let (status, _) = terminal.finish()?;
        ensure!(status.code() == Some(0), "{signal}: {status}");
    }
    let mut terminal = Terminal::start(READER, &ARGUMENTS, &[], (80, 24))?;
    terminal.wait_for("a card", |lines| shows(lines, "card"))?;
    drop(consumer);
    module::take_card_away()?;
    let (status, lines) = terminal.finish()?;
    ensure!(status.code() == Some(3), "{status}");
    ensure!(
        lines.concat().contains("the card was taken away"),
        "{lines:?}"
    );
    module::ready()
}

fn live_many_channels() -> Result<()> {
    module::ready()?;
    let material = sound(64, 48 * 250);
    let setup = Setup {
        period: 1_000,
        ..Setup::of(&material)
    };
    let app = endless(&setup, &material)?;
    let ascii = [("LC_ALL", "C")];
    let mut terminal = Terminal::start(READER, &ARGUMENTS, &ascii, (80, 24))?;
    // Five characters for 60 dB.
    let lines = terminal.wait_for("64 meters", |lines| {
        shows(lines, "  1 ===|    -6") && shows(lines, " 64 ==|    -20")
    })?;
    dump("64 channels", &lines);
    ensure!(lines.iter().all(|line| line.is_ascii()));
    terminal.type_in("\x1b")?;
    let (status, _) = terminal.finish()?;
    ensure!(status.code() == Some(0), "{status}");
    drop(app);
    Ok(())
}

/// A live view needs a terminal, and says what does not.
fn no_terminal() -> Result<()> {
    let outcome = run(READER, &["monitor"])?;
    ensure!(outcome.code == Some(2), "{outcome}");
    ensure!(
        outcome.stdout.is_empty() && outcome.stderr.contains("use --batch or --json"),
        "{outcome}"
    );
    Ok(())
}
