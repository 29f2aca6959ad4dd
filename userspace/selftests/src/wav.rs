// SPDX-License-Identifier: MIT OR GPL-2.0

//! WAV files, for programs that play and record them.

use anyhow::{Context, Result};
use hound::{SampleFormat, WavSpec, WavWriter};

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
