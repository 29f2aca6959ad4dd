// SPDX-License-Identifier: MIT OR GPL-2.0

//! How loud samples are.

use rtshm::{Format, SampleFormat};

/// How samples lie in memory, of those formats that the card takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    U8,
    S16,
    S24,
    S32,
    S24Packed,
    Float,
}

impl Layout {
    /// By ALSA's number of the format; `None` for others.
    pub(super) fn of(format: SampleFormat) -> Option<Self> {
        match format.0 {
            1 => Some(Self::U8),
            2 => Some(Self::S16),
            6 => Some(Self::S24),
            10 => Some(Self::S32),
            14 => Some(Self::Float),
            32 => Some(Self::S24Packed),
            _ => None,
        }
    }

    /// Bytes of a sample.
    pub(super) fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::S16 => 2,
            Self::S24Packed => 3,
            Self::S24 | Self::S32 | Self::Float => 4,
        }
    }
}

/// How loud a channel was over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Level {
    /// The greatest sample without its sign; full scale is 1.
    pub(crate) peak: f64,
    /// The root of the mean of the squares.
    pub(crate) rms: f64,
    /// Samples at full scale or beyond: an integer format's least or greatest value.
    pub(crate) clipped: u64,
}

/// What is summed up of a channel.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    peak: f64,
    squares: f64,
    clipped: u64,
}

/// Levels of all channels, while they are measured.
#[derive(Debug)]
pub(super) struct Levels {
    layout: Layout,
    sums: Vec<Sum>,
    frames: u64,
}

impl Levels {
    /// Of frames in this format; `None` where it is not known.
    pub(super) fn new(format: &Format) -> Option<Self> {
        Some(Self {
            layout: Layout::of(format.sample_format)?,
            sums: vec![Sum::default(); usize::try_from(format.channels.max(1)).ok()?],
            frames: 0,
        })
    }

    /// Bytes of a frame.
    pub(super) fn frame_bytes(&self) -> usize {
        self.layout.width() * self.sums.len()
    }

    /// Measures whole frames.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        // CAST: Widening.
        self.frames += (bytes.len() / self.frame_bytes()) as u64;
        match self.layout {
            Layout::U8 => self.integers(bytes, 8, |[byte]: [u8; 1]| i32::from(byte) - 128),
            Layout::S16 => self.integers(bytes, 16, |bytes| i16::from_le_bytes(bytes).into()),
            // What is above the 24 bits may be anything.
            Layout::S24 => self.integers(bytes, 24, |bytes| (i32::from_le_bytes(bytes) << 8) >> 8),
            Layout::S24Packed => self.integers(bytes, 24, |[a, b, c]: [u8; 3]| {
                i32::from_le_bytes([0, a, b, c]) >> 8
            }),
            Layout::S32 => self.integers(bytes, 32, i32::from_le_bytes),
            Layout::Float => self.each(bytes, |bytes: [u8; 4]| {
                let value = f64::from(f32::from_le_bytes(bytes));
                // What is no number makes no sound.
                let value = if value.is_nan() { 0.0 } else { value };
                // Infinity has no decibels that JSON could say.
                let most = f64::from(f32::MAX);
                let value = value.clamp(-most, most);
                (value, value.abs() >= 1.0)
            }),
        }
    }

    fn integers<const WIDTH: usize>(
        &mut self,
        bytes: &[u8],
        bits: u32,
        decode: impl Fn([u8; WIDTH]) -> i32,
    ) {
        let greatest = i32::MAX >> (32 - bits);
        let full_scale = f64::from(greatest) + 1.0;
        self.each(bytes, |bytes| {
            let value = decode(bytes);
            let clipped = value == greatest || value == -greatest - 1;
            (f64::from(value) / full_scale, clipped)
        });
    }

    /// Sums up samples, by their value and whether they are clipped.
    fn each<const WIDTH: usize>(
        &mut self,
        bytes: &[u8],
        decode: impl Fn([u8; WIDTH]) -> (f64, bool),
    ) {
        for frame in bytes.chunks_exact(WIDTH * self.sums.len()) {
            for (sum, sample) in self.sums.iter_mut().zip(frame.chunks_exact(WIDTH)) {
                let Ok(sample) = sample.try_into() else {
                    return;
                };
                let (value, clipped) = decode(sample);
                sum.peak = sum.peak.max(value.abs());
                sum.squares += value * value;
                sum.clipped += u64::from(clipped);
            }
        }
    }

    /// The levels of what was measured since the last call, and how many frames that was.
    pub(super) fn take(&mut self) -> (Vec<Level>, u64) {
        let frames = std::mem::take(&mut self.frames);
        let levels = self.sums.iter_mut().map(|sum| {
            let Sum {
                peak,
                squares,
                clipped,
            } = std::mem::take(sum);
            // CAST: Less than 2^53.
            let rms = (squares / frames.max(1) as f64).sqrt();
            Level { peak, rms, clipped }
        });
        (levels.collect(), frames)
    }
}

/// A level in decibels to full scale, to a hundredth; `None` for silence.
pub(crate) fn decibels(level: f64) -> Option<f64> {
    // Minus zero is zero.
    (level > 0.0).then(|| (level.log10() * 2000.0).round() / 100.0 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(number: u32, channels: u32, bytes: &[u8]) -> Vec<Level> {
        let mut format = Format::default();
        format.sample_format = SampleFormat(number);
        format.channels = channels;
        let mut levels = Levels::new(&format).unwrap();
        let (first, second) =
            bytes.split_at(bytes.len() / 2 / levels.frame_bytes() * levels.frame_bytes());
        levels.add(first);
        levels.add(second);
        levels.take().0
    }

    fn in_decibels(level: Level) -> (Option<f64>, Option<f64>, u64) {
        (decibels(level.peak), decibels(level.rms), level.clipped)
    }

    /// A whole number of periods of a sine, as S16.
    fn sine(amplitude: f64) -> Vec<u8> {
        (0..480)
            .map(|frame| (f64::from(frame) * std::f64::consts::TAU / 48.0).sin() * amplitude)
            .flat_map(|value| (value.round() as i16).to_le_bytes())
            .collect()
    }

    #[test]
    fn a_sine_is_three_decibels_below_its_peak() {
        // 20 log10(1/sqrt(2)) = -3.0103; the peak is 32767 of 32768: -0.0003 dB. 10 periods have 20.
        let full = in_decibels(levels(2, 1, &sine(32_767.0))[0]);
        assert_eq!(full, (Some(0.0), Some(-3.01), 10));
        // A tenth: 20 dB less.
        let tenth = in_decibels(levels(2, 1, &sine(3_276.8))[0]);
        assert_eq!(tenth, (Some(-20.0), Some(-23.01), 0));
    }

    #[test]
    fn a_square_is_as_loud_as_its_peak() {
        let square: Vec<u8> = [0x00, 0x40, 0x00, 0xc0].repeat(100);
        // Half of full scale: 20 log10(1/2) = -6.0206.
        let half = Level {
            peak: 0.5,
            rms: 0.5,
            clipped: 0,
        };
        assert_eq!(levels(2, 1, &square), [half]);
        assert_eq!(in_decibels(half), (Some(-6.02), Some(-6.02), 0));
    }

    #[test]
    fn channels_are_told_apart() {
        // 1/4, 0 and -1/2, twice.
        let frames = [0x00, 0x20, 0x00, 0x00, 0x00, 0xc0].repeat(2);
        let found: Vec<_> = levels(2, 3, &frames).into_iter().map(in_decibels).collect();
        assert_eq!(
            found,
            [
                (Some(-12.04), Some(-12.04), 0),
                (None, None, 0),
                (Some(-6.02), Some(-6.02), 0)
            ]
        );
    }

    #[test]
    fn the_mean_is_over_all_frames() {
        // One of four at half of full scale: rms is 1/4.
        let frames = [0x00, 0x40, 0, 0, 0, 0, 0, 0];
        let expected = Level {
            peak: 0.5,
            rms: 0.25,
            clipped: 0,
        };
        assert_eq!(levels(2, 1, &frames), [expected]);
    }

    /// Half of full scale below zero in each format.
    #[test]
    fn every_format_is_read() {
        let half = Level {
            peak: 0.5,
            rms: 0.5,
            clipped: 0,
        };
        let samples: [(u32, &[u8]); 6] = [
            (1, &[0x40]),
            (2, &[0x00, 0xc0]),
            (6, &[0x00, 0x00, 0xc0, 0x55]),
            (10, &[0x00, 0x00, 0x00, 0xc0]),
            (14, &[0x00, 0x00, 0x00, 0xbf]),
            (32, &[0x00, 0x00, 0xc0]),
        ];
        for (number, sample) in samples {
            assert_eq!(levels(number, 1, sample), [half], "{number}");
        }
        assert_eq!(Layout::of(SampleFormat(3)), None);
    }

    #[test]
    fn full_scale_is_clipped() {
        let clipped = |number, bytes: &[u8]| levels(number, 1, bytes)[0].clipped;
        assert_eq!(clipped(1, &[0x00, 0xff, 0x01, 0xfe]), 2);
        assert_eq!(clipped(2, &[0x00, 0x80, 0xff, 0x7f, 0xfe, 0x7f]), 2);
        assert_eq!(clipped(32, &[0x00, 0x00, 0x80, 0xff, 0xff, 0x7f]), 2);
        assert_eq!(clipped(6, &[0xff, 0xff, 0x7f, 0x00, 0, 0, 0x80, 0]), 2);
        assert_eq!(clipped(10, &[0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0x80]), 2);
        let floats = [1.0f32, -1.5, 0.999, f32::INFINITY, f32::NAN];
        let bytes: Vec<u8> = floats.iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(clipped(14, &bytes), 3);
    }

    #[test]
    fn what_was_taken_is_not_told_again() {
        let mut format = Format::default();
        format.sample_format = SampleFormat(1);
        format.channels = 1;
        let mut levels = Levels::new(&format).unwrap();
        levels.add(&[0, 0xff]);
        assert_eq!(levels.take().1, 2);
        assert_eq!(levels.take(), (vec![Level::default()], 0));
    }
}
