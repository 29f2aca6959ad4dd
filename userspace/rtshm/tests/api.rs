// SPDX-License-Identifier: MIT OR GPL-2.0

//! What programs may rely on besides what functions do.

mod common;

use std::error::Error as _;
use std::fmt::Debug;
use std::os::fd::{AsFd, AsRawFd};

use common::Fake;
use rtshm::{
    Chunk, ClockRatio, Consumer, Device, Error, Event, Format, Geometry, Holder, Info, Kind, Lost,
    Malformed, Region, SampleFormat, State, StateChange, Status, Volume,
};

fn is_anywhere<T: Send + Sync + Debug>() {}

fn is_movable<T: Send + Debug>() {}

#[test]
fn what_threads_may_have() {
    is_movable::<Consumer>();
    is_movable::<Kind<'static>>();
    is_anywhere::<Chunk<'static>>();
    is_anywhere::<ClockRatio>();
    is_anywhere::<Device>();
    is_anywhere::<Error>();
    is_anywhere::<Format>();
    is_anywhere::<Geometry>();
    is_anywhere::<Holder>();
    is_anywhere::<Info>();
    is_anywhere::<Lost>();
    is_anywhere::<Malformed>();
    is_anywhere::<Region>();
    is_anywhere::<SampleFormat>();
    is_anywhere::<State>();
    is_anywhere::<StateChange>();
    is_anywhere::<Status>();
    is_anywhere::<Volume>();
}

#[test]
fn errors_can_be_boxed_and_have_their_cause() {
    let error = Consumer::open("/dev/null/nothing").unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    let error: Box<dyn std::error::Error + Send + Sync> = error.into();
    assert_eq!(
        error.source().unwrap().to_string(),
        "Not a directory (os error 20)"
    );
    assert!(Error::Faulty.source().is_none());
}

#[test]
fn pollers_see_one_descriptor() {
    let fake = Fake::new();
    let consumer = fake.consumer().unwrap();
    let fd = consumer.as_raw_fd();
    assert_eq!(consumer.as_fd().as_raw_fd(), fd);
    assert_eq!(consumer.device().as_fd().as_raw_fd(), fd);
    assert_eq!(consumer.device().as_raw_fd(), fd);
}

#[test]
fn events_are_shown_as_what_they_say() {
    fn shown(event: &Event<'_>) -> String {
        format!("{event:?}")
    }
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fake.format(48_000, 1, 64);
    fake.audio(1, 7, 9, &[0.5, -1.0]);
    drop(consumer.pop().unwrap());
    assert_eq!(
        shown(&consumer.pop().unwrap().unwrap()),
        "Event { position: 7, is_resync: false, kind: Audio(Chunk { position: 7, time_stamp: 9, \
         frame_count: 2, channels: 1, samples: [0.5, -1.0] }) }"
    );
}

/// Whoever forgets an event keeps its bytes from the kernel, and gets it again.
#[test]
fn a_forgotten_event_comes_again() {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    fake.volume(0, 1);
    std::mem::forget(consumer.pop().unwrap());
    assert_eq!(fake.read_count(), 0);
    assert!(consumer.pop().unwrap().is_some());
    assert!(consumer.pop().unwrap().is_none());
}
