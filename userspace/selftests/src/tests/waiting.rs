// SPDX-License-Identifier: MIT OR GPL-2.0

//! `poll()` and `epoll`: who is woken, when, and who is not.

use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use alsa::pcm::Format;
use anyhow::{anyhow, ensure, Result};
use nix::poll::PollFlags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use rtshm::{Consumer, State};

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::raw::poll_fd;
use crate::tape::{attach, only_take, pop_all, Entry};
use crate::time::{now, sleep_ms, wait_until, SECOND};

tests!(waiting: idle_times_out, wakes_for_sound, threshold, threshold_beyond_half, change_wakes_at_once, epoll_level, epoll_edge, two_pollers, nobody_is_woken_unasked, next_consumer_is_not_woken_unasked);

fn idle_times_out() -> Result<()> {
    module::ready()?;
    let consumer = attach()?;
    let start = now();
    let events = poll_fd(consumer.as_fd(), 60)?;
    ensure!(events.is_empty(), "{events:?}");
    ensure!(now() - start >= SECOND * 60 / 1000);
    ensure!(!consumer.wait(Some(Duration::from_millis(20)))?);
    Ok(())
}

/// A consumer that sleeps before there is any stream is woken for its beginning.
fn wakes_for_sound() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    let waiter = thread::spawn(move || -> Result<_> {
        let mut tape = Vec::new();
        let mut wakes = 0;
        while !tape.last().is_some_and(Entry::is_end) {
            ensure!(
                consumer.wait(Some(Duration::from_secs(20)))?,
                "not woken in 20 s"
            );
            wakes += 1;
            while let Some(event) = consumer.pop()? {
                tape.push(Entry::of(&event)?);
            }
        }
        Ok((tape, wakes))
    });
    sleep_ms(50);
    let before = module::status()?.wakeups;
    let material = noise(Format::S16LE, 2, 10_000, 1);
    App::open(&Setup::default())?.play(&material)?;
    let (tape, wakes) = waiter
        .join()
        .map_err(|_| anyhow!("the waiter panicked"))??;
    only_take(&tape)?.check_all_of(&material)?;
    let woken = module::status()?.wakeups - before;
    // Each look asks for a wake-up; a poll() that slept has looked before and after.
    ensure!(
        (1..=2 * wakes).contains(&woken),
        "{woken} wake-ups, {wakes} returns of poll()"
    );
    Ok(())
}

/// Waits for sound with a threshold; returns how often, and the least that was unread then.
fn wakes_with_threshold(threshold: u32) -> Result<(u64, u64)> {
    module::ready()?;
    let mut consumer = attach()?;
    consumer.set_wake_threshold(threshold);
    let material = noise(Format::FloatLE, 2, 90_000, 1);
    let app = App::open(&Setup::of(&material))?;
    let player = thread::spawn(move || app.play(&material));
    let (mut wakes, mut least) = (0, u64::MAX);
    loop {
        ensure!(
            consumer.wait(Some(Duration::from_secs(20)))?,
            "not woken in 20 s"
        );
        let unread = consumer.unread()?;
        let mut tape = Vec::new();
        while let Some(event) = consumer.pop()? {
            tape.push(Entry::of(&event)?);
        }
        if tape
            .iter()
            .all(|entry| matches!(entry, Entry::Audio { .. }))
        {
            wakes += 1;
            least = least.min(unread);
        }
        if tape.last().is_some_and(Entry::is_end) {
            break;
        }
    }
    player
        .join()
        .map_err(|_| anyhow!("the application panicked"))??;
    Ok((wakes, least))
}

/// Woken for sound only when there is enough of it.
fn threshold() -> Result<()> {
    let (wakes, least) = wakes_with_threshold(64 << 10)?;
    ensure!(least >= 64 << 10, "woken with {least} bytes");
    // 90000 frames of 8 bytes are 11 times 64 KiB; each record has 32 to 95 bytes more.
    ensure!((2..=11).contains(&wakes), "{wakes} wake-ups");
    Ok(())
}

/// A threshold that the ring can hardly reach counts as half of it.
fn threshold_beyond_half() -> Result<()> {
    let (wakes, least) = wakes_with_threshold(u32::MAX)?;
    ensure!(
        wakes == 1 && least >= 512 << 10,
        "{wakes} wake-ups, {least} bytes"
    );
    Ok(())
}

/// What is not sound is worth waking for at once, whatever the threshold.
fn change_wakes_at_once() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    consumer.set_wake_threshold(u32::MAX);
    let material = noise(Format::S16LE, 2, 12_000, 1);
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    let mut tape = Vec::new();
    for expected in [State::Start, State::Pause, State::Resume, State::Stop] {
        match expected {
            State::Pause => app.pcm.pause(true)?,
            State::Resume => app.pcm.pause(false)?,
            State::Stop => app.pcm.drop()?,
            _ => {}
        }
        ensure!(
            poll_fd(consumer.as_fd(), 10_000)?.contains(PollFlags::POLLIN),
            "{expected:?}: not woken"
        );
        while let Some(event) = consumer.pop()? {
            tape.push(Entry::of(&event)?);
        }
        let told = tape
            .iter()
            .any(|entry| matches!(entry, Entry::State { state, .. } if *state == expected));
        ensure!(told, "woken, but not for {expected:?}");
        ensure!(poll_fd(consumer.as_fd(), 0)?.is_empty());
        sleep_ms(20);
    }
    Ok(())
}

fn epoll_on(consumer: &Consumer, flags: EpollFlags) -> Result<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(consumer, EpollEvent::new(EpollFlags::EPOLLIN | flags, 7))?;
    Ok(epoll)
}

fn epoll_says(epoll: &Epoll, millis: u16) -> Result<EpollFlags> {
    let mut events = [EpollEvent::empty(); 2];
    let count = epoll.wait(&mut events, millis)?;
    ensure!(count <= 1, "{count} events for one file");
    Ok(if count == 0 {
        EpollFlags::empty()
    } else {
        events[0].events()
    })
}

/// Level-triggered: ready as long as there is something.
fn epoll_level() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    let epoll = epoll_on(&consumer, EpollFlags::empty())?;
    ensure!(epoll_says(&epoll, 50)?.is_empty(), "ready without a stream");
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 2_000, 1))?;
    for _ in 0..3 {
        ensure!(epoll_says(&epoll, 0)? == EpollFlags::EPOLLIN, "not ready");
    }
    pop_all(&mut consumer, &mut Vec::new())?;
    ensure!(
        epoll_says(&epoll, 50)?.is_empty(),
        "ready with an empty ring"
    );
    Ok(())
}

/// Edge-triggered: ready once for what is new, and again for what comes then, read or not.
fn epoll_edge() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    let epoll = epoll_on(&consumer, EpollFlags::EPOLLET)?;
    let material = noise(Format::S16LE, 2, 2_000, 1);
    let app = App::open(&Setup::default())?;
    for round in 0..3 {
        ensure!(
            epoll_says(&epoll, 30)?.is_empty(),
            "round {round}: ready before"
        );
        app.pcm.prepare()?;
        app.play(&material)?;
        ensure!(
            epoll_says(&epoll, 10_000)? == EpollFlags::EPOLLIN,
            "round {round}: not ready"
        );
        ensure!(
            epoll_says(&epoll, 30)?.is_empty(),
            "round {round}: ready twice"
        );
        if round == 1 {
            pop_all(&mut consumer, &mut Vec::new())?;
        }
    }
    // Sound that comes while the consumer reads is not missed: it would stop here.
    let mut tape = Vec::new();
    pop_all(&mut consumer, &mut Vec::new())?;
    let long = noise(Format::S16LE, 2, 30_000, 2);
    app.pcm.prepare()?;
    let check = long.clone();
    let player = thread::spawn(move || app.play(&long));
    while !tape.last().is_some_and(Entry::is_end) {
        ensure!(
            epoll_says(&epoll, 20_000)?.contains(EpollFlags::EPOLLIN),
            "not woken in 20 s"
        );
        while let Some(event) = consumer.pop()? {
            tape.push(Entry::of(&event)?);
        }
    }
    player
        .join()
        .map_err(|_| anyhow!("the application panicked"))??;
    only_take(&tape)?.check_all_of(&check)
}

/// Two threads that wait on the same device are both woken.
fn two_pollers() -> Result<()> {
    module::ready()?;
    let consumer = attach()?;
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let fd = consumer.as_fd().try_clone_to_owned()?;
            Ok(thread::spawn(move || poll_fd(fd.as_fd(), 20_000)))
        })
        .collect::<Result<_>>()?;
    sleep_ms(50);
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 2_000, 1))?;
    for waiter in waiters {
        let events = waiter.join().map_err(|_| anyhow!("a waiter panicked"))??;
        ensure!(events.contains(PollFlags::POLLIN), "{events:?}");
    }
    Ok(())
}

/// A consumer that looks by itself costs no wake-up.
fn nobody_is_woken_unasked() -> Result<()> {
    module::ready()?;
    let mut consumer = attach()?;
    // Whatever was asked for before is answered by now.
    let app = App::open(&Setup::default())?;
    app.play(&noise(Format::S16LE, 2, 1_000, 1))?;
    let before = module::status()?;
    let material = noise(Format::S16LE, 2, 12_000, 1);
    app.pcm.prepare()?;
    app.write(&material)?;
    wait_until("the xrun", || {
        while consumer.pop()?.is_some() {}
        Ok(app.pcm.avail().is_err())
    })?;
    let after = module::status()?;
    ensure!(after.chunks > before.chunks + 10);
    ensure!(
        after.wakeups == before.wakeups,
        "{} wake-ups",
        after.wakeups - before.wakeups
    );
    Ok(())
}

/// What one consumer asked for is not the next one's wish.
fn next_consumer_is_not_woken_unasked() -> Result<()> {
    module::ready()?;
    let first = attach()?;
    ensure!(poll_fd(first.as_fd(), 10)?.is_empty());
    drop(first);
    let second = attach()?;
    let before = module::status()?.wakeups;
    App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 2_000, 1))?;
    let woken = module::status()?.wakeups - before;
    ensure!(woken == 0, "{woken} wake-ups, and nobody sleeps");
    drop(second);
    Ok(())
}
