// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader record` on this machine: what an application plays is in the file, bit for bit,
//! whatever ends it.

use std::fs;
use std::io::Read;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use super::tests;
use super::tool::{json, number, READER};
use crate::app::{aplay, App, Setup};
use crate::material::{noise, Material};
use crate::module;
use crate::process::{run, Outcome};
use crate::time::{wait_for, wait_until};
use crate::wav;

tests!(record: bit_for_bit, surround, format_changes, exact_duration, killed, interrupted, hang_up, piped, reader_goes_away, disk_full, lost_frames, card_removed, first_come);

/// A directory of its own, on a file system of so many KiB.
struct Place(String);

impl Place {
    fn new(kib: u32) -> Result<Self> {
        let path = format!("/tmp/selftest-record-{}", std::process::id());
        fs::create_dir_all(&path)?;
        let size = format!("size={kib}k");
        let mount = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &path])?;
        ensure!(mount.code == Some(0), "{mount}");
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The next test has another.
        let _ = run("umount", &["--lazy", &self.0]);
        let _ = fs::remove_dir(&self.0);
    }
}

/// A tool that records.
struct Recording(Child);

impl Recording {
    /// Starts it and waits until it is the consumer.
    fn start(arguments: &[&str]) -> Result<Self> {
        let child = Command::new(READER)
            .arg("record")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut recording = Self(child);
        let pid = recording.0.id();
        wait_until("the tool to open the device", || {
            ensure!(recording.0.try_wait()?.is_none(), "it has ended");
            Ok(module::status()?.consumer_pid == Some(pid))
        })?;
        Ok(recording)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), signal)?;
        Ok(())
    }

    fn stdout(&mut self) -> Result<ChildStdout> {
        self.0.stdout.take().context("no stdout")
    }

    fn stderr(&mut self) -> Result<ChildStderr> {
        self.0.stderr.take().context("no stderr")
    }

    fn finish(self) -> Result<Outcome> {
        Ok(self.0.wait_with_output()?.into())
    }
}

/// An application that has its material in the buffer at once, so that it is never late.
fn early(material: &Material) -> Result<App> {
    let setup = Setup {
        buffer: 131_072,
        ..Setup::of(material)
    };
    let app = App::open(&setup)?;
    app.write(material)?;
    Ok(app)
}

fn check(found: &[u32], expected: &[u32]) -> Result<()> {
    if let Some(at) = found.iter().zip(expected).position(|(a, b)| a != b) {
        let (found, expected) = (found[at], expected[at]);
        anyhow::bail!("sample {at}: {found:#010x} instead of {expected:#010x}");
    }
    ensure!(
        found.len() == expected.len(),
        "{} samples instead of {}",
        found.len(),
        expected.len()
    );
    Ok(())
}

/// Checks that a file has exactly this material.
fn check_file(file: &str, rate: u32, material: &Material) -> Result<()> {
    let found = wav::read(file, rate, material.channels)?;
    check(&found, &material.expected).with_context(|| file.to_string())
}

fn files(told: &Value) -> Result<&[Value]> {
    let files = told["files"].as_array().context("no files")?;
    Ok(files)
}

/// Three formats that an application may have are one to the file.
fn bit_for_bit() -> Result<()> {
    module::ready()?;
    let place = Place::new(8192)?;
    let recording = Recording::start(&[&place.file("a.wav"), "--json"])?;
    let mut all = noise(Format::S16LE, 2, 0, 0);
    for (seed, format) in (1..).zip([Format::S16LE, Format::S24LE, Format::FloatLE]) {
        let material = noise(format, 2, 10_240, seed);
        aplay(&Setup::of(&material), &material)?;
        all.expected.extend(material.by_aplay(1024).expected);
    }
    recording.signal(Signal::SIGTERM)?;
    let told = json(&recording.finish()?)?;
    // `hound` makes floats of the samples, and signalling NaNs stay what they are on this machine.
    check_file(&place.file("a.wav"), 48_000, &all)?;
    ensure!(number(&told, "frames_out")? == all.frames(), "{told}");
    ensure!(
        number(&told, "streams")? == 3 && number(&told, "lost_frames")? == 0,
        "{told}"
    );
    ensure!(
        files(&told)?.len() == 1 && files(&told)?[0]["channels"] == 2,
        "{told}"
    );
    Ok(())
}

/// The card's channel map has the centre behind the rear, WAV before.
fn surround() -> Result<()> {
    module::ready()?;
    let place = Place::new(8192)?;
    let recording = Recording::start(&[&place.file("a.wav"), "--once"])?;
    let mut material = noise(Format::S16LE, 6, 5_000, 1);
    App::open(&Setup::of(&material))?.play(&material)?;
    let outcome = recording.finish()?;
    ensure!(outcome.code == Some(0), "{outcome}");
    for frame in material.expected.chunks_exact_mut(6) {
        frame.copy_from_slice(&[frame[0], frame[1], frame[4], frame[5], frame[2], frame[3]]);
    }
    check_file(&place.file("a.wav"), 48_000, &material)?;
    // The mask: front, centre, LFE, back.
    let header = fs::read(place.file("a.wav"))?;
    ensure!(header[76..80] == [0x3f, 0, 0, 0], "{:x?}", &header[76..80]);
    Ok(())
}

fn format_changes() -> Result<()> {
    module::ready()?;
    let place = Place::new(8192)?;
    fs::write(place.file("a-3.wav"), "precious")?;
    let recording = Recording::start(&[&place.file("a.wav"), "--json"])?;
    let formats = [
        (48_000, 2, "a.wav"),
        (44_100, 2, "a-2.wav"),
        (44_100, 1, "a-4.wav"),
        (48_000, 2, "a-5.wav"),
    ];
    let mut materials = Vec::new();
    for (seed, (rate, channels, _)) in (1..).zip(formats) {
        let material = noise(Format::S16LE, channels, 9_000, seed);
        let setup = Setup {
            rate,
            ..Setup::of(&material)
        };
        App::open(&setup)?.play(&material)?;
        materials.push(material);
    }
    recording.signal(Signal::SIGINT)?;
    let told = json(&recording.finish()?)?;
    for ((rate, _, name), material) in formats.into_iter().zip(&materials) {
        check_file(&place.file(name), rate, material)?;
    }
    ensure!(files(&told)?.len() == 4, "{told}");
    ensure!(fs::read(place.file("a-3.wav"))? == b"precious");
    Ok(())
}

/// So many frames, however long they take: there is a pause in between.
fn exact_duration() -> Result<()> {
    module::ready()?;
    let place = Place::new(8192)?;
    let recording = Recording::start(&[&place.file("a.wav"), "--duration", "250ms", "--json"])?;
    let first = noise(Format::S16LE, 2, 5_000, 1);
    let second = noise(Format::S16LE, 2, 20_000, 2);
    for material in [&first, &second] {
        App::open(&Setup::of(material))?.play(material)?;
    }
    let told = json(&recording.finish()?)?;
    let mut expected = [first.expected, second.expected].concat();
    expected.truncate(12_000 * 2);
    check(&wav::read(&place.file("a.wav"), 48_000, 2)?, &expected)?;
    ensure!(number(&told, "frames_out")? == 12_000, "{told}");
    Ok(())
}

/// SIGKILL leaves a file that is right as far as it goes. The stream neither ends nor pauses, which
/// would bring the file up to date: the buffer is played round and round.
fn killed() -> Result<()> {
    module::ready()?;
    let place = Place::new(65_536)?;
    let file = place.file("a.wav");
    let mut recording = Recording::start(&[&file])?;
    let material = noise(Format::S16LE, 2, 131_072, 1);
    let setup = Setup {
        buffer: 131_072,
        nonstop: true,
        ..Setup::of(&material)
    };
    let app = App::open(&setup)?;
    app.write(&material)?;
    let half = wait_for("the file to grow", || {
        let found = wav::read(&file, 48_000, 2).unwrap_or_default();
        Ok((found.len() >= 48_000).then_some(found.len()))
    })?;
    recording.0.kill()?;
    recording.0.wait()?;
    let found = wav::read(&file, 48_000, 2)?;
    ensure!(found.len() >= half, "{} samples", found.len());
    let expected = material.expected.iter().copied().cycle();
    check(&found, &expected.take(found.len()).collect::<Vec<_>>())
}

fn interrupted() -> Result<()> {
    module::ready()?;
    let place = Place::new(16_384)?;
    let recording = Recording::start(&[&place.file("a.wav"), "--json"])?;
    let before = module::status()?;
    let material = noise(Format::S16LE, 2, 48_000, 1);
    let app = early(&material)?;
    wait_until("sound", || {
        Ok(module::status()?.frames > before.frames + 4_800)
    })?;
    // All of that was due before the signal.
    recording.signal(Signal::SIGINT)?;
    let told = json(&recording.finish()?)?;
    let found = wav::read(&place.file("a.wav"), 48_000, 2)?;
    ensure!(found.len() > 4_800 * 2, "{} samples", found.len());
    ensure!(
        number(&told, "frames_out")? * 2 == found.len() as u64,
        "{told}"
    );
    check(&found, &material.expected[..found.len()])?;
    app.pcm.drain()?;
    Ok(())
}

/// SIGHUP begins another file, and no frame is missing in between.
fn hang_up() -> Result<()> {
    module::ready()?;
    let place = Place::new(16_384)?;
    let recording = Recording::start(&[&place.file("a.wav"), "--once"])?;
    let before = module::status()?;
    let material = noise(Format::S16LE, 2, 480_000, 1);
    let mut written = 48_000;
    let app = early(&material.part(0, written))?;
    wait_until("sound", || {
        Ok(module::status()?.frames > before.frames + 4_800)
    })?;
    recording.signal(Signal::SIGHUP)?;
    // Where delivery is eager all that was written may be in the first one.
    wait_until("another file", || {
        app.write(&material.part(written, 480))?;
        written += 480;
        Ok(place.names()?.len() > 1)
    })?;
    app.pcm.drain()?;
    let outcome = recording.finish()?;
    ensure!(outcome.code == Some(0), "{outcome}");
    ensure!(
        place.names()? == ["a-2.wav", "a.wav"],
        "{:?}",
        place.names()?
    );
    let mut found = wav::read(&place.file("a.wav"), 48_000, 2)?;
    ensure!(found.len() > 4_800 * 2, "{} samples", found.len());
    found.extend(wav::read(&place.file("a-2.wav"), 48_000, 2)?);
    check(&found, &material.part(0, written).expected)
}

/// Standard output has the sound and nothing else.
fn piped() -> Result<()> {
    module::ready()?;
    for format in ["raw", "wav"] {
        let mut recording = Recording::start(&["-", "--format", format, "--once"])?;
        let mut stdout = recording.stdout()?;
        let material = noise(Format::FloatLE, 2, 20_000, 1);
        App::open(&Setup::of(&material))?.play(&material)?;
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes)?;
        let outcome = recording.finish()?;
        ensure!(outcome.code == Some(0), "{outcome}");
        let start = match format {
            "wav" => 116,
            _ => 0,
        };
        ensure!(start == 0 || bytes.starts_with(b"RIFF\xff\xff\xff\xffWAVE"));
        let found: Vec<u32> = bytes[start..]
            .chunks_exact(4)
            .map(|bytes| Ok(u32::from_le_bytes(bytes.try_into()?)))
            .collect::<Result<_>>()?;
        check(&found, &material.expected).context(format)?;
    }
    Ok(())
}

/// Whoever read it has had enough: no failure, and nothing to say but the account.
fn reader_goes_away() -> Result<()> {
    module::ready()?;
    for plays in [false, true] {
        let mut recording = Recording::start(&["-", "--quiet"])?;
        let mut stderr = recording.stderr()?;
        let material = noise(Format::S16LE, 2, 20_000, 1);
        let app = App::open(&Setup::of(&material))?;
        if plays {
            app.write(&material)?;
            let mut header = [0; 116];
            recording.stdout()?.read_exact(&mut header)?;
        } else {
            drop(recording.stdout()?);
        }
        let outcome = recording.finish()?;
        ensure!(outcome.code == Some(0), "{outcome}");
        let mut said = String::new();
        stderr.read_to_string(&mut said)?;
        ensure!(said.is_empty(), "{said}");
    }
    Ok(())
}

/// What fits is there, its header too, and the message says how much that is.
fn disk_full() -> Result<()> {
    module::ready()?;
    for name in ["a.wav", "a.raw"] {
        let place = Place::new(512)?;
        let file = place.file(name);
        let recording = Recording::start(&[&file, "--json"])?;
        // 960 KiB.
        let material = noise(Format::S16LE, 2, 122_880, 1);
        early(&material)?.pcm.drain()?;
        let outcome = recording.finish()?;
        ensure!(outcome.code == Some(8), "{outcome}");
        let told: Value = serde_json::from_str(&outcome.stdout)?;
        let frames = number(&told, "frames_out")?;
        let found = match name {
            "a.wav" => wav::read(&file, 48_000, 2)?,
            _ => fs::read(&file)?
                .chunks_exact(4)
                .map(|bytes| Ok(u32::from_le_bytes(bytes.try_into()?)))
                .collect::<Result<_>>()?,
        };
        // All the pages but the directory's.
        ensure!(found.len() > 100_000, "{} samples", found.len());
        ensure!(frames * 2 == found.len() as u64, "{told}");
        check(&found, &material.expected[..found.len()])?;
        let line = outcome.stderr.lines().last().unwrap_or_default();
        let expected = format!("{name}: No space left on device; {frames} frames (");
        ensure!(line.contains(&expected), "{line}");
    }
    Ok(())
}

/// The recorder is held up until the ring is full: what is behind the gap keeps its place.
fn lost_frames() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let place = Place::new(16_384)?;
    let recording = Recording::start(&[&place.file("a.wav"), "--once", "--json"])?;
    let before = module::status()?;
    let material = noise(Format::S16LE, 2, 96_000, 1);
    let app = early(&material)?;
    recording.signal(Signal::SIGSTOP)?;
    wait_until("a loss", || {
        Ok(module::status()?.lost_frames > before.lost_frames + 1_000)
    })?;
    recording.signal(Signal::SIGCONT)?;
    app.pcm.drain()?;
    let told = json(&recording.finish()?)?;
    let lost = number(&told, "lost_frames")?;
    ensure!(
        lost > 1_000 && number(&told, "silence_frames")? == lost,
        "{told}"
    );
    let found = wav::read(&place.file("a.wav"), 48_000, 2)?;
    ensure!(found.len() == material.expected.len(), "{told}");
    let mut missing = 0;
    for (found, expected) in found.chunks_exact(2).zip(material.expected.chunks_exact(2)) {
        if found != expected {
            ensure!(found == [0, 0], "{found:x?} instead of {expected:x?}");
            missing += 1;
        }
    }
    // A frame of the noise may be silent itself.
    ensure!(
        missing <= lost && missing + 10 > lost,
        "{missing} of {lost}"
    );
    Ok(())
}

/// What was played until then is there.
fn card_removed() -> Result<()> {
    module::ready()?;
    let place = Place::new(16_384)?;
    let recording = Recording::start(&[&place.file("a.wav"), "--json"])?;
    let material = noise(Format::S16LE, 2, 10_240, 1);
    App::open(&Setup::of(&material))?.play(&material)?;
    module::take_card_away()?;
    let outcome = recording.finish()?;
    ensure!(outcome.code == Some(3), "{outcome}");
    let told: Value = serde_json::from_str(&outcome.stdout)?;
    ensure!(number(&told, "frames_out")? == 10_240, "{told}");
    check_file(&place.file("a.wav"), 48_000, &material)
}

/// Nothing that exists is overwritten, and nothing is said on standard output.
fn first_come() -> Result<()> {
    module::ready()?;
    let place = Place::new(1024)?;
    let file = place.file("a.wav");
    fs::write(&file, "precious")?;
    let outcome = run(READER, &["record", &file])?;
    ensure!(
        outcome.code == Some(8) && outcome.stdout.is_empty() && outcome.stderr.contains("--force"),
        "{outcome}"
    );
    ensure!(fs::read(&file)? == b"precious");
    let recording = Recording::start(&[&file, "--force", "--once"])?;
    let material = noise(Format::S16LE, 2, 5_000, 1);
    App::open(&Setup::of(&material))?.play(&material)?;
    let outcome = recording.finish()?;
    ensure!(outcome.code == Some(0), "{outcome}");
    check_file(&file, 48_000, &material)
}
