// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a consumer makes of a region that no kernel would write.

mod common;

use common::{Fake, CAPACITY};
use proptest::prelude::*;
use rtshm::{Consumer, Error, Malformed, Region};
use rtshm_abi::plain::bytes_of;
use rtshm_abi::record::{self, AudioChunk, Header};

/// Pops until something is wrong; returns that and where.
fn first_error(consumer: &mut Consumer) -> (u64, Malformed) {
    loop {
        match consumer.pop() {
            Ok(Some(_)) => {}
            Err(Error::Malformed { at, what }) => return (at, what),
            other => panic!("{other:?}"),
        }
    }
}

fn malformed(fill: impl FnOnce(&mut Fake)) -> (u64, Malformed) {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fill(&mut fake);
    let error = first_error(&mut consumer);
    assert_eq!(
        first_error(&mut consumer),
        error,
        "it must stay where it is"
    );
    assert_eq!(fake.read_count(), error.0);
    error
}

fn refused(page: impl FnOnce(&Fake)) -> Error {
    let fake = Fake::new();
    page(&fake);
    fake.consumer().expect_err("such a region must be refused")
}

#[test]
fn another_version_is_refused() {
    let error = refused(|fake| fake.page().abi_version.store_relaxed(2));
    assert!(matches!(error, Error::Version { module: 2, .. }));
}

#[test]
fn a_short_header_is_refused() {
    let error = refused(|fake| fake.page().header_size.store_relaxed(255));
    assert!(matches!(error, Error::Unusable { value: 255, .. }));
}

#[test]
fn another_capacity_is_refused() {
    let error = refused(|fake| fake.page().capacity.store_relaxed(2 * CAPACITY));
    assert!(matches!(error, Error::Unusable { value, .. } if value == 2 * CAPACITY));
}

#[test]
fn a_read_count_between_records_is_refused() {
    let error = refused(|fake| fake.consumer_page().read_count.store_relaxed(4));
    assert!(matches!(error, Error::Unusable { value: 4, .. }));
}

#[test]
fn counters_may_wrap() {
    let mut fake = Fake::new();
    let start = 0u64.wrapping_sub(64);
    fake.consumer_page().read_count.store_relaxed(start);
    let mut consumer = fake.consumer().unwrap();
    // Two records of an unknown kind: of all zero, at the last 64 bytes and at the first.
    fake.publish_raw(&[], 64);
    assert_eq!(consumer.unread().unwrap(), 128);
    assert!(consumer.pop().unwrap().is_none());
    assert_eq!(fake.read_count(), 64);
}

#[test]
fn a_record_longer_than_what_was_written_is_refused() {
    let header = Header {
        size: 49,
        kind: record::AUDIO,
        flags: 0,
        position: 0,
    };
    let (at, what) = malformed(|fake| fake.publish_raw(bytes_of(&header), 64));
    assert_eq!(at, 0);
    let expected = Malformed::Overlong {
        size: 49,
        readable: 64,
    };
    assert_eq!(what, expected);
}

#[test]
fn a_record_longer_than_memory_is_refused() {
    let header = Header {
        size: u32::MAX,
        kind: record::AUDIO,
        flags: 0,
        position: 0,
    };
    let (_, what) = malformed(|fake| fake.publish_raw(bytes_of(&header), CAPACITY));
    let expected = Malformed::Overlong {
        size: u32::MAX,
        readable: CAPACITY,
    };
    assert_eq!(what, expected);
}

#[test]
fn less_than_a_header_is_refused() {
    let (_, what) = malformed(|fake| fake.publish_raw(&[], 15));
    let expected = Malformed::Overlong {
        size: 0,
        readable: 15,
    };
    assert_eq!(what, expected);
}

#[test]
fn bodies_too_short_for_their_kind_are_refused() {
    for (kind, size) in [
        (record::AUDIO, 15),
        (record::FORMAT, 31),
        (record::STATE, 15),
        (record::LOST, 15),
        (record::VOLUME, 15),
    ] {
        let (_, what) = malformed(|fake| {
            fake.push(kind, 0, 0, &[&vec![1; size as usize]]);
        });
        assert_eq!(what, Malformed::Short { kind, size });
    }
}

#[test]
fn impossible_volumes_are_refused() {
    for (gain, on) in [
        (1, 1),
        (-10_001, 1),
        (i32::MIN, 0),
        (i32::MAX, 1),
        (0, 2),
        (0, u32::MAX),
    ] {
        let (_, what) = malformed(|fake| {
            fake.volume(gain, on);
        });
        assert_eq!(what, Malformed::Volume { gain, on });
    }
}

#[test]
fn audio_before_any_format_is_refused() {
    let (_, what) = malformed(|fake| {
        fake.audio(1, 0, 0, &[0.0; 4]);
    });
    let expected = Malformed::Frames {
        frame_count: 4,
        channels: 0,
        size: 64,
    };
    assert_eq!(what, expected);
}

#[test]
fn frames_that_are_not_there_are_refused() {
    // 2^30 * 4 channels * 4 bytes overflow 32 bits to 0; 3 frames need 48 bytes.
    for frame_count in [1 << 30, 3, 1, u32::MAX] {
        let (at, what) = malformed(|fake| {
            fake.format(48_000, 4, 64);
            let chunk = AudioChunk {
                frame_count,
                ..AudioChunk::default()
            };
            fake.push(record::AUDIO, 0, 0, &[bytes_of(&chunk), &[0; 32]]);
        });
        assert_eq!(at, 64);
        let expected = Malformed::Frames {
            frame_count,
            channels: 4,
            size: 80,
        };
        assert_eq!(what, expected);
    }
}

#[test]
fn formats_that_no_stream_has_are_refused() {
    for (rate, channels) in [(0, 2), (48_000, 0), (48_000, 65), (48_000, u32::MAX)] {
        let (_, what) = malformed(|fake| {
            fake.format(rate, channels, 64);
        });
        assert_eq!(what, Malformed::Format { rate, channels });
    }
}

#[test]
fn a_write_count_that_runs_away_is_refused() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    for write_count in [CAPACITY + 1, u64::MAX, 1 << 63] {
        fake.publish_raw(&[], write_count);
        match consumer.pop() {
            Err(Error::Counter { unread, bound }) => {
                assert_eq!((unread, bound), (write_count, CAPACITY));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_write_count_that_goes_back_is_refused() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fake.publish_raw(&[], 128);
    assert_eq!(consumer.unread().unwrap(), 128);
    fake.publish_raw(&[], 64);
    match consumer.unread() {
        Err(Error::Counter { unread, bound }) => assert_eq!((unread, bound), (64, 128)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ring_full_of_nothing_known_ends() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fake.publish_raw(&[], CAPACITY);
    assert!(consumer.pop().unwrap().is_none());
    assert_eq!(fake.read_count(), CAPACITY);
}

#[test]
fn what_cannot_be_mapped_is_told() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let error = Region::map(&null, Fake::geometry()).unwrap_err();
    assert!(matches!(
        error,
        Error::Map {
            window: "producer page",
            ..
        }
    ));

    let fake = Fake::new();
    let path = format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(fake.memfd())
    );
    let read_only = std::fs::File::open(path).unwrap();
    let error = Region::map(&read_only, Fake::geometry()).unwrap_err();
    assert!(matches!(
        error,
        Error::Map {
            window: "consumer page",
            ..
        }
    ));
}

/// Pops as a careless program would; each pop must end, and in the end nothing is left to pop.
fn exhaust(consumer: &mut Consumer) -> Result<usize, Error> {
    let mut events = 0;
    while let Some(event) = consumer.pop()? {
        if let rtshm::Kind::Audio(chunk) = event.kind() {
            assert_eq!(
                chunk.samples.len(),
                chunk.frame_count as usize * chunk.channels as usize
            );
            // Touches all of it.
            std::hint::black_box(chunk.samples.iter().map(|s| s.to_bits()).max());
        }
        if let rtshm::Kind::Volume(volume) = event.kind() {
            assert!((-10_000..=0).contains(&volume.gain));
        }
        events += 1;
        assert!(events <= CAPACITY / record::RECORD_ALIGN, "more than fits");
    }
    Ok(events as usize)
}

/// A record's 64 bytes that look plausible, with what makes them less so.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![0..200u32, Just(u32::MAX), any::<u32>()];
    let kind = prop_oneof![4 => 1..=5u16, 1 => any::<u16>()];
    let words = prop::collection::vec(prop_oneof![0..5u32, any::<u32>()], 12);
    (size, kind, any::<u16>(), any::<u64>(), words).prop_map(
        |(size, kind, flags, position, words)| {
            let header = Header {
                size,
                kind,
                flags,
                position,
            };
            let mut bytes = bytes_of(&header).to_vec();
            bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            bytes
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..4096),
        write_count in prop_oneof![0..=CAPACITY, any::<u64>()],
    ) {
        let mut fake = Fake::new();
        let mut consumer = fake.consumer().unwrap();
        fake.publish_raw(&bytes, write_count);
        let _ = exhaust(&mut consumer);
    }

    #[test]
    fn no_records_make_it_panic(
        records in prop::collection::vec(plausible(), 1..64),
        cut in 0..64u64,
    ) {
        let mut fake = Fake::new();
        let mut consumer = fake.consumer().unwrap();
        let bytes = records.concat();
        fake.publish_raw(&bytes, bytes.len() as u64 - cut);
        let _ = exhaust(&mut consumer);
    }

    #[test]
    fn no_first_page_makes_it_panic(words in prop::collection::vec(any::<u32>(), 4)) {
        let fake = Fake::new();
        fake.page().abi_version.store_relaxed(words[0] % 3);
        fake.page().header_size.store_relaxed(words[1]);
        fake.page().capacity.store_relaxed(u64::from(words[2]));
        fake.consumer_page().read_count.store_relaxed(u64::from(words[3]));
        let _ = fake.consumer();
    }
}
