// SPDX-License-Identifier: MIT OR GPL-2.0

//! Makes what is played.

use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// Joins files of one kind, with a pause of a fifth of a second after each but the last.
pub(crate) fn join(out: &Path, files: &[PathBuf]) -> Result<()> {
    let mut joined: Option<(WavSpec, Vec<i16>)> = None;
    for file in files {
        let mut reader = WavReader::open(file).with_context(|| file.display().to_string())?;
        let spec = reader.spec();
        let samples = reader.samples().collect::<Result<Vec<i16>, _>>();
        let samples = samples.with_context(|| file.display().to_string())?;
        match &mut joined {
            None => joined = Some((spec, samples)),
            Some((first, all)) => {
                ensure!(*first == spec, "{} is of another kind", file.display());
                let pause = spec.sample_rate / 5 * u32::from(spec.channels);
                all.extend((0..pause).map(|_| 0));
                all.extend(samples);
            }
        }
    }
    let (spec, samples) = joined.context("nothing to join")?;
    write(out, spec, &samples)
}

/// Writes noise that uses all values of a 16-bit sample alike.
pub(crate) fn noise(out: &Path, rate: u32, channels: u16, seconds: f64, float: bool) -> Result<()> {
    let count = (f64::from(rate) * seconds) as usize * usize::from(channels);
    let mut state = u64::from(rate) << 8 | u64::from(channels);
    let samples: Vec<i16> = (0..count)
        .map(|_| {
            // Knuth's MMIX generator; its high bits are good enough for noise.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 48) as i16
        })
        .collect();
    let spec = WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: if float { 32 } else { 16 },
        sample_format: if float {
            SampleFormat::Float
        } else {
            SampleFormat::Int
        },
    };
    if !float {
        return write(out, spec, &samples);
    }
    let floats: Vec<_> = samples
        .iter()
        .map(|&sample| f32::from(sample) / 32768.0)
        .collect();
    write(out, spec, &floats)
}

fn write<S: hound::Sample + Copy>(out: &Path, spec: WavSpec, samples: &[S]) -> Result<()> {
    let written = (|| {
        let mut writer = WavWriter::create(out, spec)?;
        for sample in samples {
            writer.write_sample(*sample)?;
        }
        writer.finalize()
    })();
    written.with_context(|| format!("cannot write {}", out.display()))
}
