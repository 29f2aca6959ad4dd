// SPDX-License-Identifier: MIT OR GPL-2.0

//! `CLOCK_MONOTONIC`, and waiting for things to happen.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use nix::time::{clock_gettime, ClockId};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// How long a test waits for what must happen at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Now, in nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now() -> u64 {
    // PANIC: The clock exists on every Linux.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("no CLOCK_MONOTONIC");
    Duration::from(now)
        .as_nanos()
        .try_into()
        .expect("before the year 2554")
}

/// The time that so many frames take, rounded up.
pub(crate) fn nanos(frames: u64, rate: u32) -> u64 {
    let nanos = (u128::from(frames) * u128::from(SECOND)).div_ceil(u128::from(rate));
    nanos.try_into().expect("a stream of sane length")
}

/// Frames that begin in a time.
pub(crate) fn frames(nanos: u64, rate: u32) -> u64 {
    let frames = u128::from(nanos) * u128::from(rate) / u128::from(SECOND);
    frames.try_into().expect("fewer frames than nanoseconds")
}

/// Sleeps.
pub(crate) fn sleep_ms(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// Waits until `done` returns something; `what` says what is waited for.
pub(crate) fn wait_for<T>(what: &str, done: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_for_within(PATIENCE, what, done)
}

/// As [`wait_for`], for what may take this long.
pub(crate) fn wait_for_within<T>(
    patience: Duration,
    what: &str,
    mut done: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = done()? {
            return Ok(value);
        }
        if start.elapsed() > patience {
            bail!("waited {patience:?} in vain for {what}");
        }
        sleep_ms(2);
    }
}

/// Waits until `done` returns true.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_for(what, || Ok(done()?.then_some(())))
}
