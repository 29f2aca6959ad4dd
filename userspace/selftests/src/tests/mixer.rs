// SPDX-License-Identifier: MIT OR GPL-2.0

//! The volume and the switch: told to mixers and to the consumer, and never applied.

use alsa::ctl::ElemType;
use alsa::mixer::{MilliBel, Mixer, SelemChannelId, SelemId};
use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use rtshm_abi::record::{Volume, AUDIO, RESYNC, VOLUME};

use super::tests;
use crate::app::{App, Setup};
use crate::controls::{Element, Events};
use crate::material::noise;
use crate::module;
use crate::process::run;
use crate::raw::{Copied, Records};
use crate::tape::{only_take, Recorder};
use crate::time::{now, sleep_ms};

tests!(mixer: ranges, simple_mixer, changes_are_told, same_value_is_no_change, out_of_range, told_at_attach, in_order_with_the_sound, samples_stay_at_unity, values_persist, amixer_agrees);

/// The value that is 0 dB; each below is a quarter of a decibel less.
const UNITY: i32 = 256;

fn volume() -> Result<Element> {
    Element::mixer(c"Master Playback Volume", ElemType::Integer)
}

fn switch() -> Result<Element> {
    Element::mixer(c"Master Playback Switch", ElemType::Boolean)
}

/// A card at full volume, that nobody uses.
fn ready() -> Result<()> {
    module::ready()?;
    restore()
}

/// Back to full volume.
fn restore() -> Result<()> {
    volume()?.set(UNITY)?;
    switch()?.set(1)?;
    Ok(())
}

/// What records say of the volume: flags, gain in hundredths of a decibel, switch.
fn told(records: &[Copied]) -> Result<Vec<(u16, i32, u32)>> {
    records
        .iter()
        .filter(|record| record.header.kind == VOLUME)
        .map(|record| {
            let volume: Volume = record.read()?;
            Ok((record.header.flags, volume.gain, volume.on))
        })
        .collect()
}

fn ranges() -> Result<()> {
    ready()?;
    let volume = volume()?;
    ensure!(volume.db_range()? == (-6_400, 0));
    for value in 0..=UNITY.into() {
        let db = volume.to_db(value)?;
        ensure!(db == -6_400 + 25 * value, "{value} is {db}/100 dB");
    }
    ensure!((volume.get()?, switch()?.get()?) == (UNITY, 1));
    Ok(())
}

/// What mixer applications see: one element with a slider and a switch.
fn simple_mixer() -> Result<()> {
    ready()?;
    let mixer = Mixer::new("hw:RtShm", false)?;
    let master = mixer
        .find_selem(&SelemId::new("Master", 0))
        .context("no Master")?;
    ensure!(master.has_playback_volume() && master.has_playback_switch());
    ensure!(!master.has_capture_volume() && !master.has_capture_switch());
    ensure!(master.get_playback_volume_range() == (0, UNITY.into()));
    let range = master.get_playback_db_range();
    ensure!(range == (MilliBel(-6_400), MilliBel(0)), "{range:?}");
    ensure!(master.is_playback_mono());
    master.set_playback_volume_all(136)?;
    master.set_playback_switch_all(0)?;
    ensure!((volume()?.get()?, switch()?.get()?) == (136, 0));
    let db = master.get_playback_vol_db(SelemChannelId::mono())?;
    ensure!(db == MilliBel(-3_000), "{db:?}");
    restore()
}

/// One event and one record for each change, with the value and the time.
fn changes_are_told() -> Result<()> {
    ready()?;
    let (volume, switch) = (volume()?, switch()?);
    let mut consumer = Records::open()?;
    consumer.pop_all()?;
    let events = Events::new()?;
    for (value, gain) in [
        (0, -6_400),
        (1, -6_375),
        (255, -25),
        (256, 0),
        (136, -3_000),
    ] {
        let before = now();
        volume.set(value)?;
        let after = now();
        let records = consumer.pop_all()?;
        ensure!(told(&records)? == [(0, gain, 1)], "{value}: {records:?}");
        let time = records[0].read::<Volume>()?.time_stamp;
        ensure!((before..=after).contains(&time), "{value}: at {time}");
        let changed = events.changed()?;
        ensure!(
            changed == ["Master Playback Volume"],
            "{value}: {changed:?}"
        );
        ensure!(volume.get()? == value);
        let status = module::status_by_ioctl()?;
        ensure!((status.volume_gain, status.volume_on) == (gain, 1));
    }
    for on in [0, 1] {
        switch.set(on)?;
        let records = consumer.pop_all()?;
        let expected = [(0, -3_000, on as u32)];
        ensure!(told(&records)? == expected, "{on}: {records:?}");
        let changed = events.changed()?;
        ensure!(changed == ["Master Playback Switch"], "{on}: {changed:?}");
        ensure!(switch.get()? == on);
    }
    Ok(())
}

fn same_value_is_no_change() -> Result<()> {
    ready()?;
    let (volume, switch) = (volume()?, switch()?);
    volume.set(100)?;
    let mut consumer = Records::open()?;
    consumer.pop_all()?;
    let events = Events::new()?;
    for _ in 0..3 {
        volume.set(100)?;
        switch.set(1)?;
    }
    let records = consumer.pop_all()?;
    ensure!(records.is_empty(), "{records:?}");
    let changed = events.changed()?;
    ensure!(changed.is_empty(), "{changed:?}");
    Ok(())
}

fn out_of_range() -> Result<()> {
    ready()?;
    let (volume, switch) = (volume()?, switch()?);
    volume.set(77)?;
    let mut consumer = Records::open()?;
    consumer.pop_all()?;
    let events = Events::new()?;
    for value in [-1, UNITY + 1, i32::MIN, i32::MAX] {
        let refused = volume.set(value);
        ensure!(refused == Err(Errno::EINVAL), "{value}: {refused:?}");
    }
    ensure!((volume.get()?, switch.get()?) == (77, 1));
    ensure!(consumer.pop_all()?.is_empty() && events.changed()?.is_empty());
    Ok(())
}

/// A consumer is told the volume before anything else.
fn told_at_attach() -> Result<()> {
    ready()?;
    volume()?.set(56)?;
    switch()?.set(0)?;
    let records = Records::open()?.pop_all()?;
    ensure!(records.len() == 1, "{records:?}");
    ensure!(told(&records)? == [(RESYNC, -5_000, 0)], "{records:?}");
    // While something is played, as well.
    let app = App::open(&Setup::default())?;
    app.write(&noise(Format::S16LE, 2, 12_000, 1))?;
    let mut consumer = Records::open()?;
    sleep_ms(50);
    let records = consumer.pop_all()?;
    ensure!(records[0].header.kind == VOLUME, "{:?}", records[0]);
    ensure!(told(&records)? == [(RESYNC, -5_000, 0)]);
    Ok(())
}

/// A change stands at the frame at which it was made.
fn in_order_with_the_sound() -> Result<()> {
    ready()?;
    let mut consumer = Records::open()?;
    let app = App::open(&Setup::default())?;
    app.write(&noise(Format::S16LE, 2, 12_000, 1))?;
    let mut times = Vec::new();
    for value in [10, 20, 30] {
        sleep_ms(30);
        volume()?.set(value)?;
        times.push(now());
    }
    app.pcm.drain()?;
    let records = consumer.pop_all()?;
    let (mut position, mut last) = (0, 0);
    let mut seen = 0;
    for record in &records {
        let Copied { header, .. } = record;
        match header.kind {
            VOLUME if header.flags == 0 => {
                let volume: Volume = record.read()?;
                ensure!(volume.time_stamp >= last, "{volume:?} goes back");
                ensure!(volume.time_stamp <= times[seen], "{volume:?} is late");
                // Sound that was due before the change may still be in the chunk that is collected.
                ensure!(header.position >= position, "{header:?} at {position}");
                last = volume.time_stamp;
                seen += 1;
            }
            AUDIO => position = header.position,
            _ => {}
        }
    }
    ensure!(seen == 3, "{seen} changes");
    restore()
}

/// Whatever the mixer says, the samples are what was written.
fn samples_stay_at_unity() -> Result<()> {
    ready()?;
    let material = noise(Format::S16LE, 2, 9_000, 1);
    for (value, on) in [(136, 1), (136, 0), (0, 0)] {
        volume()?.set(value)?;
        switch()?.set(on)?;
        let recorder = Recorder::open(1)?;
        App::open(&Setup::default())?.play(&material)?;
        only_take(&recorder.finish()?)?.check_all_of(&material)?;
    }
    restore()
}

/// Streams and consumers come and go, and the volume stays.
fn values_persist() -> Result<()> {
    ready()?;
    volume()?.set(110)?;
    switch()?.set(0)?;
    for _ in 0..2 {
        let mut consumer = Records::open()?;
        App::open(&Setup::default())?.play(&noise(Format::S16LE, 2, 500, 1))?;
        let records = consumer.pop_all()?;
        ensure!(told(&records)? == [(RESYNC, -3_650, 0)]);
    }
    ensure!((volume()?.get()?, switch()?.get()?) == (110, 0));
    restore()
}

/// The tool that everybody has.
fn amixer_agrees() -> Result<()> {
    ready()?;
    let set = run(
        "amixer",
        &["-D", "hw:RtShm", "sset", "Master", "176", "mute"],
    )?;
    ensure!(set.code == Some(0), "{set}");
    for part in [
        "176 [69%] [-20.00dB] [off]",
        "pvolume pvolume-joined pswitch pswitch-joined",
    ] {
        ensure!(set.stdout.contains(part), "no {part:?}: {set}");
    }
    ensure!((volume()?.get()?, switch()?.get()?) == (176, 0));
    restore()
}
