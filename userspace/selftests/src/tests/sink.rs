// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader play` while the card that it plays on changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use alsa::pcm::Format;
use anyhow::{ensure, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use super::tests;
use super::tool::{json, number, READER};
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::terminal::Terminal;
use crate::time::wait_until;

tests!(sink: hang_up, terminal_goes_away, lost_and_back);

/// A tool that plays.
struct Playing(Child);

impl Playing {
    /// Starts it and waits until it is the consumer.
    fn start(device: &str, home: &Path) -> Result<Self> {
        let child = Command::new(READER)
            .args(["play", "--json", "--device", device])
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let playing = Self(child);
        wait_until("the tool to open the device", || playing.is_consumer())?;
        Ok(playing)
    }

    fn is_consumer(&self) -> Result<bool> {
        Ok(module::status()?.consumer_pid == Some(self.0.id()))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), signal)?;
        Ok(())
    }

    /// Has it end; returns its summary.
    fn finish(self) -> Result<Value> {
        self.signal(Signal::SIGTERM)?;
        json(&self.0.wait_with_output()?.into())
    }
}

/// Sound that does not end: a buffer of it is played round and round.
fn endless() -> Result<App> {
    let material = noise(Format::S16LE, 2, 24_000, 1);
    let setup = Setup {
        period: 1_000,
        buffer: 24_000,
        nonstop: true,
        ..Setup::of(&material)
    };
    let app = App::open(&setup)?;
    app.write(&material)?;
    Ok(app)
}

/// Whether something is played on a card.
fn is_playing(card: &str) -> Result<bool> {
    let file = format!("/proc/asound/{card}/pcm0p/sub0/status");
    Ok(fs::read_to_string(&file)
        .context(file)?
        .contains("state: RUNNING"))
}

/// Checks that every frame was played or discarded.
fn check_account(told: &Value) -> Result<()> {
    let played = number(told, "frames_out")? + number(told, "discarded_frames")?;
    ensure!(number(told, "frames_in")? == played, "{told}");
    ensure!(number(told, "lost_frames")? == 0, "{told}");
    ensure!(number(told, "streams")? == 1, "{told}");
    Ok(())
}

/// SIGHUP has it play on what the configuration says then.
fn hang_up() -> Result<()> {
    module::ready_with("devices=2")?;
    let home = PathBuf::from(format!("/tmp/selftest-sink-{}", std::process::id()));
    fs::create_dir_all(&home)?;
    let configure = |card: &str| {
        let text = format!("pcm.changing {{ type hw card {card} }}\n");
        fs::write(home.join(".asoundrc"), text)
    };
    configure("HDA")?;
    let playing = Playing::start("changing", &home)?;
    let app = endless()?;
    let before = module::status()?.frames;
    wait_until("sound", || {
        Ok(is_playing("HDA")? && module::status()?.frames > before + 24_000)
    })?;
    configure("RtShm1")?;
    ensure!(!is_playing("RtShm1")?);
    playing.signal(Signal::SIGHUP)?;
    wait_until("sound on the other card", || {
        ensure!(playing.is_consumer()?, "another is the consumer, or none");
        is_playing("RtShm1")
    })?;
    ensure!(!is_playing("HDA")?);
    let then = module::status()?.frames;
    wait_until(
        "more sound",
        || Ok(module::status()?.frames > then + 24_000),
    )?;
    ensure!(is_playing("RtShm1")?);
    let told = playing.finish()?;
    drop(app);
    fs::remove_dir_all(&home)?;
    check_account(&told)?;
    ensure!(number(&told, "sink_losses")? == 0, "{told}");
    // It was late for a moment, and not for good.
    let gone = number(&told, "discarded_frames")?;
    ensure!(gone < number(&told, "frames_out")?, "{told}");
    Ok(())
}

/// On a terminal SIGHUP ends it, whether the terminal goes away or not.
fn terminal_goes_away() -> Result<()> {
    module::ready()?;
    for is_gone in [false, true] {
        let arguments = ["play", "--device", "hw:HDA"];
        let mut terminal = Terminal::start(READER, &arguments, &[], (80, 24))?;
        let pid = terminal.pid();
        wait_until("the tool to open the device", || {
            Ok(module::status()?.consumer_pid == Some(pid))
        })?;
        let status = match is_gone {
            true => terminal.hang_up()?,
            false => {
                kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGHUP)?;
                terminal.finish()?.0
            }
        };
        ensure!(status.code() == Some(0), "{status}");
    }
    Ok(())
}

const DRIVER: &str = "/sys/bus/pci/drivers/snd_hda_intel";

/// The emulated card, which is there again when this is dropped.
struct Card {
    address: String,
}

impl Card {
    fn find() -> Result<Self> {
        let entries = fs::read_dir(DRIVER).context(DRIVER)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names: Vec<String> = names.collect::<Result<_>>()?;
        let address = names.into_iter().find(|name| name.starts_with("0000:"));
        Ok(Self {
            address: address.context("no HDA card")?,
        })
    }

    fn is_there() -> bool {
        Path::new("/proc/asound/HDA/pcm0p").exists()
    }

    /// Returns when nobody has it open any more.
    fn take_away(&self) -> Result<()> {
        fs::write(format!("{DRIVER}/unbind"), &self.address).context("unbind")
    }

    fn give_back(&self) -> Result<()> {
        fs::write(format!("{DRIVER}/bind"), &self.address).context("bind")?;
        wait_until("the card to be back", || Ok(Self::is_there()))
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        if !Self::is_there() {
            // The tests after this one say so.
            let _ = self.give_back();
        }
    }
}

/// The card goes while it plays; the application does not notice, and is heard when it is back.
fn lost_and_back() -> Result<()> {
    module::ready()?;
    let card = Card::find()?;
    let playing = Playing::start("hw:HDA", Path::new("/root"))?;
    let app = endless()?;
    wait_until("sound", || is_playing("HDA"))?;
    let before = module::status()?;
    card.take_away()?;
    ensure!(!Card::is_there());
    wait_until("the stream to go on", || {
        ensure!(playing.is_consumer()?, "another is the consumer, or none");
        Ok(module::status()?.frames > before.frames + 72_000)
    })?;
    card.give_back()?;
    wait_until("sound again", || is_playing("HDA"))?;
    let told = playing.finish()?;
    let after = module::status()?;
    drop(app);
    check_account(&told)?;
    ensure!(number(&told, "sink_losses")? == 1, "{told}");
    ensure!(number(&told, "discarded_frames")? > 0, "{told}");
    ensure!(after.xruns == before.xruns && after.lost_frames == before.lost_frames);
    Ok(())
}
