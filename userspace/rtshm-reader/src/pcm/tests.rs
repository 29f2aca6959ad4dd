// SPDX-License-Identifier: MIT OR GPL-2.0

//! The sink on PCMs that alsa-lib makes of files.

use std::path::PathBuf;
use std::sync::OnceLock;

use rtshm::SampleFormat;
use tempfile::TempDir;

use super::setup::advice;
use super::*;

/// PCMs of several tastes; what is written to them ends in the file named by their argument.
const CONFIG: &str = "
pcm.null { type null }
pcm.raw {
    @args [ FILE ] @args.FILE { type string }
    type file slave.pcm null file $FILE format raw truncate true
}
pcm.integer {
    @args [ FILE ] @args.FILE { type string }
    type linear
    slave.format S16_LE
    slave.pcm { type file slave.pcm null file $FILE format raw truncate true }
}
pcm.stereo {
    @args [ FILE ] @args.FILE { type string }
    type multi
    slaves.a.channels 2
    slaves.a.pcm { type file slave.pcm null file $FILE format raw truncate true }
    bindings.0 { slave a channel 0 }
    bindings.1 { slave a channel 1 }
}
";

/// No PCM of these is on a card.
const OWN_CARD: u32 = 0;

/// Lets alsa-lib see these PCMs only; to be called before anything of ALSA.
pub(crate) fn use_test_pcms() {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("asound.conf");
        std::fs::write(&path, CONFIG).unwrap();
        std::env::set_var("ALSA_CONFIG_PATH", &path);
        dir
    });
}

/// A file in a directory of its own, and the name of a PCM that writes to it.
pub(crate) fn pcm_to_file(kind: &str) -> (TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sound");
    let name = format!("{kind}:{}", file.display());
    (dir, file, name)
}

pub(crate) fn opener(name: &str) -> PcmOpener {
    use_test_pcms();
    let latency = Duration::from_millis(100);
    PcmOpener::new(name, OWN_CARD, latency, Notes::new(false, true)).unwrap()
}

fn stream(rate: u32, channels: u32) -> Format {
    let mut format = Format::default();
    format.rate = rate;
    format.channels = channels;
    format.sample_format = SampleFormat(2);
    format.period_frames = 1024;
    format.buffer_frames = 4096;
    format.chunk_frames = 480;
    format
}

/// Every 16-bit value, as the ring has it.
fn every_s16() -> (Vec<i16>, Vec<f32>) {
    let values: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let samples = values.iter().map(|&value| f32::from(value) / 32_768.0);
    let samples = samples.collect();
    (values, samples)
}

fn bytes(values: &[i16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Writes all of `samples`; the null PCM takes them at once.
fn write_all(sink: &mut PcmSink, samples: &[f32], channels: usize) {
    let mut done = 0;
    while done < samples.len() {
        let frames = sink.write(&samples[done..]).unwrap();
        assert!(frames > 0);
        done += frames as usize * channels;
    }
}

#[test]
fn float_goes_through_as_it_is() {
    let (_dir, file, name) = pcm_to_file("raw");
    let mut sink = opener(&name).open(&stream(48_000, 2)).unwrap();
    assert_eq!(sink.setup().format, "FLOAT_LE");
    assert_eq!(sink.setup().channels, 2);
    let samples: Vec<f32> = (0..20_000).map(|n| n as f32 / 7.0).collect();
    write_all(&mut sink, &samples, 2);
    drop(sink);
    assert!(std::fs::read(file).unwrap() == bytemuck::cast_slice::<f32, u8>(&samples));
}

#[test]
fn integers_come_out_bit_for_bit() {
    let (_dir, file, name) = pcm_to_file("integer");
    let mut sink = opener(&name).open(&stream(44_100, 1)).unwrap();
    assert_eq!(sink.setup().format, "S32_LE");
    let (values, samples) = every_s16();
    write_all(&mut sink, &samples, 1);
    drop(sink);
    assert!(std::fs::read(file).unwrap() == bytes(&values));
}

#[test]
fn mono_is_played_on_both_sides_of_a_stereo_card() {
    let (_dir, file, name) = pcm_to_file("stereo");
    let mut sink = opener(&name).open(&stream(48_000, 1)).unwrap();
    assert_eq!(sink.setup().channels, 2);
    let samples: Vec<f32> = (0..5000).map(|n| n as f32).collect();
    write_all(&mut sink, &samples, 1);
    assert_eq!(sink.write_silence(3).unwrap(), 3);
    drop(sink);
    let mut expected: Vec<f32> = samples.iter().flat_map(|&s| [s, s]).collect();
    expected.extend([0.0; 6]);
    assert!(std::fs::read(file).unwrap() == bytemuck::cast_slice::<f32, u8>(&expected));
}

#[test]
fn silence_is_as_long_as_it_should_be() {
    let (_dir, file, name) = pcm_to_file("raw");
    let mut sink = opener(&name).open(&stream(48_000, 3)).unwrap();
    let mut rest = 10_001;
    while rest > 0 {
        rest -= sink.write_silence(rest).unwrap();
    }
    drop(sink);
    assert!(std::fs::read(file).unwrap() == vec![0; 10_001 * 3 * 4]);
}

#[test]
fn pieces_go_on_until_one_is_not_whole() {
    const WHOLE: usize = STAGING_FRAMES;
    let run = |total, answers: &[Result<usize, Broken>]| {
        let mut asked = Vec::new();
        let done = in_pieces(total, |start, frames| {
            asked.push((start, frames));
            answers[asked.len() - 1]
        });
        (done, asked)
    };
    assert_eq!(run(0, &[]), (Ok(0), vec![]));
    assert_eq!(
        run(WHOLE + 5, &[Ok(WHOLE), Ok(5)]),
        (Ok(WHOLE as u64 + 5), vec![(0, WHOLE), (WHOLE, 5)])
    );
    assert_eq!(run(WHOLE + 5, &[Ok(7)]), (Ok(7), vec![(0, WHOLE)]));
    assert_eq!(
        run(2 * WHOLE, &[Ok(WHOLE), Err(Broken::Xrun)]),
        (Ok(WHOLE as u64), vec![(0, WHOLE), (WHOLE, WHOLE)])
    );
    assert_eq!(
        run(5, &[Err(Broken::Xrun)]),
        (Err(Broken::Xrun), vec![(0, 5)])
    );
}

#[test]
fn other_numbers_of_channels_are_refused_with_advice() {
    let (_dir, _file, name) = pcm_to_file("stereo");
    let error = opener(&name).open(&stream(48_000, 6)).err().unwrap();
    assert!(matches!(error, OpenError::Unfit(_)));
    assert_eq!(
        error.to_string(),
        format!(
            "PCM {name} cannot play 6 channels but only 2: use `--device 'plug:\"{name}\"'` or \
             `--device default`"
        )
    );
}

#[test]
fn a_pcm_that_is_not_there_is_absent() {
    let error = opener("nobody").probe().unwrap_err();
    assert!(matches!(error, OpenError::Absent(_)));
    assert_eq!(
        error.to_string(),
        "no PCM nobody: choose another with --device; `aplay -L` lists them"
    );
    assert!(opener("null").probe().is_ok());
}

#[test]
fn the_buffer_holds_twice_the_latency() {
    let sink = opener("null").open(&stream(48_000, 2)).unwrap();
    let setup = sink.setup();
    assert_eq!(setup.latency_frames, 4800);
    assert!(setup.buffer_frames >= 9600, "{setup:?}");
    assert!(setup.period_frames >= 480, "{setup:?}");
}

#[test]
fn chunks_longer_than_the_latency_raise_it() {
    let mut long = stream(48_000, 2);
    long.chunk_frames = 48_000;
    let sink = opener("null").open(&long).unwrap();
    let setup = sink.setup();
    assert_eq!(
        setup.latency_frames,
        48_000 + 2 * setup.period_frames,
        "{setup:?}"
    );
    assert!(setup.buffer_frames >= 2 * setup.latency_frames, "{setup:?}");
}

#[test]
fn any_format_of_the_contract_can_be_asked_for() {
    for rate in [1, 8000, 768_000, u32::MAX] {
        for channels in [1, 64] {
            for chunk_frames in [0, u32::MAX] {
                let mut stream = stream(rate, channels);
                stream.chunk_frames = chunk_frames;
                // Played or refused, but nothing worse.
                match opener("null").open(&stream) {
                    Ok(sink) => assert!(sink.setup().latency_frames >= 1),
                    Err(error) => assert!(!error.to_string().contains('\n')),
                }
            }
        }
    }
}

#[test]
fn advice_fits_the_name() {
    assert_eq!(
        advice("hw:0,3"),
        "use `--device plughw:0,3` or `--device default`"
    );
    for name in ["default", "plughw:0", "plug:dmix"] {
        assert_eq!(advice(name), "choose another with --device");
    }
    assert_eq!(
        advice("front:1"),
        "use `--device 'plug:\"front:1\"'` or `--device default`"
    );
}
