// SPDX-License-Identifier: MIT OR GPL-2.0

//! The application: plays the pattern into the card.

use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use alsa::pcm::{Access, Format, HwParams, State, PCM};
use alsa::{Direction, ValueOr};
use anyhow::{anyhow, Context, Result};
use nix::errno::Errno;
use rtshm::{Error, Holder};

use super::pattern::sample;

/// Sound that is written ahead, where the card's buffer takes it: nothing here means to be late.
const AHEAD_MILLIS: u64 = 500;

/// How long to wait for room, at most, before looking whether to end.
const PATIENCE_MILLIS: u32 = 100;

/// How often to see whether the last frame was played.
const DRAIN_STEP: Duration = Duration::from_millis(10);

/// What the card's buffer can be; `Documentation/module.rst`.
const PERIODS: (u64, u64) = (2, 1024);
pub(super) const BUFFER_BYTES: u64 = 4 << 20;

/// Bytes of a sample.
pub(super) const SAMPLE: u64 = 4;

/// How to play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) rate: u32,
    pub(super) channels: u32,
    pub(super) period: u32,
}

impl Setup {
    /// Frames in the buffer: whole periods.
    pub(super) fn buffer(&self) -> u64 {
        let period = u64::from(self.period);
        let wanted = (u64::from(self.rate) * AHEAD_MILLIS / 1000).div_ceil(period);
        let most = BUFFER_BYTES / (SAMPLE * u64::from(self.channels) * period);
        let (fewest, limit) = PERIODS;
        period * wanted.min(most).clamp(fewest, limit)
    }
}

/// A stream on the card.
pub(super) struct Player {
    pcm: PCM,
    setup: Setup,
    /// Frames written.
    written: u64,
    /// Times that it was late.
    pub(super) xruns: u64,
}

impl Player {
    /// Takes the card of this index, which nobody may use.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where an application plays.
    pub(super) fn open(card: u32, setup: Setup) -> Result<Self> {
        let name = format!("hw:{card}");
        let failed = |error: alsa::Error| match errno(error) {
            Errno::EBUSY | Errno::EAGAIN => anyhow!(Error::Busy {
                path: PathBuf::from(&name),
                holder: holder(card),
            }),
            Errno::EACCES | Errno::EPERM => anyhow!(Error::Permission {
                path: PathBuf::from(&name),
            }),
            errno => anyhow!("cannot open PCM {name}: {}", errno.desc()),
        };
        // With O_NONBLOCK, or it would wait for the card.
        let pcm = PCM::new(&name, Direction::Playback, true).map_err(failed)?;
        set_up(&pcm, &setup).with_context(|| format!("cannot set PCM {name} up for this"))?;
        Ok(Self {
            pcm,
            setup,
            written: 0,
            xruns: 0,
        })
    }

    /// Plays so many frames and waits until they are played, or stops where `is_over` says so, and
    /// does so from then on; returns how many were played, at least and at most.
    pub(super) fn play(
        &mut self,
        total: u64,
        is_over: impl Fn() -> bool,
    ) -> Result<RangeInclusive<u64>> {
        let mut samples = Vec::new();
        while self.written < total && !is_over() {
            let frames = (total - self.written).min(self.setup.period.into());
            let channels = u64::from(self.setup.channels);
            let first = self.written * channels;
            samples.clear();
            samples.extend((first..first + frames * channels).map(sample));
            self.write(&samples, &is_over)?;
        }
        if !is_over() {
            self.drain(&is_over)?;
        }
        if !is_over() {
            return Ok(self.written..=self.written);
        }
        self.stop()
    }

    /// Ends the stream where it is.
    fn stop(&mut self) -> Result<RangeInclusive<u64>> {
        let queued = match self.pcm.delay().map_err(errno) {
            Ok(frames) => u64::try_from(frames).unwrap_or(0),
            Err(Errno::EPIPE) => {
                self.xruns += 1;
                0
            }
            // Drained: nothing is left.
            Err(Errno::EBADFD) => 0,
            Err(error) => return Err(error).context("cannot ask the card where it is"),
        };
        // A few frames may go meanwhile.
        self.pcm.drop().context("cannot stop the card")?;
        Ok(self.written.saturating_sub(queued)..=self.written)
    }

    fn drain(&mut self, is_over: &impl Fn() -> bool) -> Result<()> {
        match self.pcm.drain().map_err(errno) {
            Err(Errno::EPIPE) => self.xruns += 1,
            // It has begun.
            Err(Errno::EAGAIN) => {
                while self.pcm.state() == State::Draining && !is_over() {
                    thread::sleep(DRAIN_STEP);
                }
            }
            drained => drained.context("cannot drain the card")?,
        }
        Ok(())
    }

    fn write(&mut self, samples: &[f32], is_over: &impl Fn() -> bool) -> Result<()> {
        let io = self.pcm.io_f32()?;
        let mut rest = samples;
        while !rest.is_empty() && !is_over() {
            match io.writei(rest).map_err(errno) {
                Ok(frames) => {
                    // CAST: Widening, as all here.
                    self.written += frames as u64;
                    // PANIC: ALSA takes at most what it was given.
                    rest = &rest[frames * self.setup.channels as usize..];
                }
                // What was written so far has been played; the rest is another stream's.
                Err(Errno::EPIPE) => {
                    self.xruns += 1;
                    self.pcm.prepare().context("cannot prepare the card")?;
                }
                Err(Errno::EAGAIN) => match self.pcm.wait(Some(PATIENCE_MILLIS)).map_err(errno) {
                    // An xrun shows at the next write.
                    Ok(_) | Err(Errno::EPIPE | Errno::EINTR) => {}
                    Err(error) => return Err(error).context("cannot wait for the card"),
                },
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("cannot write to the card"),
            }
        }
        Ok(())
    }
}

fn errno(error: alsa::Error) -> Errno {
    Errno::from_raw(error.errno())
}

fn set_up(pcm: &PCM, setup: &Setup) -> alsa::Result<()> {
    let frames = |count| alsa::pcm::Frames::try_from(count).unwrap_or(alsa::pcm::Frames::MAX);
    let hw = HwParams::any(pcm)?;
    hw.set_access(Access::RWInterleaved)?;
    hw.set_format(Format::FloatLE)?;
    hw.set_channels(setup.channels)?;
    hw.set_rate(setup.rate, ValueOr::Nearest)?;
    hw.set_period_size(setup.period.into(), ValueOr::Nearest)?;
    hw.set_buffer_size(frames(setup.buffer()))?;
    pcm.hw_params(&hw)?;
    let sw = pcm.sw_params_current()?;
    // Full first: then there is time.
    sw.set_start_threshold(frames(setup.buffer()))?;
    pcm.sw_params(&sw)
}

/// Who plays on the card, where ALSA says it.
pub(super) fn holder(card: u32) -> Option<Holder> {
    let status = format!("/proc/asound/card{card}/pcm0p/sub0/status");
    let text = fs::read_to_string(status).ok()?;
    let owner = text
        .lines()
        .find_map(|line| line.strip_prefix("owner_pid")?.split(':').nth(1))?;
    owner.trim().parse().ok().map(Holder::of_pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_half_a_second_of_what_the_card_takes() {
        let buffer = |rate, channels, period| {
            Setup {
                rate,
                channels,
                period,
            }
            .buffer()
        };
        assert_eq!(buffer(48_000, 2, 256), 24_064); // 94 periods
        assert_eq!(buffer(8_000, 1, 16), 4_000);
        assert_eq!(buffer(48_000, 2, 48_000), 96_000);
        // 1024 periods; 4 MiB, where half a second of 64 channels would be 24 MiB.
        assert_eq!(buffer(768_000, 2, 16), 16_384);
        assert_eq!(buffer(192_000, 64, 1024), 16_384);
    }
}
