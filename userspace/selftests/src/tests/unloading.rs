// SPDX-License-Identifier: MIT OR GPL-2.0

//! The module goes when nobody uses it, not before, and leaves nothing.

use std::fs;
use std::path::Path;

use alsa::pcm::Format;
use alsa::Ctl;
use anyhow::{ensure, Context, Result};

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module::{self, CARD, NODE};
use crate::raw::Node;
use crate::tape::{only_take, Recorder};

tests!(unloading: not_while_consumed, not_while_observed, not_while_mapped, not_while_playing, not_while_control_is_open, leaves_nothing, ten_times);

/// Checks that the module cannot go while `user` lives, and can then.
fn check_held_by<T>(user: T) -> Result<()> {
    module::check_in_use()?;
    drop(user);
    module::unload().context("afterwards")
}

fn not_while_consumed() -> Result<()> {
    module::ready()?;
    check_held_by(Node::consumer()?)
}

fn not_while_observed() -> Result<()> {
    module::ready()?;
    check_held_by(Node::observer()?)
}

/// Each window by itself, with the descriptor closed.
fn not_while_mapped() -> Result<()> {
    let windows = [Node::producer_page, Node::consumer_page, Node::ring];
    for window in windows {
        module::ready()?;
        let node = Node::consumer()?;
        let mapping = window(&node)?;
        drop(node);
        module::check_in_use()?;
        mapping.copy();
        drop(mapping);
        module::unload().context("afterwards")?;
    }
    Ok(())
}

fn not_while_playing() -> Result<()> {
    module::ready()?;
    let app = App::open(&Setup::default())?;
    module::check_in_use().context("open")?;
    app.write(&noise(Format::S16LE, 2, 8_000, 1))?;
    module::check_in_use().context("running")?;
    check_held_by(app)
}

fn not_while_control_is_open() -> Result<()> {
    module::ready()?;
    check_held_by(Ctl::new(&format!("hw:{CARD}"), false)?)
}

fn leaves_nothing() -> Result<()> {
    module::ready()?;
    let card = module::device()?.info()?.card;
    let places = [
        NODE.to_string(),
        format!("/dev/snd/controlC{card}"),
        format!("/dev/snd/pcmC{card}D0p"),
        format!("/proc/asound/{CARD}"),
        format!("/proc/asound/card{card}"),
        format!("/sys/class/sound/card{card}"),
        "/sys/class/misc/rtshm".into(),
        "/sys/module/rtshm".into(),
        "/sys/devices/faux/rtshm".into(),
    ];
    for place in &places {
        ensure!(Path::new(place).exists(), "no {place} while it is loaded");
    }
    module::unload()?;
    for place in &places {
        ensure!(!Path::new(place).exists(), "{place} is left");
    }
    let cards = fs::read_to_string("/proc/asound/cards")?;
    ensure!(!cards.contains(CARD), "{cards}");
    Ok(())
}

fn ten_times() -> Result<()> {
    for round in 1..=10 {
        let check = || {
            module::ready()?;
            let recorder = Recorder::open(1)?;
            let material = noise(Format::S16LE, 2, 2_000, round);
            App::open(&Setup::default())?.play(&material)?;
            only_take(&recorder.finish()?)?.check_all_of(&material)?;
            module::unload()
        };
        check().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}
