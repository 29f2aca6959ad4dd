// SPDX-License-Identifier: MIT OR GPL-2.0

//! The files that a distribution's package brings: udev, ALSA and WirePlumber take them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use alsa::pcm::Format;
use alsa::{Direction, PCM};
use anyhow::{ensure, Context, Result};
use nix::unistd::Group;

use super::tests;
use super::tool::READER;
use crate::app::{App, Setup};
use crate::desktop::{self, wait_until, Desktop, SINK, SOURCE};
use crate::material::noise;
use crate::module;
use crate::process::run;
use crate::tape::{only_take, Recorder};

tests!(integration: device_node, pcm_names, place_among_sinks, module_options);

macro_rules! packaged {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../scripts/packaging/system/",
            $name
        ))
    };
}

/// A file of the package, at its place while this lives.
struct Installed(&'static str);

impl Installed {
    fn new(path: &'static str, content: &str) -> Result<Self> {
        let directory = Path::new(path).parent().context("no directory")?;
        fs::create_dir_all(directory)?;
        ensure!(!Path::new(path).exists(), "{path} is there already");
        fs::write(path, content).context(path)?;
        Ok(Self(path))
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

fn succeed(argv: &[&str]) -> Result<()> {
    let outcome = run(argv[0], &argv[1..])?;
    ensure!(outcome.code == Some(0), "{}: {outcome}", argv.join(" "));
    Ok(())
}

/// udev gives the device to the group audio, whose member plays and is not root.
fn device_node() -> Result<()> {
    let _rules = Installed::new(
        "/usr/lib/udev/rules.d/70-rtshm.rules",
        packaged!("70-rtshm.rules"),
    )?;
    module::ready_with("devices=2")?;
    desktop::start_udev()?;
    desktop::add_user()?;
    succeed(&[
        "udevadm",
        "trigger",
        "--action=add",
        "--subsystem-match=misc",
    ])?;
    succeed(&["udevadm", "settle"])?;
    let audio = Group::from_name("audio")?.context("no group audio")?.gid;
    for node in ["/dev/rtshm", "/dev/rtshm1"] {
        let file = fs::metadata(node)?;
        ensure!(
            (file.mode() & 0o777, file.uid(), file.gid()) == (0o660, 0, audio.as_raw()),
            "{node}: {file:?}"
        );
        let properties = run("udevadm", &["info", "--query=property", node])?.stdout;
        for tag in ["uaccess", "systemd"] {
            ensure!(properties.contains(&format!(":{tag}:")), "{properties}");
        }
    }

    let recorded = "/tmp/integration.raw";
    let reader = desktop::as_user(&[READER, "record", "--once", "--force", recorded]).spawn()?;
    wait_until("the user's reader", || {
        Ok(module::status()?.consumer_pid.is_some())
    })?;
    let material = noise(Format::S16LE, 2, 12_000, 1);
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    app.pcm.drain()?;
    drop(app);
    let ended = reader.wait_with_output()?;
    ensure!(ended.status.success(), "{ended:?}");
    let samples: Vec<u32> = fs::read(recorded)?
        .chunks_exact(4)
        .map(|sample| u32::from_le_bytes([sample[0], sample[1], sample[2], sample[3]]))
        .collect();
    ensure!(
        samples.len() >= material.expected.len()
            && samples[..material.expected.len()] == material.expected[..],
        "{} samples",
        samples.len()
    );
    Ok(())
}

/// `front:RtShm` is the card as it is, `default:RtShm` converts what it does not take.
fn pcm_names() -> Result<()> {
    let _card = Installed::new("/usr/share/alsa/cards/RtShm.conf", packaged!("RtShm.conf"))?;
    module::ready()?;
    let material = noise(Format::S16LE, 2, 6_000, 1);
    for name in ["front:RtShm", "default:RtShm"] {
        let recorder = Recorder::open(1)?;
        let app = App::open_on(name, &Setup::default()).context(name)?;
        app.write(&material)?;
        app.pcm.drain()?;
        drop(app);
        only_take(&recorder.finish()?)?
            .check_all_of(&material)
            .context(name)?;
    }
    // A-law is none of the card's formats.
    let takes = |name: &str| -> Result<bool> {
        let pcm = PCM::new(name, Direction::Playback, true)?;
        let hw = alsa::pcm::HwParams::any(&pcm)?;
        let takes = hw.test_format(Format::ALaw).is_ok();
        Ok(takes)
    };
    ensure!(!takes("front:RtShm")? && takes("default:RtShm")?);
    // Recording, too.
    PCM::new("default:RtShm", Direction::Capture, true)?;
    Ok(())
}

/// The real card is the default, not ours.
fn place_among_sinks() -> Result<()> {
    let _rules = Installed::new(
        "/usr/share/wireplumber/wireplumber.conf.d/51-rtshm.conf",
        packaged!("wireplumber.conf"),
    )?;
    module::ready()?;
    let desktop = Desktop::start()?;
    let sink = desktop.node(SINK)?;
    let source = desktop.node(SOURCE)?;
    for node in [&sink, &source] {
        let priority = &node.props["priority.session"];
        ensure!(priority == 100, "{priority} of {:?}", node.props);
    }
    for (kind, node) in [("sink", &sink), ("source", &source)] {
        let name = node.text("node.name");
        // Ours may be there first.
        wait_until("another card to be the default", || {
            let key = format!("default.audio.{kind}");
            let default = desktop.succeed(&["pw-metadata", "-n", "default", "0", &key])?;
            Ok(default.contains("value:") && !default.contains(name))
        })?;
    }
    Ok(())
}

/// The options that are shown are the module's, and count.
fn module_options() -> Result<()> {
    let shown = packaged!("modprobe.conf");
    let line = shown
        .lines()
        .find_map(|line| line.strip_prefix("#options rtshm "))
        .context("no options")?;
    let known = run("modinfo", &["--field=parm", "rtshm"])?.stdout;
    let mut names: Vec<_> = line
        .split_whitespace()
        .filter_map(|option| option.split('=').next())
        .collect();
    let mut parameters: Vec<_> = known
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    names.sort_unstable();
    parameters.sort_unstable();
    ensure!(names == parameters, "{names:?} shown, {parameters:?} known");

    let edited = shown
        .replace(line, "devices=2 ring_kib=128")
        .replace("#options", "options");
    let _options = Installed::new("/etc/modprobe.d/rtshm.conf", &edited)?;
    if module::is_loaded() {
        module::unload()?;
    }
    succeed(&["modprobe", "rtshm"])?;
    for card in ["RtShm", "RtShm1"] {
        let ring = fs::read_to_string(format!("/proc/asound/{card}/ring"))?;
        ensure!(ring.contains(" 131072 bytes"), "{card}: {ring}");
    }
    module::unload()
}
