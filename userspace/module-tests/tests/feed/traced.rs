// SPDX-License-Identifier: GPL-2.0

//! What the feed traces is what it tells.

use rtshm_module_tests::{
    abi::record::State,
    trace::{
        self,
        Event, //
    }, //
};

use super::{
    card::Config,
    rig::{
        Rig,
        CARD, //
    },
    told::Told, //
};

/// Chunks of 128 bytes in the ring.
const SMALL: Config = Config::new(48_000, 1, 64, 16);

/// A consumer that reads in time for a while and then not, until the stream ends; then all there is.
#[test]
fn every_chunk_loss_and_change_is_traced() {
    let mut rig = Rig::attached(4096);
    let mut told = Vec::new();
    let events = trace::of(|| {
        for frames in [16, 1000, 3] {
            rig.start(SMALL);
            rig.play(7);
            rig.change(State::Pause);
            rig.change(State::Resume);
            rig.play(frames);
            told.extend(rig.read_all());
            rig.skip(5);
            rig.change(State::Stop);
        }
        assert!(rig.settle());
        told.extend(rig.read_all());
    });
    let chunks: Vec<_> = told
        .iter()
        .filter_map(|told| match *told {
            Told::Audio {
                position,
                time,
                frames,
                ..
            } => Some((CARD, position, frames, time)),
            _ => None,
        })
        .collect();
    let pushes: Vec<_> = events
        .iter()
        .filter_map(|event| match *event {
            Event::Push {
                card,
                position,
                frames,
                time_stamp,
                ..
            } => Some((card, position, frames, time_stamp)),
            _ => None,
        })
        .collect();
    assert_eq!(pushes, chunks);
    assert!(chunks.len() > 10);

    let changes: Vec<_> = told
        .iter()
        .filter_map(|told| match *told {
            Told::State {
                flags: 0,
                position,
                state,
                time,
            } => Some((CARD, state.as_raw(), position, time)),
            _ => None,
        })
        .collect();
    let states: Vec<_> = events
        .iter()
        .filter_map(|event| match *event {
            Event::State {
                card,
                state,
                position,
                time,
            } => Some((card, state, position, time)),
            _ => None,
        })
        .collect();
    assert_eq!(states, changes);

    // A LOST tells what is lost in a row, which may be traced piece by piece.
    let mut pieces = events.iter().filter_map(|event| match *event {
        Event::Lost {
            card,
            position,
            frames,
        } => Some((card, position, frames)),
        _ => None,
    });
    let mut gaps = 0;
    for told in &told {
        if let Told::Lost {
            position, frames, ..
        } = *told
        {
            gaps += 1;
            let mut next = position;
            while next < position + frames {
                let (card, position, frames) = pieces.next().expect("a trace of what is lost");
                assert_eq!((card, position), (CARD, next));
                next += frames;
            }
            assert_eq!(next, position + frames);
        }
    }
    assert_eq!((gaps, pieces.next()), (3, None));
}

#[test]
fn a_push_says_how_much_is_written() {
    let mut rig = Rig::attached(1 << 20);
    rig.start(SMALL);
    let before = rig.feed.write_count();
    let events = trace::of(|| rig.play(48));
    let counts: Vec<_> = events
        .iter()
        .map(|event| match *event {
            Event::Push { write_count, .. } => write_count - before,
            _ => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(counts, [128, 256, 384]);
}

/// Whether somebody reads or not.
#[test]
fn changes_are_traced_without_a_consumer() {
    let mut rig = Rig::new(4096);
    let events = trace::of(|| {
        rig.start(SMALL);
        rig.play(100);
        rig.change(State::Stop);
    });
    let states: Vec<_> = events
        .iter()
        .map(|event| match *event {
            Event::State {
                state, position, ..
            } => (state, position),
            _ => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(states, [(1, 0), (4, 100)]);
}

#[test]
fn a_clock_is_traced_when_it_changes() {
    let mut rig = Rig::attached(1 << 20);
    rig.start(SMALL);
    let events = trace::of(|| {
        for ratio in [1 << 32, 1 << 32, (1 << 32) + 5] {
            rig.clock(ratio);
            rig.play(10);
        }
    });
    let clock = |ratio, position| Event::Clock {
        card: CARD,
        ratio,
        position,
    };
    let clocks: Vec<_> = events
        .into_iter()
        .filter(|event| matches!(event, Event::Clock { .. }))
        .collect();
    assert_eq!(clocks, [clock(1 << 32, 0), clock((1 << 32) + 5, 20)]);
}
