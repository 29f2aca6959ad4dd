// SPDX-License-Identifier: MIT OR GPL-2.0

//! The examples, as they are built for users, on the live device: what they write is what was played,
//! bit for bit.

use std::borrow::Cow;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use super::tests;
use crate::app::{aplay, Aplay, App, Setup};
use crate::material::{noise, Material};
use crate::module;
use crate::process::{run, Outcome, Player, Role};
use crate::time::wait_until;

/// An example, and how it is got into the VM.
#[derive(Clone, Copy)]
enum Example {
    /// One of our tools.
    Named(&'static str),
    /// A program in this one: its name and its content.
    Carried(&'static str, &'static [u8]),
}

const C: Example = Example::Carried(
    "consumer-c",
    include_bytes!(concat!(env!("OUT_DIR"), "/consumer-c")),
);
const CXX: Example = Example::Carried(
    "consumer-cxx",
    include_bytes!(concat!(env!("OUT_DIR"), "/consumer-cxx")),
);
const POLL: Example = Example::Named("rtshm-example-poll");
const EPOLL: Example = Example::Named("rtshm-example-epoll");
const TOKIO: Example = Example::Named("rtshm-example-tokio");

/// Tests of each example, under its name.
macro_rules! each {
    ($($example:ident: $($test:ident $run:ident)+;)+) => {
        $($(fn $test() -> Result<()> {
            $run($example)
        })+)+

        tests!(examples: $($($test),+),+);
    };
}

each! {
    C: c_once once c_stopped stopped c_loses loses c_behind behind c_refused refused;
    CXX: cxx_once once cxx_stopped stopped cxx_loses loses cxx_behind behind cxx_refused refused;
    POLL: poll_once once poll_stopped stopped poll_loses loses poll_behind behind poll_refused refused;
    EPOLL: epoll_once once epoll_stopped stopped epoll_loses loses epoll_behind behind epoll_refused refused;
    TOKIO: tokio_once once tokio_stopped stopped tokio_loses loses tokio_behind behind tokio_refused refused;
}

impl Example {
    /// Puts it into the guest's memory, with what it needs: by the clock of `--icount` a page that the
    /// host has yet to bring takes seconds.
    fn program(self) -> Result<PathBuf> {
        let (name, content) = match self {
            Self::Named(name) => (name, fs::read(format!("/usr/local/bin/{name}"))?.into()),
            Self::Carried(name, content) => (name, Cow::Borrowed(content)),
        };
        let path = PathBuf::from(format!("/tmp/{name}"));
        fs::write(&path, content)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        let refused = Command::new(&path).arg("/dev/null").output()?;
        ensure!(refused.status.code() == Some(1), "{refused:?}");
        Ok(path)
    }
}

/// An example that runs.
struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    /// Starts it and waits until it is the consumer, and may be told to stop.
    fn start(example: Example, arguments: &[&str]) -> Result<Self> {
        let output = PathBuf::from(format!("/tmp/example-{}.f32", std::process::id()));
        let child = Command::new(example.program()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = child.id();
        let running = Self { child, output };
        wait_until("the example to open the device", || {
            Ok(module::status()?.consumer_pid == Some(pid) && heeds_sigterm(pid)?)
        })?;
        Ok(running)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        Ok(kill(pid, signal)?)
    }

    /// Waits for its end, and returns what it wrote: the bits of each sample, and its messages.
    fn finish(self) -> Result<(Vec<u32>, String)> {
        let outcome: Outcome = self.child.wait_with_output()?.into();
        ensure!(outcome.code == Some(0), "{outcome}");
        let bytes = fs::read(&self.output)?;
        let samples = bytes.chunks_exact(4);
        ensure!(samples.remainder().is_empty(), "half a sample at the end");
        let samples = samples.map(|bytes| bytes.try_into().map(u32::from_ne_bytes));
        Ok((samples.collect::<Result<_, _>>()?, outcome.stderr))
    }
}

/// Whether a process catches SIGTERM, or blocks it for good.
fn heeds_sigterm(pid: u32) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = |name| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name));
        let mask = mask.with_context(|| format!("no {name}"))?;
        anyhow::Ok(u64::from_str_radix(mask.trim(), 16)?)
    };
    let is_in = |mask: u64, signal| mask & 1 << (signal as u32 - 1) != 0;
    // The C library blocks all of them for a moment, as before the first random number.
    let blocked = mask("SigBlk:")?;
    Ok(is_in(mask("SigCgt:")?, Signal::SIGTERM)
        || is_in(blocked, Signal::SIGTERM) && !is_in(blocked, Signal::SIGUSR1))
}

/// Compares what an example wrote with what was to come out.
fn compare(written: &[u32], expected: &[u32]) -> Result<()> {
    let same = written.iter().zip(expected).take_while(|(a, b)| a == b);
    let same = same.count();
    ensure!(
        written == expected,
        "{} samples instead of {}, the first {same} are right",
        written.len(),
        expected.len()
    );
    Ok(())
}

fn material(seed: u64) -> Material {
    noise(Format::S16LE, 2, 30_000, seed)
}

/// A stream from its start to its end, which ends the example.
fn once(example: Example) -> Result<()> {
    module::ready()?;
    let running = Running::start(example, &["--once"])?;
    let setup = Setup::default();
    let material = material(1);
    aplay(&setup, &material)?;
    let (written, said) = running.finish()?;
    compare(&written, &material.by_aplay(setup.period).expected).context(said.clone())?;
    ensure!(said.contains("0: 48000 Hz, 2 channels\n"), "{said}");
    // At the position where the stream before this one ended.
    ensure!(said.contains(": volume 0.00 dB\n"), "{said}");
    ensure!(!said.contains("lost"), "{said}");
    Ok(())
}

/// Two streams, and a signal in the middle of a third: what it had to say until then is there.
fn stopped(example: Example) -> Result<()> {
    module::ready()?;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // By its path, this time.
        let running = Running::start(example, &[module::NODE])?;
        let mut expected = Vec::new();
        for (seed, format) in [(2, Format::S16LE), (3, Format::FloatLE)] {
            let material = noise(format, 2, 5_000, seed);
            App::open(&Setup::of(&material))?.play(&material)?;
            expected.extend(material.expected);
        }
        let before = module::status()?.frames;
        let third = material(4);
        let player = Aplay::start(&Setup::default(), &third)?;
        wait_until("sound", || Ok(module::status()?.frames > before + 4_800))?;
        let told = module::status()?.frames - before;
        running.signal(signal)?;
        let (written, said) = running.finish()?;
        player.finish()?;

        let third = third.by_aplay(Setup::default().period).expected;
        let of_third = written.len().saturating_sub(expected.len());
        ensure!(
            of_third as u64 >= told * 2 && of_third < third.len(),
            "{of_third} samples of the third stream, of which {told} frames were there: {said}"
        );
        expected.extend_from_slice(&third[..of_third]);
        compare(&written, &expected).context(said)?;
    }
    Ok(())
}

/// It stands still until the ring has long been full. All that is missing is silence, and no more.
fn loses(example: Example) -> Result<()> {
    // 160 ms.
    module::ready_with("ring_kib=64")?;
    let running = Running::start(example, &["--once"])?;
    let setup = Setup::default();
    let material = noise(setup.format, setup.channels, 48_000, 5);
    let before = module::status()?;
    let player = Aplay::start(&setup, &material)?;
    wait_until("sound", || {
        Ok(module::status()?.frames > before.frames + 4_800)
    })?;
    running.signal(Signal::SIGSTOP)?;
    wait_until("a loss", || {
        Ok(module::status()?.lost_frames > before.lost_frames + 1_000)
    })?;
    running.signal(Signal::SIGCONT)?;
    player.finish()?;
    let (written, said) = running.finish()?;
    let lost = module::status()?.lost_frames - before.lost_frames;

    let expected = material.by_aplay(setup.period).expected;
    check_loss(&written, &expected, &said, lost)
}

/// Checks that all that was lost is told, and silent, and that the rest is right.
fn check_loss(written: &[u32], expected: &[u32], said: &str, lost: u64) -> Result<()> {
    let told: u64 = said
        .lines()
        .filter_map(|line| line.strip_suffix(" frames lost")?.split(": ").nth(1))
        .map(|frames| frames.parse::<u64>().context("a number"))
        .sum::<Result<_>>()?;
    ensure!(told == lost, "{lost} frames were lost: {said}");
    ensure!(
        written.len() == expected.len(),
        "{} samples instead of {}: {said}",
        written.len(),
        expected.len()
    );
    let mut silent = 0;
    for (frame, expected) in written.chunks(2).zip(expected.chunks(2)) {
        if frame != expected {
            ensure!(frame == [0; 2], "a frame is wrong: {said}");
            silent += 1;
        }
    }
    ensure!(
        silent == lost,
        "{silent} frames of silence for {lost} that were lost"
    );
    Ok(())
}

/// It stands still until the ring is full and the stream pauses, and is told to stop then: what is in
/// the ring comes, and what the kernel has kept.
fn behind(example: Example) -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let running = Running::start(example, &[])?;
    let material = noise(Format::S16LE, 2, 16_000, 6);
    let before = module::status()?;
    running.signal(Signal::SIGSTOP)?;
    let app = App::open(&Setup::of(&material))?;
    app.write(&material)?;
    wait_until("a loss", || {
        Ok(module::status()?.lost_frames > before.lost_frames + 1_000)
    })?;
    app.pcm.pause(true)?;
    running.signal(Signal::SIGTERM)?;
    running.signal(Signal::SIGCONT)?;
    let (written, said) = running.finish()?;
    let after = module::status()?;
    let lost = after.lost_frames - before.lost_frames;
    let played = after.frames - before.frames + lost;
    let expected = material.expected_at(0, played).context("too much")?;
    check_loss(&written, expected, &said, lost)?;
    ensure!(said.to_lowercase().contains("pause"), "{said}");
    Ok(())
}

/// Where there is nothing to consume it says why, in a line.
fn refused(example: Example) -> Result<()> {
    module::ready()?;
    let program = example.program()?;
    let program = program.to_str().context("a name")?;
    let _consumer = Player::start(Role::Consumer)?;
    for device in ["/dev/rtshm", "/dev/rtshm7", "/dev/null"] {
        let outcome = run(program, &[device])?;
        let lines = outcome.stderr.lines().count();
        ensure!(
            outcome.code == Some(1) && outcome.stdout.is_empty() && lines == 1,
            "{device}: {outcome}"
        );
    }
    Ok(())
}
