// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader play`: the player, woken by what it waits for.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use alsa::poll::pollfd;
use anyhow::{anyhow, Result};
use nix::libc::{EINTR, POLLIN};
use nix::sys::signal::Signal;
use rtshm::{Consumer, Error};

use crate::cli::{PlayOptions, VolumeUse};
use crate::clock::{now, SECOND};
use crate::exit::{self, Outcome};
use crate::notes::Notes;
use crate::pcm::{PcmOpener, PcmSink, NO_FD};
use crate::player::{Player, Wait};
use crate::realtime;
use crate::signals::{Hangup, Signals};
use crate::stdout;
use crate::summary::{RingUse, Summary};
use crate::volume::Volume;

pub(crate) fn run(path: &Path, options: &PlayOptions, notes: Notes) -> Outcome {
    let hangup = Hangup::of_start();
    let signals = Signals::take_over_these(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let mut consumer = Consumer::open(path)?;
    let own_card = consumer.device().info()?.card;
    let mut opener = PcmOpener::new(&options.device, own_card, options.latency, notes)?;
    opener.probe()?;
    realtime::get_ready(options.realtime, notes);

    let summary = Summary {
        pcm: options.device.clone(),
        rtshm: path.into(),
        ring: RingUse::new(consumer.capacity()),
        ..Summary::default()
    };
    let volume = (options.volume == VolumeUse::Apply).then(Volume::unity);
    let mut player = Player::new(opener, options.once, volume, summary, notes).synced(options.sync);
    let start = now();
    notes.detail(format_args!("waiting for a stream on {}", path.display()));
    let done = play(&mut player, &mut consumer, &signals, hangup);

    let summary = player.summary();
    summary.seconds = (now() - start) as f64 / SECOND as f64;
    notes.text(&summary.text());
    let told = match options.json {
        true => stdout::print_json(summary),
        false => Ok(()),
    };
    // What failed has failed, whoever reads about it.
    done.and(told)
}

fn play(
    player: &mut Player<PcmOpener>,
    consumer: &mut Consumer,
    signals: &Signals,
    hangup: Hangup,
) -> Result<()> {
    let mut sleep = Sleep::new();
    let mut asked = false;
    let mut gone = None;
    loop {
        let wait = player.step(consumer, now())?;
        if wait == Wait::Done {
            return gone.map_or(Ok(()), Err);
        }
        let woken = sleep.until(wait, consumer.as_fd(), signals.as_fd(), player.sink())?;
        if woken.ring || woken.sink {
            let unread = consumer.unread()?;
            player.summary().ring.woke_at(unread);
        }
        if woken.ring_error {
            // Says which.
            match consumer.wait(Some(Duration::ZERO)) {
                Err(error @ Error::Gone) => {
                    // What it played shall be heard.
                    gone = Some(error.into());
                    player.finish(now());
                }
                others => {
                    others?;
                }
            }
        }
        while let Some(number) = signals.next_number() {
            if hangup.renews(number) {
                player.reopen(now());
                continue;
            }
            if asked && Hangup::is_repeated(number) {
                continue;
            }
            if asked {
                std::process::exit(exit::FORCED);
            }
            asked = true;
            player.finish(now());
        }
    }
}

/// The one place where the program sleeps.
struct Sleep {
    /// The ring's, the signals' and the sink's, kept for its memory.
    fds: Vec<pollfd>,
}

/// Descriptors before the sink's.
const OWN_FDS: usize = 2;

/// What ended a sleep.
struct Woken {
    ring: bool,
    ring_error: bool,
    sink: bool,
}

impl Sleep {
    fn new() -> Self {
        Self {
            fds: Vec::with_capacity(16),
        }
    }

    fn until(
        &mut self,
        wait: Wait,
        ring: BorrowedFd<'_>,
        signals: BorrowedFd<'_>,
        sink: Option<&PcmSink>,
    ) -> Result<Woken> {
        let sink = sink.filter(|_| wait == Wait::Sink);
        let read = |fd: BorrowedFd<'_>| pollfd {
            fd: fd.as_raw_fd(),
            events: POLLIN,
            revents: 0,
        };
        self.fds.clear();
        self.fds
            .resize(OWN_FDS + sink.map_or(0, PcmSink::poll_count), NO_FD);
        let (own, sinks) = self.fds.split_at_mut(OWN_FDS);
        let deadline = match wait {
            Wait::Ring(until) => {
                own[0] = read(ring);
                until
            }
            Wait::Until(until) => Some(until),
            // Not every PCM can be trusted to tell.
            Wait::Sink => Some(now() + SECOND),
            Wait::Done => None,
        };
        own[1] = read(signals);
        if let Some(sink) = sink {
            sink.fill_poll(sinks);
        }
        match alsa::poll::poll(&mut self.fds, timeout(deadline)) {
            Err(error) if error.errno() != EINTR => {
                return Err(anyhow!("poll failed: {error}"));
            }
            _ => {}
        }
        let (own, sinks) = self.fds.split_at(OWN_FDS);
        if let Some(sink) = sink {
            sink.polled(sinks);
        }
        Ok(Woken {
            ring: own[0].revents & POLLIN != 0,
            ring_error: own[0].revents & !POLLIN != 0,
            sink: sinks.iter().any(|fd| fd.revents != 0),
        })
    }
}

/// The time from now to `deadline` as `poll()` has it: in milliseconds, rounded up, -1 for ever.
fn timeout(deadline: Option<u64>) -> i32 {
    let Some(deadline) = deadline else {
        return -1;
    };
    let rest = deadline.saturating_sub(now()).div_ceil(SECOND / 1000);
    i32::try_from(rest).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
