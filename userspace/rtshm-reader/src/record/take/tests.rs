// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a take leaves, wherever it ends.

use hound::{SampleFormat, WavReader};

use super::*;

const STEREO: Spec = Spec {
    rate: 48_000,
    channels: 2,
};

/// Bytes in memory, as many as fit; of those far behind only the number.
#[derive(Debug, Default)]
struct Memory {
    bytes: Vec<u8>,
    position: u64,
    len: u64,
    room: Option<u64>,
}

/// Bytes that are kept.
const KEPT: u64 = 1 << 20;

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // As a file system does: as much as there is room for.
        let end = self.position + bytes.len() as u64;
        let end = end.min(self.room.unwrap_or(u64::MAX).max(self.len));
        let count = (end - self.position) as usize;
        if count == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        for (at, &byte) in (self.position..KEPT).zip(&bytes[..count]) {
            let at = at as usize;
            if self.bytes.len() <= at {
                self.bytes.resize(at + 1, 0);
            }
            self.bytes[at] = byte;
        }
        self.position = end;
        self.len = self.len.max(end);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Memory {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(to) = to else {
            return Err(ErrorKind::Unsupported.into());
        };
        self.position = to;
        Ok(to)
    }
}

impl Storage for Memory {
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.len = len;
        self.bytes.truncate(len as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn begin(container: Container, room: Option<u64>, spec: Spec) -> Take<Memory> {
    let memory = Memory {
        room,
        ..Memory::default()
    };
    Take::begin(memory, container, true, spec).unwrap()
}

/// What an independent reader finds.
fn read(bytes: &[u8]) -> (u32, u16, Vec<f32>) {
    let mut reader = WavReader::new(bytes).unwrap();
    let spec = reader.spec();
    assert_eq!(
        (spec.bits_per_sample, spec.sample_format),
        (32, SampleFormat::Float)
    );
    let samples = reader.samples::<f32>().map(Result::unwrap).collect();
    (spec.sample_rate, spec.channels, samples)
}

fn samples(count: usize) -> Vec<f32> {
    (1..=count).map(|n| n as f32 / 65_536.0).collect()
}

#[test]
fn an_independent_reader_finds_the_samples() {
    let mut take = begin(Container::Wav, None, STEREO);
    // More than a block, and not a multiple of one.
    let samples = samples(150_002);
    for piece in samples.chunks(514) {
        take.write(piece).unwrap();
    }
    take.write_silence(3).unwrap();
    take.finish().unwrap();
    assert_eq!(take.told(), 75_004);
    let expected: Vec<_> = samples.into_iter().chain([0.0; 6]).collect();
    assert_eq!(read(&take.storage.bytes), (48_000, 2, expected));
}

/// A process that is killed leaves what was saved; what was written behind it does not disturb.
#[test]
fn it_is_good_at_any_time() {
    let mut take = begin(Container::Wav, None, STEREO);
    let samples = samples(200_000);
    assert!(read(&take.storage.bytes).2.is_empty());
    take.write(&samples[..1000]).unwrap();
    assert!(take.is_dirty());
    take.save().unwrap();
    assert!(!take.is_dirty());
    assert_eq!(read(&take.storage.bytes).2, samples[..1000]);
    take.write(&samples[1000..]).unwrap();
    assert!(take.storage.len > 400_000);
    assert_eq!(read(&take.storage.bytes).2, samples[..1000]);
    take.save().unwrap();
    assert_eq!(read(&take.storage.bytes).2, samples);
}

#[test]
fn raw_is_the_samples_alone() {
    let mut take = begin(Container::Raw, None, STEREO);
    take.write(&[1.0, -1.0]).unwrap();
    take.write_silence(1).unwrap();
    take.finish().unwrap();
    // IEEE 754: 1.0 is 0x3f800000, -1.0 is 0xbf800000.
    #[rustfmt::skip]
    let expected = [0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(take.storage.bytes, expected);
}

#[test]
fn surround_is_put_in_the_order_of_wav() {
    let six = Spec {
        rate: 48_000,
        channels: 6,
    };
    // Front left and right, rear left and right, centre, LFE.
    let frames = [0.1, 0.2, 0.5, 0.6, 0.3, 0.4, 1.1, 1.2, 1.5, 1.6, 1.3, 1.4];
    let mut take = begin(Container::Wav, None, six);
    take.write(&frames).unwrap();
    take.finish().unwrap();
    let expected = vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6];
    assert_eq!(read(&take.storage.bytes), (48_000, 6, expected));

    let mut take = begin(Container::Raw, None, six);
    take.write(&frames).unwrap();
    take.finish().unwrap();
    let expected: Vec<u8> = frames.iter().flat_map(|s: &f32| s.to_le_bytes()).collect();
    assert_eq!(take.storage.bytes, expected);
}

/// From two frames below the limit to beyond it.
#[test]
fn beyond_4_gib_the_header_changes_in_place() {
    let mut take = begin(Container::Wav, None, STEREO);
    // 108 + 8 n < 2^32 - 1: 536870898 frames.
    take.written = 8 * 536_870_896;
    let end = 116 + take.written;
    (take.storage.position, take.storage.len) = (end, end);
    take.write_silence(2).unwrap();
    take.save().unwrap();
    assert_eq!(take.storage.bytes[..4], *b"RIFF");
    take.write_silence(1).unwrap();
    take.finish().unwrap();
    let bytes = &take.storage.bytes;
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(take.storage.len, end + 24);
    assert_eq!(
        (&bytes[..4], &bytes[8..16]),
        (&b"RF64"[..], &b"WAVEds64"[..])
    );
    assert_eq!(long(20), 116 + 8 * 536_870_899 - 8);
    assert_eq!(long(28), 8 * 536_870_899);
    assert_eq!(long(36), 536_870_899);
    assert_eq!(take.told(), 536_870_899);
}

/// The disk is full in the middle of a frame.
#[test]
fn a_full_disk_leaves_whole_frames() {
    for (container, start) in [(Container::Wav, 116), (Container::Raw, 0)] {
        let room = start + 400_004;
        let mut take = begin(container, Some(room), STEREO);
        let samples = samples(200_000);
        let error = take.write(&samples).and_then(|()| take.save()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        take.salvage().unwrap();
        assert_eq!(take.told(), 50_000);
        assert_eq!(take.storage.len, start + 400_000);
        if container == Container::Wav {
            assert_eq!(read(&take.storage.bytes).2, samples[..100_000]);
        }
    }
}
