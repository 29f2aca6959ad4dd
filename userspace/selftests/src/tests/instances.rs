// SPDX-License-Identifier: MIT OR GPL-2.0

//! Several cards in one module.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use alsa::pcm::Format;
use alsa::Ctl;
use anyhow::{ensure, Context, Result};
use rtshm::Device;

use super::tests;
use crate::app::{App, Setup};
use crate::kernel_log::Listener;
use crate::material::noise;
use crate::module;
use crate::process::run;
use crate::tape::{attach_to, only_take, Recorder};

tests!(instances: each_has_its_names, eight_play_at_once, failure_undoes_all, last_index);

/// The suffix of the names of instance `number`.
fn suffix(number: usize) -> String {
    match number {
        0 => String::new(),
        _ => number.to_string(),
    }
}

/// The device of instance `number`.
pub(super) fn node(number: usize) -> String {
    format!("/dev/rtshm{}", suffix(number))
}

/// The id of the card of instance `number`.
pub(super) fn card_id(number: usize) -> String {
    format!("RtShm{}", suffix(number))
}

/// The cards that ALSA has, but for the machine's own.
fn our_cards() -> Result<Vec<String>> {
    let cards = fs::read_to_string("/proc/asound/cards")?;
    let ours = cards.lines().filter(|line| line.contains("]: RtShm - "));
    Ok(ours.map(|line| line.trim().to_string()).collect())
}

fn each_has_its_names() -> Result<()> {
    module::ready()?;
    module::unload()?;
    let mut log = Listener::new()?;
    module::load("devices=3 index=5 ring_kib=128")?;
    let said = log.lines_with("rtshm: /dev/");
    let nodes: Vec<_> = (0..3).map(node).collect();
    let paths: Vec<_> = nodes.iter().map(PathBuf::from).collect();
    ensure!(rtshm::paths() == paths, "{:?}", rtshm::paths());
    let listed = run("rtshm-reader", &["list", "--json"])?;
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout)?;
    for (number, node) in nodes.iter().enumerate() {
        let (card, id) = (5 + number as u32, card_id(number));
        let info = Device::open(node)?.info()?;
        ensure!(
            info.card == card && info.card_id == id && info.capacity == 128 << 10,
            "{info:?}"
        );
        let link = fs::read_link(format!("/proc/asound/{id}"))?;
        ensure!(link == Path::new(&format!("card{card}")), "{link:?}");
        let named = Ctl::new(&format!("hw:{id}"), false)?.card_info()?;
        let (short, long) = (named.get_name()?, named.get_longname()?);
        ensure!(short == format!("{id} Virtual Sound Card"), "{short}");
        ensure!(long == format!("{short} at {node}"), "{long}");
        let parent = fs::canonicalize(format!("/sys/class/sound/card{card}/device"))?;
        let expected = format!("/sys/devices/faux/rtshm{}", suffix(number));
        ensure!(parent == Path::new(&expected), "{parent:?}");
        let line = format!("rtshm: {node}: card {card}, ring of 128 KiB");
        ensure!(said[number] == line, "{said:?}");
        let told = &listed[number];
        ensure!(
            told["rtshm"] == node.as_str() && told["card"] == card && told["card_id"] == *id,
            "{listed}"
        );
    }
    ensure!(said.len() == 3 && our_cards()?.len() == 3, "{said:?}");
    Ok(())
}

/// Each consumer gets what was played into its card, and nothing of the others'.
fn eight_play_at_once() -> Result<()> {
    module::ready_with("devices=8 ring_kib=256")?;
    let setup = Setup::default();
    let materials: Vec<_> = (0..8)
        .map(|number| noise(Format::S16LE, 2, 9_000, number))
        .collect();
    let mut recorders = Vec::new();
    let mut apps = Vec::new();
    for number in 0..8 {
        recorders.push(Recorder::start(attach_to(&node(number))?, 1));
        apps.push(App::open_on(&format!("hw:{}", card_id(number)), &setup)?);
    }
    for (app, material) in apps.iter().zip(&materials) {
        app.write(material)?;
    }
    for app in &apps {
        app.pcm.drain()?;
    }
    for (number, recorder) in recorders.into_iter().enumerate() {
        only_take(&recorder.finish()?)?
            .check_all_of(&materials[number])
            .with_context(|| node(number))?;
        let status = Device::open(node(number))?.status()?;
        ensure!(status.streams == 1 && status.frames == 9_000, "{status:?}");
    }
    Ok(())
}

/// Where the second card cannot be had, the first goes too.
fn failure_undoes_all() -> Result<()> {
    module::ready()?;
    module::unload()?;
    let other = run("modprobe", &["snd-dummy", "index=9"])?;
    ensure!(other.code == Some(0), "{other}");
    // Nobody may get hold of a node that goes with the module, whatever is open.
    let stop = AtomicBool::new(false);
    let opened = thread::scope(|scope| {
        let opener = scope.spawn(|| {
            let open = || File::options().read(true).write(true).open(module::NODE);
            while !stop.load(Ordering::Relaxed) {
                if open().is_ok() {
                    return true;
                }
            }
            false
        });
        let loads = (0..6).try_for_each(|_| {
            let refused = module::try_load("index=8 devices=3")?;
            let error = String::from_utf8_lossy(&refused.stderr);
            ensure!(
                !refused.status.success() && error.contains("resource busy"),
                "{error}"
            );
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        loads.map(|()| opener.join().unwrap_or(true))
    })?;
    ensure!(!opened, "a node was opened before its module was loaded");
    let left: Vec<_> = fs::read_dir("/sys/devices/faux")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("rtshm"))
        .collect();
    ensure!(
        !module::is_loaded()
            && rtshm::paths().is_empty()
            && our_cards()?.is_empty()
            && left.is_empty(),
        "{:?}, {left:?}",
        our_cards()?
    );
    module::load("index=10 devices=3")?;
    ensure!(our_cards()?.len() == 3, "{:?}", our_cards()?);
    let other = run("rmmod", &["snd-dummy"])?;
    ensure!(other.code == Some(0), "{other}");
    Ok(())
}

fn last_index() -> Result<()> {
    module::ready_with("index=24 devices=8")?;
    ensure!(Device::open(node(7))?.info()?.card == 31);
    Ok(())
}
