// SPDX-License-Identifier: MIT OR GPL-2.0

//! Applications come and go, one after the other, while the consumer stays.

use alsa::pcm::{Format, PCM};
use alsa::Direction;
use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use rtshm::State;

use super::tests;
use crate::app::{aplay, Aplay, App, Setup};
use crate::material::noise;
use crate::module;
use crate::tape::{only_take, takes, Recorder};
use crate::time::{now, wait_until, SECOND};

tests!(clients: several_in_a_row, reconfigure_without_closing, play_again_after_drain, one_at_a_time, without_consumer);

/// Different formats, rates and channels by different programs.
fn several_in_a_row() -> Result<()> {
    module::ready()?;
    let setup = |format, channels, rate, mmap| Setup {
        format,
        channels,
        rate,
        mmap,
        period: 512,
        buffer: 8_192,
        ..Setup::default()
    };
    let setups = [
        setup(Format::S16LE, 2, 48_000, false),
        setup(Format::FloatLE, 1, 44_100, true),
        setup(Format::S16LE, 1, 44_100, true),
        setup(Format::FloatLE, 2, 48_000, false),
        setup(Format::S16LE, 2, 48_000, true),
    ];
    let before = module::status()?.streams;
    let recorder = Recorder::open(setups.len())?;
    let mut expected = Vec::new();
    for (seed, setup) in (1..).zip(setups) {
        let material = noise(setup.format, setup.channels, 4_000, seed);
        if seed % 2 == 0 {
            App::open(&setup)?.play(&material)?;
            expected.push((setup, material));
        } else {
            aplay(&setup, &material)?;
            expected.push((setup, material.by_aplay(setup.period)));
        }
    }
    let takes = takes(&recorder.finish()?)?;
    ensure!(takes.len() == expected.len());
    for (take, (setup, material)) in takes.iter().zip(&expected) {
        take.check_format(setup)?;
        take.check_states(&[State::Start, State::Drain, State::Stop])?;
        take.check_all_of(material)
            .with_context(|| format!("{setup:?}"))?;
    }
    ensure!(module::status()?.streams == before + expected.len() as u64);
    Ok(())
}

/// One application that changes its format between streams.
fn reconfigure_without_closing() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(2)?;
    let first = noise(Format::S16LE, 1, 3_000, 1);
    let mut app = App::open(&Setup::of(&first))?;
    app.play(&first)?;
    let second = noise(Format::FloatLE, 2, 3_000, 2);
    let setup = Setup {
        rate: 44_100,
        period: 400,
        buffer: 4_000,
        ..Setup::of(&second)
    };
    app.set_up(&setup)?;
    app.play(&second)?;
    let takes = takes(&recorder.finish()?)?;
    takes[0].check_all_of(&first)?;
    takes[1].check_format(&setup)?;
    takes[1].check_all_of(&second)
}

/// The same setup again needs no more than `prepare`, and positions begin at 0 again.
fn play_again_after_drain() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(3)?;
    let parts: Vec<_> = (1..=3)
        .map(|seed| noise(Format::S16LE, 2, 2_345, seed))
        .collect();
    let app = App::open(&Setup::default())?;
    for part in &parts {
        app.pcm.prepare()?;
        app.play(part)?;
    }
    for (take, part) in takes(&recorder.finish()?)?.iter().zip(&parts) {
        take.check_all_of(part)?;
    }
    Ok(())
}

/// A second application is told that the card is busy, and the first does not notice.
fn one_at_a_time() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    let setup = Setup::default();
    let material = noise(Format::S16LE, 2, 20_480, 1);
    let app = App::open(&setup)?;
    app.write(&material)?;
    let second = PCM::new(module::PCM, Direction::Playback, true).err();
    ensure!(
        second.map(|error| error.errno()) == Some(Errno::EBUSY as i32),
        "{second:?}"
    );
    app.pcm.drain()?;
    only_take(&recorder.finish()?)?.check_all_of(&material)
}

/// Without a consumer the card plays all the same, in its time.
fn without_consumer() -> Result<()> {
    module::ready()?;
    let before = module::status()?;
    let setup = Setup::default();
    let material = noise(Format::S16LE, 2, 24_576, 1);
    let start = now();
    let mut player = Aplay::start(&setup, &material)?;
    wait_until("aplay to end", || player.has_ended())?;
    player.finish()?;
    ensure!(
        now() - start >= SECOND * 24_576 / 48_000,
        "half a second took less"
    );
    let after = module::status()?;
    ensure!(after.streams == before.streams + 1);
    ensure!(
        (after.chunks, after.lost_frames, after.write_count)
            == (before.chunks, before.lost_frames, 0),
        "there was nobody to write for: {after:?}"
    );
    Ok(())
}
