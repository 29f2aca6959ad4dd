// SPDX-License-Identifier: MIT OR GPL-2.0

//! The device nodes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rtshm::{Device, Error};

use super::check::Check;
use super::system::System;
use super::user::{user_name, Group};

/// Checks every node that there is, and the `wanted` one.
pub(super) fn checks(system: &System, wanted: &Path, is_loaded: bool) -> Vec<Check> {
    let mut paths: Vec<_> = (0..8)
        .map(|index| match index {
            0 => rtshm::DEFAULT_PATH.to_string(),
            _ => format!("{}{index}", rtshm::DEFAULT_PATH),
        })
        .filter(|path| system.exists(path))
        .collect();
    let wanted = wanted.display().to_string();
    if !paths.contains(&wanted) {
        paths.push(wanted);
    }
    paths
        .iter()
        .map(|path| check(system, path, is_loaded))
        .collect()
}

fn check(system: &System, path: &str, is_loaded: bool) -> Check {
    if !is_loaded {
        return Check::skip(path, "the module is not loaded");
    }
    let Ok(metadata) = std::fs::metadata(system.at(path)) else {
        let finding = "missing, although the module is loaded";
        return Check::fail(path, finding)
            .fix("sudo modprobe -r rtshm && sudo modprobe rtshm; `rtshm-reader list`");
    };
    let group = Group::of(system, metadata.gid());
    let rights = format!(
        "{}:{} {:04o}",
        user_name(system, metadata.uid()),
        group.name,
        metadata.mode() & 0o7777
    );
    if !system.may_use(path) {
        let finding = format!("{rights}: this user may not open it");
        let fix = match lets_group_in(metadata.gid(), metadata.mode()) {
            true => group.join(system),
            false => format!("sudo chgrp audio {path} && sudo chmod 660 {path}    # or use sudo"),
        };
        return Check::fail(path, finding).fix(fix);
    }
    match Device::open(system.at(path)).and_then(|device| device.info()) {
        Ok(info) => Check::ok(
            path,
            format!(
                "{rights}, card {} ({}), ABI version {}",
                info.card, info.card_id, info.abi_version
            ),
        ),
        // They say what to do about it.
        Err(error @ (Error::Gone | Error::Version { .. })) => Check::fail(path, error.to_string())
            .fix("sudo modprobe -r rtshm && sudo modprobe rtshm"),
        Err(Error::NotADevice { .. }) => Check::fail(path, format!("{rights}: not our device"))
            .fix(format!(
                "name one by --rtshm, such as {}",
                rtshm::DEFAULT_PATH
            )),
        Err(error) => Check::fail(path, error.to_string()),
    }
}

/// Whether a user shall join the group of a file to use it: not root's, which is for much else.
fn lets_group_in(gid: u32, mode: u32) -> bool {
    gid != 0 && mode & 0o060 == 0o060
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_join_the_group_of_root() {
        assert!(lets_group_in(29, 0o100_660));
        assert!(!lets_group_in(29, 0o100_600) && !lets_group_in(29, 0o100_640));
        assert!(!lets_group_in(0, 0o100_660));
    }
}
