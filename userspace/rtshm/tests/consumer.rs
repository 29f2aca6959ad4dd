// SPDX-License-Identifier: MIT OR GPL-2.0

//! What a consumer makes of a region that is as it should be.

mod common;

use std::time::Duration;

use common::{Fake, CAPACITY};
use rtshm::{ClockRatio, Error, Kind, State};
use rtshm_abi::plain::bytes_of;
use rtshm_abi::record::{self, AudioChunk, Format, Header};

#[test]
fn events_come_in_order_and_whole() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    assert!(consumer.pop().unwrap().is_none());

    assert!(fake.format(44_100, 2, 512));
    assert!(fake.state_with(State::Start, record::RESYNC, 1000));
    assert!(fake.audio(2, 1000, 123_456_789, &[0.5, -0.5, 0.25, -0.25, 1.0, -1.0]));
    assert!(fake.lost(300, record::SPANS_STREAMS, 1003));
    assert!(fake.volume(-1250, 1));
    assert!(fake.volume(0, 0));

    let event = consumer.pop().unwrap().unwrap();
    let Kind::Format(format) = event.kind() else {
        panic!("{event:?}");
    };
    assert_eq!((format.rate, format.channels), (44_100, 2));
    assert_eq!(format.sample_format.to_string(), "S16_LE");
    assert_eq!((format.period_frames, format.buffer_frames), (1024, 4096));
    assert_eq!(format.chunk_frames, 512);
    assert!(!event.is_resync());
    drop(event);

    let event = consumer.pop().unwrap().unwrap();
    assert!(event.is_resync());
    assert_eq!(event.position(), 1000);
    let Kind::State(change) = event.kind() else {
        panic!("{event:?}");
    };
    assert_eq!((change.state, change.time_stamp), (State::Start, 7));
    drop(event);

    let event = consumer.pop().unwrap().unwrap();
    let Kind::Audio(chunk) = event.kind() else {
        panic!("{event:?}");
    };
    assert_eq!((chunk.position, chunk.time_stamp), (1000, 123_456_789));
    assert_eq!((chunk.frame_count, chunk.channels), (3, 2));
    assert_eq!(chunk.samples, [0.5, -0.5, 0.25, -0.25, 1.0, -1.0]);
    drop(event);

    let event = consumer.pop().unwrap().unwrap();
    let Kind::Lost(lost) = event.kind() else {
        panic!("{event:?}");
    };
    assert_eq!((lost.frames, lost.time_stamp), (300, 9));
    assert!(lost.spans_streams);
    drop(event);

    for (gain, is_on) in [(-1250, true), (0, false)] {
        let event = consumer.pop().unwrap().unwrap();
        let Kind::Volume(volume) = event.kind() else {
            panic!("{event:?}");
        };
        assert_eq!((volume.gain, volume.is_on), (gain, is_on));
        assert_eq!(volume.time_stamp, 11);
        drop(event);
    }

    assert!(consumer.pop().unwrap().is_none());
}

#[test]
fn a_suspended_stream_is_told() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    assert!(fake.state(State::Suspend, 5));
    let event = consumer.pop().unwrap().unwrap();
    assert!(matches!(event.kind(), Kind::State(change) if change.state == State::Suspend));
}

/// The kernel sees what is asked for, within the bounds of that, and nothing before or after.
#[test]
fn a_speed_is_asked_for() {
    let fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    let requested = || fake.consumer_page().rate_request.load_relaxed();
    assert_eq!(requested(), 0);
    consumer.request_rate(ClockRatio::from_ppm(100.0).unwrap());
    assert_eq!(requested(), 4_295_396_793);
    consumer.request_rate(ClockRatio::NOMINAL);
    assert_eq!(requested(), 1 << 32);
    // A clock can run at a speed that cannot be asked for.
    fake.page().clock_ratio.store_relaxed(3 << 31);
    consumer.request_rate(consumer.clock_ratio().unwrap());
    assert_eq!(requested(), 4_299_262_263);
    consumer.clear_rate_request();
    assert_eq!(requested(), 0);
    assert_eq!(fake.consumer_page().wake_bytes.load_relaxed(), 0);
}

#[test]
fn the_speed_of_the_clock_is_seen() {
    let fake = Fake::new();
    let consumer = fake.consumer().unwrap();
    assert_eq!(consumer.clock_ratio(), None);
    for (raw, text) in [(1 << 32, "nominal"), ((1 << 32) + 53_687, "+12.500 ppm")] {
        fake.page().clock_ratio.store_relaxed(raw);
        assert_eq!(consumer.clock_ratio().unwrap().to_string(), text);
    }
}

#[test]
fn dropping_an_event_gives_its_bytes_back() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fake.format(48_000, 1, 64);
    // 64 + 100 * 4 bytes, in units of 64.
    fake.audio(1, 0, 0, &[0.0; 100]);
    assert_eq!(consumer.unread().unwrap(), 64 + 512);

    let event = consumer.pop().unwrap().unwrap();
    assert_eq!(fake.read_count(), 0);
    drop(event);
    assert_eq!(fake.read_count(), 64);
    drop(consumer.pop().unwrap().unwrap());
    assert_eq!(fake.read_count(), 64 + 512);
    assert_eq!(consumer.unread().unwrap(), 0);
}

#[test]
fn an_event_that_is_put_back_comes_again() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fake.format(48_000, 1, 64);
    fake.audio(1, 5, 0, &[0.125]);
    drop(consumer.pop().unwrap());
    for _ in 0..2 {
        let event = consumer.pop().unwrap().unwrap();
        assert_eq!(event.position(), 5);
        event.put_back();
        assert_eq!(fake.read_count(), 64);
    }
    drop(consumer.pop().unwrap());
    assert!(consumer.pop().unwrap().is_none());
}

#[test]
fn chunks_are_whole_wherever_they_lie() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fake.format(48_000, 1, 1000);
    drop(consumer.pop().unwrap());

    let (mut pushed, mut popped) = (0u64, 0u64);
    for round in 0..500u64 {
        let frames = 1 + round * 37 % 1000;
        let audio: Vec<f32> = (pushed..pushed + frames)
            .map(|frame| frame as f32)
            .collect();
        assert!(fake.audio(1, pushed, 0, &audio));
        pushed += frames;
        let event = consumer.pop().unwrap().unwrap();
        let Kind::Audio(chunk) = event.kind() else {
            panic!("{event:?}");
        };
        assert_eq!(chunk.position, popped);
        for &sample in chunk.samples {
            assert_eq!(sample, popped as f32);
            popped += 1;
        }
    }
    assert_eq!(popped, pushed);
    assert!(fake.write_count() > 10 * CAPACITY, "it never wrapped");
}

/// 2^64 bytes after the first, at the ring's end too: a chunk that lies over both.
#[test]
fn chunks_are_whole_where_the_counters_wrap() {
    let mut fake = Fake::new();
    let start = 0u64.wrapping_sub(128);
    fake.consumer_page().read_count.store_relaxed(start);
    fake.page().write_count.store_relaxed(start);
    let mut consumer = fake.consumer().unwrap();
    assert!(consumer.pop().unwrap().is_none());

    let mut count = start;
    let mut publish = |kind, size, body: &[&[u8]]| {
        let header = Header {
            size,
            kind,
            flags: 0,
            position: 5,
        };
        let bytes = [&[bytes_of(&header)], body].concat().concat();
        fake.poke(count % CAPACITY, &bytes);
        count = count.wrapping_add(record::stored_len(size));
        fake.page().write_count.store_release(count);
    };
    let format = Format {
        rate: 48_000,
        channels: 1,
        ..Format::default()
    };
    publish(record::FORMAT, 32, &[bytes_of(&format)]);
    let samples: Vec<f32> = (0..100u8).map(f32::from).collect();
    let chunk = AudioChunk {
        frame_count: 100,
        ..AudioChunk::default()
    };
    let bytes = bytemuck::cast_slice(&samples);
    publish(record::AUDIO, 448, &[bytes_of(&chunk), bytes]);
    // 64 bytes for the format, and 64 + 400, in units of 64.
    assert_eq!(count, start.wrapping_add(64 + 512));

    assert_eq!(consumer.unread().unwrap(), 64 + 512);
    let event = consumer.pop().unwrap().unwrap();
    assert!(matches!(event.kind(), Kind::Format(_)));
    drop(event);
    let event = consumer.pop().unwrap().unwrap();
    assert!(matches!(event.kind(), Kind::Audio(chunk) if chunk.samples == samples));
    drop(event);
    assert_eq!(fake.read_count(), count);
    assert_eq!(consumer.unread().unwrap(), 0);
}

#[test]
fn a_full_ring_refuses_until_bytes_are_given_back() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    assert!(fake.format(48_000, 1, 1000));
    while fake.audio(1, 0, 0, &[0.0; 1000]) {}
    assert!(CAPACITY - consumer.unread().unwrap() < 4096);
    for _ in 0..2 {
        drop(consumer.pop().unwrap());
    }
    assert!(fake.audio(1, 0, 0, &[0.0; 1000]));
}

#[test]
fn what_a_later_version_adds_is_skipped() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fake.push(99, 0, 0, &[&[1; 300]]);
    // A state that this version does not know, and bytes behind a format that it does.
    fake.push(record::STATE, 0, 0, &[&[200, 0, 0, 0], &[0; 12]]);
    let mut format = vec![0u8; 40];
    format[..4].copy_from_slice(&8000u32.to_ne_bytes());
    format[4..8].copy_from_slice(&3u32.to_ne_bytes());
    fake.push(record::FORMAT, 0xfff0, 0, &[&format]);

    let event = consumer.pop().unwrap().unwrap();
    let Kind::Format(format) = event.kind() else {
        panic!("{event:?}");
    };
    assert_eq!((format.rate, format.channels), (8000, 3));
    drop(event);
    assert!(consumer.pop().unwrap().is_none());
    assert_eq!(fake.read_count(), fake.write_count());
}

#[test]
fn waiting_ends_with_something_to_pop_or_with_the_time() {
    let fake = Fake::new();
    let consumer = fake.consumer().unwrap();
    assert!(!consumer.wait(Some(Duration::ZERO)).unwrap());
    assert!(!consumer.wait(Some(Duration::from_millis(1))).unwrap());
    fake.ring_bell(true);
    assert!(consumer.wait(Some(Duration::ZERO)).unwrap());
    assert!(consumer.wait(Some(Duration::MAX)).unwrap());
    assert!(consumer.wait(None).unwrap());
}

#[test]
fn a_faulty_consumer_is_told_so() {
    // The writing end of a pipe that nobody reads polls as the device does then: POLLERR.
    let (read, write) = nix::unistd::pipe().unwrap();
    drop(read);
    let consumer = Fake::new().consumer_polling(write).unwrap();
    assert!(matches!(consumer.wait(None), Err(Error::Faulty)));
}

#[test]
fn a_device_that_is_gone_is_told_so() {
    let (read, write) = nix::unistd::pipe().unwrap();
    drop(write);
    let consumer = Fake::new().consumer_polling(read).unwrap();
    assert!(matches!(consumer.wait(None), Err(Error::Gone)));
}

#[test]
fn what_a_device_that_is_gone_has_left_can_be_popped() {
    let (read, write) = nix::unistd::pipe().unwrap();
    nix::unistd::write(&write, &[0]).unwrap();
    drop(write);
    // POLLIN and POLLHUP.
    let consumer = Fake::new().consumer_polling(read).unwrap();
    assert!(consumer.wait(None).unwrap());
}

#[test]
fn the_wake_threshold_is_the_kernels_to_read() {
    let fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    consumer.set_wake_threshold(12_345);
    assert_eq!(fake.consumer_page().wake_bytes.load_relaxed(), 12_345);
}

#[test]
fn producer_and_consumer_run_at_once() {
    const FRAMES: u64 = 200_000;
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    let producer = std::thread::spawn(move || {
        while !fake.format(48_000, 1, 300) {}
        let mut position = 0;
        while position < FRAMES {
            let frames = (1 + position % 300).min(FRAMES - position);
            let audio: Vec<f32> = (position..position + frames).map(|f| f as f32).collect();
            while !fake.audio(1, position, 0, &audio) {
                std::thread::yield_now();
            }
            position += frames;
        }
        fake
    });
    let mut next = 0;
    while next < FRAMES {
        match consumer.pop().unwrap() {
            None => std::thread::yield_now(),
            Some(event) => {
                if let Kind::Audio(chunk) = event.kind() {
                    for &sample in chunk.samples {
                        assert_eq!(sample, next as f32);
                        next += 1;
                    }
                }
            }
        }
    }
    let fake = producer.join().unwrap();
    assert_eq!(fake.read_count(), fake.write_count());
}
