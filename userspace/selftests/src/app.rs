// SPDX-License-Identifier: MIT OR GPL-2.0

//! Applications: our own, through alsa-lib, and `aplay`.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use alsa::pcm::{Access, Format, Frames, HwParams, State, PCM};
use alsa::{Direction, ValueOr};
use anyhow::{ensure, Context, Result};

use crate::material::{sample_bytes, Material};
use crate::module;

/// How an application sets the card up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) format: Format,
    pub(crate) channels: u32,
    pub(crate) rate: u32,
    pub(crate) period: u32,
    /// Long enough for a host that is busy: no test means to lose a race.
    pub(crate) buffer: u32,
    /// Whether the application writes into the mapped buffer.
    pub(crate) mmap: bool,
    /// Whether each channel has a buffer of its own (for a [`RawPcm`](crate::raw_pcm::RawPcm)).
    pub(crate) planar: bool,
    /// Frames that start the stream; `None` starts it with the first.
    pub(crate) start_threshold: Option<u32>,
    /// Whether the stream goes on when it has nothing to play.
    pub(crate) nonstop: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            format: Format::S16LE,
            channels: 2,
            rate: 48_000,
            period: 1024,
            buffer: 16_384,
            mmap: false,
            planar: false,
            start_threshold: None,
            nonstop: false,
        }
    }
}

impl Setup {
    /// A buffer of 85 ms that is played round and round.
    pub(crate) fn round() -> Self {
        Self {
            nonstop: true,
            period: 512,
            buffer: 4_096,
            ..Self::default()
        }
    }

    /// For this material.
    pub(crate) fn of(material: &Material) -> Self {
        Self {
            format: material.format,
            channels: material.channels,
            ..Self::default()
        }
    }

    /// ALSA's number of the format, by `<sound/asound.h>`.
    pub(crate) fn format_number(&self) -> u32 {
        match self.format {
            Format::U8 => 1,
            Format::S16LE => 2,
            Format::S24LE => 6,
            Format::S32LE => 10,
            Format::FloatLE => 14,
            Format::S243LE => 32,
            other => panic!("{other} is not tested"),
        }
    }

    /// Bytes of a sample.
    pub(crate) fn sample_bytes(&self) -> usize {
        sample_bytes(self.format)
    }

    /// Bytes of a frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.sample_bytes() * self.channels as usize
    }
}

/// An application through alsa-lib.
pub(crate) struct App {
    pub(crate) pcm: PCM,
    setup: Setup,
}

impl App {
    /// Opens the card and prepares a stream.
    pub(crate) fn open(setup: &Setup) -> Result<Self> {
        Self::open_on(module::PCM, setup)
    }

    /// Opens the PCM of this name and prepares a stream.
    pub(crate) fn open_on(name: &str, setup: &Setup) -> Result<Self> {
        let pcm = PCM::new(name, Direction::Playback, false).context("cannot open the PCM")?;
        let mut app = Self { pcm, setup: *setup };
        app.set_up(setup).context("cannot set the PCM up")?;
        Ok(app)
    }

    /// Sets the card up anew, from any state.
    pub(crate) fn set_up(&mut self, setup: &Setup) -> Result<()> {
        self.setup = *setup;
        let hw = HwParams::any(&self.pcm)?;
        hw.set_access(match setup.mmap {
            true => Access::MMapInterleaved,
            false => Access::RWInterleaved,
        })?;
        hw.set_format(setup.format)?;
        hw.set_channels(setup.channels)?;
        hw.set_rate(setup.rate, ValueOr::Nearest)?;
        hw.set_period_size(setup.period.into(), ValueOr::Nearest)?;
        hw.set_buffer_size(setup.buffer.into())?;
        self.pcm.hw_params(&hw)?;
        let sw = self.pcm.sw_params_current()?;
        sw.set_start_threshold(setup.start_threshold.unwrap_or(1).into())?;
        if setup.nonstop {
            sw.set_stop_threshold(sw.get_boundary()?)?;
        }
        self.pcm.sw_params(&sw)?;
        Ok(())
    }

    /// Writes all of it, which starts the stream by its threshold.
    pub(crate) fn write(&self, material: &Material) -> Result<()> {
        let bytes = &material.bytes;
        let frame = self.frame_bytes();
        ensure!(bytes.len() % frame == 0, "half a frame in the material");
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            done += frame
                * if self.setup.mmap {
                    self.write_mapped(rest)?
                } else {
                    self.write_rw(rest)?
                };
        }
        Ok(())
    }

    fn write_rw(&self, bytes: &[u8]) -> Result<usize> {
        Ok(self.pcm.io_bytes().writei(bytes)?)
    }

    fn write_mapped(&self, bytes: &[u8]) -> Result<usize> {
        if self.pcm.avail_update()? == 0 {
            self.pcm.wait(None)?;
            return Ok(0);
        }
        let frame = self.frame_bytes();
        let written = self.pcm.io_bytes().mmap(bytes.len() / frame, |area| {
            let len = area.len().min(bytes.len());
            area[..len].copy_from_slice(&bytes[..len]);
            len / frame
        })?;
        let threshold = self.setup.start_threshold.unwrap_or(1);
        let filled = Frames::from(self.setup.buffer) - self.pcm.avail_update()?;
        // alsa-lib's own write does this for applications that use it.
        if self.pcm.state() == State::Prepared && filled >= threshold.into() {
            self.pcm.start()?;
        }
        Ok(written)
    }

    /// Writes all of it and waits until it is played.
    pub(crate) fn play(&self, material: &Material) -> Result<()> {
        self.write(material)?;
        self.pcm.drain().context("drain")?;
        Ok(())
    }

    fn frame_bytes(&self) -> usize {
        self.setup.frame_bytes()
    }
}

/// A running `aplay`.
pub(crate) struct Aplay {
    child: Child,
    file: PathBuf,
}

impl Aplay {
    /// Starts `aplay` for this material.
    pub(crate) fn start(setup: &Setup, material: &Material) -> Result<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = PathBuf::from(format!("/tmp/selftest-{}-{count}.raw", std::process::id()));
        fs::write(&file, &material.bytes)?;
        let mut command = Command::new("aplay");
        command
            .args(["-q", "-D", module::PCM, "-t", "raw"])
            .args(["-f", &setup.format.to_string()])
            .args(["-c", &setup.channels.to_string()])
            .args(["-r", &setup.rate.to_string()])
            .arg(format!("--period-size={}", setup.period))
            .arg(format!("--buffer-size={}", setup.buffer))
            .args(setup.mmap.then_some("-M"))
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().context("cannot start aplay")?;
        Ok(Self { child, file })
    }

    /// Waits for its end, and fails unless it failed.
    pub(crate) fn finish_failing(self) -> Result<()> {
        let output = self.child.wait_with_output()?;
        fs::remove_file(&self.file)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && said.starts_with("aplay: "),
            "aplay: {}: {}",
            output.status,
            said.trim_end()
        );
        Ok(())
    }

    /// Waits for its end, and fails where it failed or had something to say.
    pub(crate) fn finish(self) -> Result<()> {
        let output = self.child.wait_with_output()?;
        fs::remove_file(&self.file)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(
            output.status.success() && said.is_empty(),
            "aplay: {}: {}",
            output.status,
            said.trim_end()
        );
        Ok(())
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }
}

/// Plays the material with `aplay`, to its end.
pub(crate) fn aplay(setup: &Setup, material: &Material) -> Result<()> {
    Aplay::start(setup, material)?.finish()
}
