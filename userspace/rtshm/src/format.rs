// SPDX-License-Identifier: MIT OR GPL-2.0

use std::fmt;

use rtshm_abi::record;

/// What the chunks after a `FORMAT` look like, and how the application plays them. All zero by default,
/// which is no format that a stream has, for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Format {
    /// Frames per second.
    pub rate: u32,
    /// Samples per frame.
    pub channels: u32,
    /// The application's sample format; the chunks are float32 whatever it is.
    pub sample_format: SampleFormat,
    /// The application's period in frames.
    pub period_frames: u32,
    /// The application's buffer in frames.
    pub buffer_frames: u32,
    /// Largest number of frames in a chunk, as the module says.
    pub chunk_frames: u32,
}

impl From<record::Format> for Format {
    fn from(raw: record::Format) -> Self {
        Self {
            rate: raw.rate,
            channels: raw.channels,
            sample_format: SampleFormat(raw.format),
            period_frames: raw.period_frames,
            buffer_frames: raw.buffer_frames,
            chunk_frames: raw.chunk_frames,
        }
    }
}

/// An ALSA sample format: the number of an `SNDRV_PCM_FORMAT_*`, shown by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleFormat(pub u32);

/// The linear and float formats of `<sound/asound.h>`.
const NAMES: &[(u32, &str)] = &[
    (0, "S8"),
    (1, "U8"),
    (2, "S16_LE"),
    (3, "S16_BE"),
    (4, "U16_LE"),
    (5, "U16_BE"),
    (6, "S24_LE"),
    (7, "S24_BE"),
    (8, "U24_LE"),
    (9, "U24_BE"),
    (10, "S32_LE"),
    (11, "S32_BE"),
    (12, "U32_LE"),
    (13, "U32_BE"),
    (14, "FLOAT_LE"),
    (15, "FLOAT_BE"),
    (16, "FLOAT64_LE"),
    (17, "FLOAT64_BE"),
    (25, "S20_LE"),
    (26, "S20_BE"),
    (27, "U20_LE"),
    (28, "U20_BE"),
    (32, "S24_3LE"),
    (33, "S24_3BE"),
    (34, "U24_3LE"),
    (35, "U24_3BE"),
    (36, "S20_3LE"),
    (37, "S20_3BE"),
    (38, "U20_3LE"),
    (39, "U20_3BE"),
    (40, "S18_3LE"),
    (41, "S18_3BE"),
    (42, "U18_3LE"),
    (43, "U18_3BE"),
];

impl fmt::Display for SampleFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "format {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_show_their_alsa_names() {
        assert_eq!(SampleFormat(2).to_string(), "S16_LE");
        assert_eq!(SampleFormat(32).to_string(), "S24_3LE");
        assert_eq!(SampleFormat(14).to_string(), "FLOAT_LE");
        assert_eq!(SampleFormat(4711).to_string(), "format 4711");
    }
}
