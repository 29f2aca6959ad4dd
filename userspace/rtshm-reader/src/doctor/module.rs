// SPDX-License-Identifier: MIT OR GPL-2.0

//! The module: its file, whether the kernel takes it, whether it is loaded.

use super::check::Check;
use super::system::System;

/// What firmware says of Secure Boot: four bytes of attributes, then 1 where it is on.
const SECURE_BOOT: &str =
    "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The module as it is found.
#[derive(Debug)]
pub(super) struct Module {
    /// The file for the running kernel.
    file: Option<String>,
    pub(super) is_loaded: bool,
}

impl Module {
    pub(super) fn find(system: &System) -> Self {
        Self {
            file: system.ask("modinfo", &["-n", "rtshm"]),
            is_loaded: system.exists("/sys/module/rtshm"),
        }
    }

    /// Whether there is one for the running kernel.
    pub(super) fn is_there(&self) -> bool {
        self.is_loaded || self.file.is_some()
    }

    /// Checks it; `can_be_built` is whether there could be one for this kernel.
    pub(super) fn checks(&self, system: &System, can_be_built: bool) -> Vec<Check> {
        vec![
            self.file(system, can_be_built),
            self.signature(system),
            self.loaded(system),
        ]
    }

    fn file(&self, system: &System, can_be_built: bool) -> Check {
        let name = "module file";
        let release = system.release();
        let Some(file) = &self.file else {
            return self.no_file(system, can_be_built);
        };
        let field = |module, field| {
            let text = system.ask("modinfo", &["-F", field, module]);
            text.unwrap_or_default()
        };
        let magic = field("rtshm", "vermagic");
        // That of a module that the kernel came with; built in it has none.
        let expected = field("snd-pcm", "vermagic");
        let fits = match expected.is_empty() {
            false => magic == expected,
            true => magic.split(' ').next() == Some(&release),
        };
        if !fits {
            let finding = format!("{file} is for the kernel \"{magic}\", not \"{expected}\"");
            return Check::fail(name, finding).fix(rebuild(system));
        }
        let on_disk = field("rtshm", "srcversion");
        match system.read("/sys/module/rtshm/srcversion") {
            Some(loaded) if loaded != on_disk => {
                Check::warn(name, format!("{file} is another than the loaded one"))
                    .fix("sudo modprobe -r rtshm && sudo modprobe rtshm")
            }
            _ => Check::ok(name, file),
        }
    }

    fn no_file(&self, system: &System, can_be_built: bool) -> Check {
        let name = "module file";
        let release = system.release();
        if !system.has_program("modinfo") {
            return Check::skip(name, "modinfo is not installed");
        }
        if self.is_loaded {
            let finding = "none for this kernel; the loaded one is gone at the next boot";
            return Check::warn(name, finding).fix(rebuild(system));
        }
        let finding = match dkms(system) {
            Some(state) => format!("none for {release}; DKMS says: {state}"),
            None if !can_be_built => {
                return Check::skip(name, "none, and none can be built: see above");
            }
            None => format!("none for {release}, and DKMS knows of none"),
        };
        Check::fail(name, finding).fix(rebuild(system))
    }

    /// Whether the kernel insists on signatures, and what that means.
    fn signature(&self, system: &System) -> Check {
        let name = "signature";
        let enforced = system.read("/sys/module/module/parameters/sig_enforce");
        let lockdown = system.read("/sys/kernel/security/lockdown");
        // The level in force is in brackets.
        let is_locked = lockdown.is_some_and(|text| !text.contains("[none]"));
        let must = match (enforced.as_deref(), is_locked) {
            (Some("Y"), _) => "the kernel takes signed modules only",
            (_, true) => "lockdown: the kernel takes signed modules only",
            _ => {
                let boot = match secure_boot(system) {
                    Some(true) => "Secure Boot is on",
                    Some(false) => "Secure Boot is off",
                    None => "no Secure Boot",
                };
                return Check::ok(name, format!("not needed; {boot}"));
            }
        };
        if self.is_loaded {
            return Check::ok(name, format!("{must}, and has taken it"));
        }
        if self.file.is_none() {
            return Check::skip(name, format!("{must}; there is none"));
        }
        let enrol = "sudo mokutil --import /var/lib/dkms/mok.pub, then reboot and confirm";
        match system.ask("modinfo", &["-F", "signer", "rtshm"]).as_deref() {
            None | Some("") => {
                let fix = format!("have DKMS build it, which signs it, and: {enrol}");
                Check::fail(name, format!("{must}, and it is not signed")).fix(fix)
            }
            Some(signer) => {
                let finding = format!("{must}; signed by {signer}, whose key has to be enrolled");
                Check::warn(name, finding).fix(enrol)
            }
        }
    }

    fn loaded(&self, system: &System) -> Check {
        let name = "module loaded";
        let version = system.read("/sys/module/rtshm/version");
        match (self.is_loaded, &self.file, version) {
            (true, _, Some(version)) => Check::ok(name, format!("version {version}")),
            (true, _, None) => Check::ok(name, "of an unknown version"),
            (false, Some(_), _) => Check::fail(name, "no").fix("sudo modprobe rtshm"),
            (false, None, _) => Check::skip(name, "there is no module file"),
        }
    }
}

/// How to have a module for the running kernel.
fn rebuild(system: &System) -> String {
    match dkms(system) {
        Some(_) => format!("sudo dkms autoinstall -k {}", system.release()),
        None => "make && sudo insmod module/rtshm.ko    # after: sudo modprobe snd-pcm".into(),
    }
}

/// What DKMS knows of the module; `None` where it is not installed or knows none.
fn dkms(system: &System) -> Option<String> {
    let text = system.ask("dkms", &["status", "rtshm"])?;
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    (!text.is_empty()).then(|| lines.join("; "))
}

/// `None` where there is no such firmware.
fn secure_boot(system: &System) -> Option<bool> {
    let value = std::fs::read(system.at(SECURE_BOOT)).ok()?;
    Some(value.get(4) == Some(&1))
}
