// SPDX-License-Identifier: MIT OR GPL-2.0

//! The module: loaded as a test needs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::kmod::{delete_module, DeleteModuleFlags};
use rtshm::{Device, Status};

use crate::raw::Node;
use crate::storm::Settings;
use crate::time::wait_until;

/// The device node.
pub(crate) const NODE: &str = rtshm::DEFAULT_PATH;

/// The card.
pub(crate) const CARD: &str = "RtShm";

/// The PCM without any conversion.
pub(crate) const PCM: &str = "hw:RtShm";

/// Takes the card away when root writes 1 to it.
pub(crate) const REMOVE: &str = "/sys/class/misc/rtshm/remove";

/// The arguments that the module was loaded with by a test, for the tests after it.
const ARGUMENTS: &str = "/run/rtshm-selftest.arguments";

/// Sees to it that the module is loaded with the defaults, and that nobody uses it.
pub(crate) fn ready() -> Result<()> {
    ready_with("")
}

/// Sees to it that the module is loaded with these arguments, and that nobody uses it.
pub(crate) fn ready_with(arguments: &str) -> Result<()> {
    if is_loaded() {
        // What the test before has left behind goes with its last process.
        wait_until("the device to be unused", || Ok(refcount()? == 0))?;
        // A test that failed may have left the module without a card.
        if loaded_arguments() == in_full(arguments) && Device::open(NODE).is_ok() {
            return Ok(());
        }
        unload()?;
    }
    load(arguments)
}

/// The arguments with what holds for all tests.
fn in_full(arguments: &str) -> String {
    match Settings::get().eager && !arguments.contains("eager=") {
        true => format!("eager=1 {arguments}"),
        false => arguments.to_string(),
    }
}

/// Whether the module was loaded so that chunks go out before they are due.
pub(crate) fn is_eager() -> bool {
    loaded_arguments().contains("eager=1")
}

fn loaded_arguments() -> String {
    fs::read_to_string(ARGUMENTS).unwrap_or_default()
}

/// Whether the module is loaded.
pub(crate) fn is_loaded() -> bool {
    Path::new("/sys/module/rtshm").exists()
}

/// How many users the module has.
pub(crate) fn refcount() -> Result<u32> {
    let text = fs::read_to_string("/sys/module/rtshm/refcnt")?;
    Ok(text.trim().parse()?)
}

/// Loads the module.
pub(crate) fn load(arguments: &str) -> Result<()> {
    let output = try_load(arguments)?;
    ensure!(
        output.status.success(),
        "modprobe rtshm {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Tries to load the module.
pub(crate) fn try_load(arguments: &str) -> Result<Output> {
    let arguments = in_full(arguments);
    fs::write(ARGUMENTS, &arguments)?;
    Command::new("modprobe")
        .arg("rtshm")
        .args(arguments.split_whitespace())
        .output()
        .context("cannot run modprobe")
}

/// Unloads the module.
pub(crate) fn unload() -> Result<()> {
    try_unload().context("rmmod rtshm")
}

/// Tries to unload the module, as `rmmod` does it.
pub(crate) fn try_unload() -> Result<(), Errno> {
    delete_module(c"rtshm", DeleteModuleFlags::O_NONBLOCK)
}

/// Takes the card away.
pub(crate) fn take_card_away() -> Result<()> {
    fs::write(REMOVE, "1\n").context(REMOVE)
}

/// Checks that the module cannot be unloaded now, neither by the system call nor by `rmmod`.
pub(crate) fn check_in_use() -> Result<()> {
    // The system call says that it would have to wait; the program makes "in use" of that.
    ensure!(
        try_unload() == Err(Errno::EAGAIN),
        "the module can be unloaded while it is in use"
    );
    let output = Command::new("rmmod").arg("rtshm").output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && error.contains("in use"),
        "rmmod does not say that the module is in use: {error}"
    );
    Ok(())
}

/// The device, to look at.
pub(crate) fn device() -> Result<Device> {
    Ok(Device::open(NODE)?)
}

/// How the device does.
pub(crate) fn status() -> Result<Status> {
    Ok(device()?.status()?)
}

/// How the device does, as the kernel says it.
pub(crate) fn status_by_ioctl() -> Result<rtshm_abi::ioctl::Status> {
    Ok(Node::observer()?.status()?)
}
