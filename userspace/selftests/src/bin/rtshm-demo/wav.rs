// SPDX-License-Identifier: MIT OR GPL-2.0

//! WAV files: what the demo plays, and what QEMU records.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{anyhow, bail, ensure, Context, Result};
use hound::{SampleFormat, WavReader};

/// A frame as the emulated card plays it.
pub(crate) type Frame = [i16; 2];

/// Sound that the emulated card can play unchanged.
pub(crate) struct Sound {
    pub(crate) rate: u32,
    pub(crate) channels: u16,
    pub(crate) float: bool,
    /// A mono file's samples are in both channels.
    pub(crate) frames: Vec<Frame>,
}

impl Sound {
    /// How long it is.
    pub(crate) fn seconds(&self) -> f64 {
        self.frames.len() as f64 / f64::from(self.rate)
    }
}

impl fmt::Display for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = if self.channels == 1 { "mono" } else { "stereo" };
        let format = if self.float { "float32" } else { "S16" };
        write!(
            f,
            "{:.1} s, {} Hz, {channels}, {format}",
            self.seconds(),
            self.rate
        )
    }
}

/// Reads a file that is to be played.
///
/// Each refusal is a line that says what to do.
pub(crate) fn read(path: &Path) -> Result<Sound> {
    read_as(path, &path.display().to_string())
}

/// The same, of a file that the user knows by another name.
pub(crate) fn read_as(path: &Path, name: &str) -> Result<Sound> {
    let refuse = |error: hound::Error| match error {
        // What hound says where a file ends before it should.
        hound::Error::IoError(error) if error.to_string().contains("enough bytes") => {
            anyhow!("{name} is no WAV file, or not a whole one: use another")
        }
        hound::Error::IoError(error) => anyhow!("cannot read {name}: {error}"),
        hound::Error::Unsupported => {
            anyhow!("{name} is a WAV of a kind that the demo does not play: {CONVERT}")
        }
        error => anyhow!("{name} is no WAV file ({error}): {CONVERT}"),
    };
    let reader = WavReader::open(path).map_err(refuse)?;
    let spec = reader.spec();
    ensure!(
        matches!(spec.sample_rate, 44_100 | 48_000),
        "{name} has {} Hz, the demo plays 44100 and 48000: {CONVERT}",
        spec.sample_rate
    );
    ensure!(
        matches!(spec.channels, 1 | 2),
        "{name} has {} channels, the demo plays mono and stereo: {CONVERT}",
        spec.channels
    );
    let float = match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Int, 16) => false,
        (SampleFormat::Float, 32) => true,
        (_, bits) => {
            bail!("{name} has samples of {bits} bits, the demo plays S16 and float32: {CONVERT}")
        }
    };
    let samples: Vec<i16> = if float {
        let samples = reader.into_samples::<f32>().collect::<Result<Vec<_>, _>>();
        exact(&samples.map_err(refuse)?, spec.channels)
            .with_context(|| format!("{name} cannot come out unchanged"))?
    } else {
        let samples = reader.into_samples::<i16>().collect::<Result<_, _>>();
        samples.map_err(refuse)?
    };
    ensure!(
        !samples.is_empty(),
        "{name} has no sound in it: use another"
    );
    let frames = samples
        .chunks_exact(spec.channels.into())
        .map(|frame| [frame[0], frame[frame.len() - 1]])
        .collect();
    Ok(Sound {
        rate: spec.sample_rate,
        channels: spec.channels,
        float,
        frames,
    })
}

const CONVERT: &str = "convert it, as with `sox IN -r 48000 -b 16 -c 2 OUT.wav`";

/// Floats as the 16-bit integers that they are.
fn exact(samples: &[f32], channels: u16) -> Result<Vec<i16>> {
    let to_integer = |(at, sample): (usize, &f32)| {
        let scaled = sample * 32768.0;
        // A cast saturates and cuts off; what it changes does not fit.
        let integer = scaled as i16;
        ensure!(
            f32::from(integer) == scaled,
            "frame {} is {sample}, and the emulated sound card has 16 bits: {CONVERT}",
            at / usize::from(channels)
        );
        Ok(integer)
    };
    samples.iter().enumerate().map(to_integer).collect()
}

/// What QEMU recorded.
pub(crate) struct Recording {
    pub(crate) rate: u32,
    pub(crate) frames: Vec<Frame>,
}

/// Bytes before the samples in a file of QEMU's.
const HEADER: usize = 44;

/// Reads a recording of QEMU's: S16, stereo. Its header may lack the length, which is only written
/// at a clean end.
pub(crate) fn read_recording(path: &Path) -> Result<Recording> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let (header, data) = bytes
        .split_at_checked(HEADER)
        .with_context(|| format!("{name} is empty: the emulated card has played nothing"))?;
    let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let kind = (word(20), word(22), word(34));
    ensure!(
        header.starts_with(b"RIFF") && kind == (1, 2, 16),
        "{name} is not a recording of QEMU's"
    );
    let frames = data
        .chunks_exact(4)
        .map(|frame| {
            [
                i16::from_le_bytes([frame[0], frame[1]]),
                i16::from_le_bytes([frame[2], frame[3]]),
            ]
        })
        .collect();
    Ok(Recording {
        rate: u32::from(word(24)) | u32::from(word(26)) << 16,
        frames,
    })
}
