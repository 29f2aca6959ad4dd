// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a recorder got from the card's capture PCM.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use alsa::pcm::Format;
use alsa::Direction;
use anyhow::{anyhow, bail, ensure, Context, Result};

use crate::app::Setup;
use crate::material::Material;
use crate::module;
use crate::raw_pcm::RawPcm;
use crate::time::now;

/// A thread that records.
pub(crate) struct Microphone {
    thread: JoinHandle<Result<Recording>>,
    stop: Arc<AtomicBool>,
}

/// What was recorded.
pub(crate) struct Recording {
    pub(crate) bytes: Vec<u8>,
    /// Around the start: `CLOCK_MONOTONIC`, nanoseconds.
    pub(crate) started: (u64, u64),
    /// Around the time at which this much was recorded.
    pub(crate) ended: (u64, u64),
    setup: Setup,
}

impl Microphone {
    /// Opens the capture PCM and records.
    pub(crate) fn start(setup: &Setup) -> Result<Self> {
        Self::start_with(open(setup)?)
    }

    /// Records from a PCM that is set up.
    pub(crate) fn start_with(pcm: RawPcm) -> Result<Self> {
        let before = now();
        pcm.start().context("start")?;
        Ok(Self::listen(pcm, (before, now())))
    }

    /// Records from a PCM that runs since then.
    pub(crate) fn listen(pcm: RawPcm, started: (u64, u64)) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || record(&pcm, started, &told));
        Self { thread, stop }
    }

    /// Stops, and returns what was recorded.
    pub(crate) fn stop(self) -> Result<Recording> {
        self.stop.store(true, Ordering::Relaxed);
        let recording = self.thread.join();
        recording
            .map_err(|_| anyhow!("the recorder panicked"))?
            .context("recording")
    }
}

/// Opens the capture PCM and sets it up, with a buffer that a busy host does not overrun.
pub(crate) fn open(setup: &Setup) -> Result<RawPcm> {
    open_on(module::PCM, setup)
}

/// As [`open`], the PCM of this name.
pub(crate) fn open_on(name: &str, setup: &Setup) -> Result<RawPcm> {
    let mut pcm = RawPcm::open(name, Direction::Capture).context("cannot open to record")?;
    let setup = Setup {
        start_threshold: Some(u32::MAX),
        ..*setup
    };
    pcm.set_up(&setup).context("cannot set up to record")?;
    Ok(pcm)
}

fn record(pcm: &RawPcm, started: (u64, u64), stop: &AtomicBool) -> Result<Recording> {
    let setup = *pcm.setup();
    let frame = setup.frame_bytes();
    let mut bytes = Vec::new();
    let mut piece = vec![0; setup.period as usize * frame];
    while !stop.load(Ordering::Relaxed) {
        let frames = pcm.read(&mut piece).context("read")?;
        bytes.extend_from_slice(&piece[..frames * frame]);
    }
    let before = now();
    let rest = pcm.avail()?;
    let ended = (before, now());
    piece.resize(rest.max(1) * frame, 0);
    if rest != 0 {
        let frames = pcm.read(&mut piece)?;
        ensure!(frames == rest, "{frames} of {rest} frames");
        bytes.extend_from_slice(&piece);
    }
    pcm.stop()?;
    Ok(Recording {
        bytes,
        started,
        ended,
        setup,
    })
}

/// The byte that silence consists of.
fn silence(format: Format) -> u8 {
    match format {
        Format::U8 => 0x80,
        _ => 0,
    }
}

/// Frames of silence that `bytes` begins with.
fn silent_frames(bytes: &[u8], setup: &Setup) -> usize {
    let silence = silence(setup.format);
    let sounds = bytes.iter().position(|byte| *byte != silence);
    sounds.unwrap_or(bytes.len()) / setup.frame_bytes()
}

impl Recording {
    /// Frames recorded.
    pub(crate) fn frames(&self) -> u64 {
        (self.bytes.len() / self.setup.frame_bytes()) as u64
    }

    /// All that was recorded, to be taken apart.
    pub(crate) fn rest(&self) -> Rest<'_> {
        Rest {
            bytes: &self.bytes,
            setup: self.setup,
        }
    }

    /// Checks that this material was recorded, whole, once, and nothing else.
    pub(crate) fn check_only(&self, material: &Material) -> Result<()> {
        let mut rest = self.rest();
        rest.material(&material.bytes)?;
        rest.silence_to_the_end()
    }
}

/// What is left of a recording.
pub(crate) struct Rest<'a> {
    bytes: &'a [u8],
    setup: Setup,
}

impl Rest<'_> {
    /// Takes silence, and then exactly these frames, the first of which is not silent; returns how
    /// many silent frames there were.
    pub(crate) fn material(&mut self, expected: &[u8]) -> Result<u64> {
        let frame = self.setup.frame_bytes();
        let silent = silent_frames(self.bytes, &self.setup);
        let sound = &self.bytes[silent * frame..];
        let len = expected.len().min(sound.len());
        if let Some(at) = (0..len).find(|&at| sound[at] != expected[at]) {
            bail!(
                "after {silent} silent frames, frame {}, byte {}: {:#04x} instead of {:#04x}",
                at / frame,
                at % frame,
                sound[at],
                expected[at]
            );
        }
        ensure!(
            len == expected.len(),
            "after {silent} silent frames, {} of {} frames only",
            len / frame,
            expected.len() / frame
        );
        self.bytes = &sound[len..];
        Ok(silent as u64)
    }

    /// Checks that nothing but silence follows.
    pub(crate) fn silence_to_the_end(&self) -> Result<()> {
        let frame = self.setup.frame_bytes();
        let silent = silent_frames(self.bytes, &self.setup);
        ensure!(
            silent == self.bytes.len() / frame,
            "after {silent} more silent frames {} that are not",
            self.bytes.len() / frame - silent
        );
        Ok(())
    }
}
