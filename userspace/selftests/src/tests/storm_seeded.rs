// SPDX-License-Identifier: MIT OR GPL-2.0

//! Storms of everything that the interfaces allow or forbid; see [`crate::storm`]. Nobody sees to it
//! that what is done makes sense: what must hold is that nothing hangs, that the kernel does not
//! complain, and that the card is as good as before.

use anyhow::{Context, Result};

use super::storm::check_health;
use super::tests;
use crate::module;
use crate::storm::{self, check_done, consumer, mixer, player, visitor};

tests!(storm_seeded: players, consumers, all_at_once);

/// Threads that play, and processes that consume.
const PLAYERS: usize = 4;
const CONSUMERS: usize = 2;

/// Checks that the card works, that the module can go, and that the next one works.
fn check_after() -> Result<()> {
    module::ready()?;
    mixer::settle()?;
    check_health().context("after the storm")?;
    module::unload()?;
    check_health().context("after the module was loaded anew")
}

fn names(count: usize, name: fn(usize) -> String) -> Vec<String> {
    (0..count).map(name).collect()
}

/// Applications, and who turns knobs and looks at them.
fn players() -> Result<()> {
    module::ready()?;
    let mut workers = player::players(PLAYERS, 300, true)?;
    workers.push(mixer::mixer(200));
    workers.push(visitor::visitor(200));
    storm::run(workers)?;
    check_done(&names(PLAYERS, player::name), player::ACTIONS, player::MUST)?;
    if player::may_link() {
        check_done(
            &names(PLAYERS, player::name),
            player::ACTIONS,
            player::MUST_LINK,
        )?;
    }
    check_done(
        &["mixer".into()],
        mixer::ACTIONS,
        &["list elements", "write element", "read element"],
    )?;
    check_done(
        &["visitor".into()],
        visitor::ACTIONS,
        &["status", "fdinfo", "read a file"],
    )?;
    check_after()
}

/// Consumers that mean harm, while a stream of no end plays.
fn consumers() -> Result<()> {
    module::ready()?;
    let mut workers: Vec<_> = (0..CONSUMERS)
        .map(|index| consumer::consumer(index, 12))
        .collect();
    workers.push(visitor::visitor(100));
    {
        let _stream = player::endless()?;
        storm::run(workers)?;
    }
    check_done(
        &names(CONSUMERS, consumer::name),
        consumer::ACTIONS,
        consumer::MUST,
    )?;
    check_after()
}

/// All of them on two cards, which are taken away meanwhile.
fn all_at_once() -> Result<()> {
    module::ready_with(visitor::TWO_CARDS)?;
    let mut workers = player::players(PLAYERS, 200, false)?;
    workers.extend((0..CONSUMERS).map(|index| consumer::consumer(index, 8)));
    workers.push(mixer::mixer(100));
    workers.push(visitor::visitor(100));
    workers.push(visitor::remover(8));
    storm::run(workers)?;
    check_done(
        &names(PLAYERS, player::name),
        player::ACTIONS,
        &["play", "transfer"],
    )?;
    check_done(
        &names(CONSUMERS, consumer::name),
        consumer::ACTIONS,
        &["open", "map", "scribble"],
    )?;
    check_done(
        &["remover".into()],
        visitor::REMOVALS,
        &["remove", "unload"],
    )?;
    check_after()
}
