// SPDX-License-Identifier: MIT OR GPL-2.0

//! Conversion between rates that are nearly the same, where no clock can be moved.
//!
//! A windowed sinc of 128 frames. All memory is allocated before the first frame.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

/// Frames that are converted at a time.
const BLOCK: usize = 64;

/// Frames of the filter.
const FILTER: usize = 128;

/// Places between two samples at which the filter is known: with fewer, more than two of them would
/// have to be computed for each frame to have the same quality.
const STEPS: usize = 512;

/// The greatest ratio, and the inverse of the least: the mixer's pitch goes down to 0.75.
const RATIO_MAX: f64 = 1.5;

/// A converter of interleaved samples.
pub(crate) struct Converter {
    resampler: Async<f32>,
    channels: usize,
    /// A block that is not whole yet: frames in it.
    input: Box<[f32]>,
    filled: usize,
    /// Converted frames: how many there are, and how many of them are gone.
    output: Box<[f32]>,
    ready: usize,
    taken: usize,
}

impl Converter {
    /// A converter for frames of so many samples, at first of a ratio of 1.
    ///
    /// # Panics
    ///
    /// For no channels.
    pub(crate) fn new(channels: usize) -> Self {
        let filter = SincInterpolationParameters::new(FILTER, WindowFunction::BlackmanHarris2)
            .oversampling_factor(STEPS)
            .interpolation(SincInterpolationType::Linear);
        let fixed = FixedAsync::Input;
        // PANIC: Only without channels.
        let resampler = Async::new_sinc(1.0, RATIO_MAX, &filter, BLOCK, channels, fixed)
            .expect("parameters that are in range");
        let room = resampler.output_frames_max() * channels;
        Self {
            channels,
            input: vec![0.0; BLOCK * channels].into(),
            filled: 0,
            output: vec![0.0; room].into(),
            ready: 0,
            taken: 0,
            resampler,
        }
    }

    /// Forgets all samples.
    pub(crate) fn reset(&mut self) {
        let ratio = self.resampler.resample_ratio();
        self.resampler.reset();
        // As in `set_ratio`.
        let _ = self.resampler.set_resample_ratio(ratio, false);
        (self.filled, self.ready, self.taken) = (0, 0, 0);
    }

    /// Makes `ratio` frames of one from the next block on.
    pub(crate) fn set_ratio(&mut self, ratio: f64) {
        let ratio = ratio.clamp(RATIO_MAX.recip(), RATIO_MAX);
        // A ratio in range is never refused.
        let _ = self.resampler.set_resample_ratio(ratio, true);
    }

    /// Takes the beginning of `samples`, whole frames, up to the end of a block; none while there is
    /// something [`ready`](Self::ready). Returns how many frames.
    pub(crate) fn push(&mut self, samples: &[f32]) -> usize {
        if !self.ready().is_empty() {
            return 0;
        }
        let frames = (samples.len() / self.channels).min(BLOCK - self.filled);
        let len = frames * self.channels;
        self.input[self.filled * self.channels..][..len].copy_from_slice(&samples[..len]);
        self.filled += frames;
        if self.filled == BLOCK {
            self.convert();
        }
        frames
    }

    /// Fills up the block with silence.
    pub(crate) fn push_silence(&mut self) {
        if self.ready().is_empty() {
            self.input[self.filled * self.channels..].fill(0.0);
            self.convert();
        }
    }

    fn convert(&mut self) {
        let room = self.output.len() / self.channels;
        let input = InterleavedSlice::new(&self.input, self.channels, BLOCK);
        let output = InterleavedSlice::new_mut(&mut self.output, self.channels, room);
        let converted = match (input, output) {
            (Ok(input), Ok(mut output)) => {
                self.resampler
                    .process_into_buffer(&input, &mut output, None)
            }
            // Not with buffers of that size.
            _ => return,
        };
        self.filled = 0;
        self.taken = 0;
        self.ready = converted.map_or(0, |(_, frames)| frames);
    }

    /// What is to be written next.
    pub(crate) fn ready(&self) -> &[f32] {
        &self.output[self.taken * self.channels..self.ready * self.channels]
    }

    /// Takes note that so many frames of that are written.
    pub(crate) fn take(&mut self, frames: usize) {
        self.taken = (self.taken + frames).min(self.ready);
    }

    /// Frames that were pushed and are not written: without what the filter holds, which is always
    /// the same.
    pub(crate) fn held(&self) -> u64 {
        (self.filled + self.ready - self.taken) as u64
    }

    /// Blocks of silence that push all sound out of the filter.
    pub(crate) const TAIL: u32 = (FILTER / BLOCK) as u32 + 1;
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    const RATE: f64 = 48_000.0;

    /// All of `samples`, of one channel, and what comes out.
    fn convert(converter: &mut Converter, samples: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        let mut rest = samples;
        while !rest.is_empty() {
            let taken = converter.push(rest);
            rest = &rest[taken * converter.channels..];
            out.extend(converter.ready());
            let frames = converter.ready().len() / converter.channels;
            converter.take(frames);
        }
        out
    }

    fn sine(frequency: f64, frames: usize) -> Vec<f32> {
        let phase = |at: usize| 2.0 * PI * frequency * at as f64 / RATE;
        (0..frames)
            .map(|at| (0.5 * phase(at).sin()) as f32)
            .collect()
    }

    /// What is left of a sine when the sine is taken away, compared with it, in decibels.
    fn residue(samples: &[f32], frequency: f64) -> f64 {
        let phases = (0..samples.len()).map(|at| 2.0 * PI * frequency * at as f64 / RATE);
        let (mut ss, mut cc, mut sc, mut sx, mut cx) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (phase, &sample) in phases.clone().zip(samples) {
            let (sin, cos) = phase.sin_cos();
            ss += sin * sin;
            cc += cos * cos;
            sc += sin * cos;
            sx += sin * f64::from(sample);
            cx += cos * f64::from(sample);
        }
        let det = ss * cc - sc * sc;
        let (a, b) = ((sx * cc - cx * sc) / det, (cx * ss - sx * sc) / det);
        let (mut signal, mut rest) = (0.0, 0.0);
        for (phase, &sample) in phases.zip(samples) {
            let (sin, cos) = phase.sin_cos();
            let fitted = a * sin + b * cos;
            signal += fitted * fitted;
            rest += (f64::from(sample) - fitted).powi(2);
        }
        10.0 * (rest / signal).log10()
    }

    #[test]
    fn a_sine_stays_a_sine() {
        for ppm in [-1000.0, -100.0, 0.0, 37.0, 1000.0] {
            for frequency in [100.0, 997.0, 10_007.0] {
                let mut converter = Converter::new(1);
                let ratio = 1.0 + ppm * 1e-6;
                converter.set_ratio(ratio);
                let out = convert(&mut converter, &sine(frequency, 48_000));
                let expected = 48_000.0 * ratio;
                assert!((out.len() as f64 - expected).abs() < 200.0, "{}", out.len());
                let residue = residue(&out[4_800..], frequency / ratio);
                assert!(
                    residue < -110.0,
                    "{frequency} Hz, {ppm} ppm: {residue:.1} dB"
                );
            }
        }
    }

    #[test]
    fn channels_are_kept_apart() {
        let mut converter = Converter::new(3);
        let samples: Vec<f32> = sine(440.0, 9_600)
            .into_iter()
            .flat_map(|sample| [sample, 0.0, -sample])
            .collect();
        let out = convert(&mut converter, &samples);
        for frame in out.chunks_exact(3) {
            assert_eq!(frame[1], 0.0);
            assert_eq!(frame[0], -frame[2]);
        }
    }

    /// Nothing but what the filter holds is on the way, and silence pushes that out.
    #[test]
    fn the_end_comes_out() {
        let mut converter = Converter::new(1);
        let mut click = vec![0.0; 1_000];
        click[999] = 1.0;
        let mut out = convert(&mut converter, &click);
        assert_eq!(converter.held(), 1_000 % BLOCK as u64);
        for _ in 0..Converter::TAIL {
            converter.push_silence();
            out.extend(converter.ready());
            let frames = converter.ready().len();
            converter.take(frames);
        }
        let sum: f32 = out.iter().sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        assert_eq!(converter.held(), 0);
    }

    #[test]
    fn a_full_sink_holds_it_up() {
        let mut converter = Converter::new(2);
        let samples = vec![0.25; 2 * 3 * BLOCK];
        assert_eq!(converter.push(&samples), BLOCK);
        assert_eq!(converter.push(&samples), 0);
        converter.push_silence();
        let frames = converter.ready().len() / 2;
        assert!(frames > 0);
        converter.take(frames - 1);
        assert_eq!((converter.ready().len(), converter.held()), (2, 1));
        assert_eq!(converter.push(&samples), 0);
        converter.take(1);
        assert_eq!(converter.push(&samples), BLOCK);
    }
}
