// SPDX-License-Identifier: MIT OR GPL-2.0

//! Two threads and a mapped region, as fast as they can.

#![cfg(not(loom))]

mod mirror;

use rtshm_abi::{
    layout::CAPACITY_MIN,
    memory::{
        Reader,
        Writer, //
    },
    record::{
        self,
        AudioChunk,
        Header,
        Record, //
    },
    ring::Refusal,
};

use std::{
    sync::atomic::{
        AtomicBool,
        Ordering, //
    },
    thread, //
};

const RECORDS: u64 = 100_000;

const CHANNELS: u32 = 2;

/// Frames of the record with this number: seldom many, and with every remainder.
fn frames(number: u64) -> u32 {
    // The finaliser of SplitMix64, by which consecutive numbers have nothing in common.
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let most = if mixed % 64 == 0 { 5000 } else { 400 };
    ((mixed >> 32) % most) as u32
}

/// The sample's bytes at a place of a record: no two neighbours in the ring are the same.
fn sample(number: u64, place: usize) -> [u8; 4] {
    (number as u32)
        .wrapping_mul(0x9E37_79B9)
        .wrapping_add(place as u32)
        .to_ne_bytes()
}

/// Lets one end know that the other has panicked, so that it does not wait for it for ever.
struct Fate<'a>(&'a AtomicBool);

impl Fate<'_> {
    fn wait(&self) {
        // ORDERING: Relaxed; nothing is read through it.
        let panicked = self.0.load(Ordering::Relaxed);
        assert!(!panicked, "the other end has failed");
        thread::yield_now();
    }
}

impl Drop for Fate<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // ORDERING: As above.
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn push(writer: &mut Writer, number: u64, fate: &Fate<'_>) {
    let frame_count = frames(number);
    let size = record::audio_size(frame_count, CHANNELS).expect("a small chunk");
    let len = record::stored_len(size);
    while let Err(refusal) = writer.reserve(len) {
        assert_eq!(refusal, Refusal::Full, "the reader is honest");
        fate.wait();
    }
    let header = Header {
        size,
        kind: record::AUDIO,
        flags: 0,
        position: number,
    };
    let chunk = AudioChunk {
        frame_count,
        reserved: 0,
        time_stamp: !number,
        reserved2: [0; 4],
    };
    let bytes = writer.reserved();
    assert!(record::put(bytes, &header));
    assert!(record::put(&mut bytes[record::HEADER_LEN..], &chunk));
    let samples = &mut bytes[record::AUDIO_OFFSET..record::HEADER_LEN + size as usize];
    for (place, bytes) in samples.chunks_exact_mut(4).enumerate() {
        bytes.copy_from_slice(&sample(number, place));
    }
    writer.commit(len);
}

/// Checks the oldest record and gives it back, or returns whether there was none.
fn pop(reader: &mut Reader, number: u64) -> bool {
    let readable = reader.peek().expect("the writer is honest");
    let Some(record) = Record::parse(readable).expect("whole records") else {
        return false;
    };
    assert_eq!(record.header.kind, record::AUDIO);
    assert_eq!(record.header.position, number);
    let (chunk, samples) = record.audio(CHANNELS).expect("a chunk");
    assert_eq!(chunk.time_stamp, !number);
    assert_eq!(chunk.frame_count, frames(number));
    for (place, bytes) in samples.chunks_exact(4).enumerate() {
        assert_eq!(
            bytes,
            sample(number, place),
            "record {number}, sample {place}"
        );
    }
    let len = record.stored_len();
    reader.release(len);
    true
}

#[test]
fn every_record_arrives_whole() {
    let mut region = mirror::Region::new(CAPACITY_MIN);
    let panicked = AtomicBool::new(false);
    region.run(0, |writer, reader| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let fate = Fate(&panicked);
                (0..RECORDS).for_each(|number| push(writer, number, &fate));
            });
            let fate = Fate(&panicked);
            for number in 0..RECORDS {
                while !pop(reader, number) {
                    fate.wait();
                }
            }
        });
        assert_eq!(reader.look(), Ok(0));
        assert_eq!(reader.read_count(), writer.write_count());
    });
}
