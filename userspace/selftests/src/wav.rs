// SPDX-License-Identifier: MIT OR GPL-2.0

//! WAV files, for programs that play and record them.

use anyhow::{ensure, Context, Result};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use crate::material::Material;

/// Writes material in S16_LE.
pub(crate) fn write(file: &str, material: &Material, rate: u32) -> Result<()> {
    let spec = WavSpec {
        channels: u16::try_from(material.channels)?,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut writer = WavWriter::create(file, spec).with_context(|| file.to_string())?;
    for bytes in material.bytes.chunks(2) {
        writer.write_sample(i16::from_le_bytes(bytes.try_into()?))?;
    }
    writer.finalize()?;
    Ok(())
}

/// Reads a file of float32 at this rate, with this many channels; returns the samples' bits.
pub(crate) fn read(file: &str, rate: u32, channels: u32) -> Result<Vec<u32>> {
    let mut reader = WavReader::open(file).with_context(|| file.to_string())?;
    let spec = reader.spec();
    ensure!(
        spec.sample_rate == rate
            && u32::from(spec.channels) == channels
            && spec.sample_format == SampleFormat::Float,
        "{spec:?}"
    );
    let samples = reader.samples::<f32>().collect::<Result<Vec<_>, _>>()?;
    Ok(samples.into_iter().map(f32::to_bits).collect())
}
