// SPDX-License-Identifier: MIT OR GPL-2.0

//! The running kernel, and what a module for it is built with.

use super::check::{Check, Verdict};
use super::system::System;

/// What the build itself asks before it begins, so that both say the same.
const PREP: &str = include_str!("../../../../scripts/kernel-rust-prep");

/// What it is asked for: lines of an option and its value.
const NEEDS: &str = include_str!("../../../../module/needs");

/// How that ends where the metadata can be made.
const METADATA_IS_TO_BE_MADE: i32 = 4;

/// What it says around its reason.
const BEFORE_REASON: &str = "kernel-rust-prep: ";
const BEFORE_COMMAND: &str = ". Run: ";

/// Checks the kernel; `has_module` is whether there is a module for it already.
pub(super) fn checks(system: &System, has_module: bool) -> Vec<Check> {
    let release = system.release();
    let mut checks = vec![version(&release, has_module)];
    let config = Config::read(system, &release);
    for option in ["RUST"].into_iter().chain(needed("--config")) {
        checks.push(config.check(&format!("CONFIG_{option}"), has_module));
    }
    let fails = checks.iter().any(|check| check.verdict == Verdict::Fail);
    checks.push(match (has_module, fails) {
        (true, _) => Check::skip("building", "not needed: there is a module for this kernel"),
        (false, true) => Check::skip("building", "not for this kernel"),
        (false, false) => building(system, &release),
    });
    checks
}

/// What the module needs by this option.
fn needed(option: &'static str) -> impl Iterator<Item = &'static str> {
    let value = move |line: &'static str| line.strip_prefix(option)?.strip_prefix(' ');
    NEEDS.lines().filter_map(value)
}

/// The first kernel that has what the module needs.
fn oldest() -> (u32, u32) {
    needed("--at-least").find_map(parse).unwrap_or_default()
}

fn version(release: &str, has_module: bool) -> Check {
    let name = "kernel";
    let (major, minor) = oldest();
    match parse(release) {
        Some(version) if version >= (major, minor) => Check::ok(name, release),
        Some(_) if has_module => Check::warn(
            name,
            format!("{release} is older than {major}.{minor}, but there is a module for it"),
        ),
        Some(_) => Check::fail(name, format!("{release} is older than {major}.{minor}")).fix(
            format!("install and boot a kernel {major}.{minor} or newer"),
        ),
        None => Check::warn(name, format!("no version can be read from {release:?}")),
    }
}

/// The first two numbers of a release.
fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The running kernel's configuration.
struct Config {
    text: Option<String>,
}

impl Config {
    fn read(system: &System, release: &str) -> Self {
        let files = [
            format!("/boot/config-{release}"),
            format!("/lib/modules/{release}/config"),
            format!("/lib/modules/{release}/build/.config"),
        ];
        let text = files
            .iter()
            .find_map(|file| system.read(file))
            .or_else(|| system.ask("zcat", &[system.at("/proc/config.gz").to_str()?]));
        Self { text }
    }

    fn check(&self, option: &str, has_module: bool) -> Check {
        let Some(text) = &self.text else {
            return Check::skip(option, "the kernel's configuration is not on this machine");
        };
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(option)?.strip_prefix('='));
        match value {
            Some("y") => Check::ok(option, "built in"),
            Some("m") => Check::ok(option, "a module"),
            // Then that file is another kernel's.
            _ if has_module => Check::warn(option, "not set, but there is a module"),
            _ => Check::fail(option, "not set in this kernel")
                .fix(format!("install and boot a kernel with {option}")),
        }
    }
}

/// Whether the module can be built here, by the script that `make` asks.
fn building(system: &System, release: &str) -> Check {
    let name = "building";
    let tree = format!("/lib/modules/{release}/build");
    let kdir = system.at(&tree);
    let kdir = kdir.to_string_lossy();
    let script = ["-c", PREP, "kernel-rust-prep", "--check", "--quiet"];
    let needs = NEEDS.lines().filter(|line| line.starts_with("--"));
    let needs: Vec<_> = needs.flat_map(str::split_whitespace).collect();
    let about = ["--kdir", &kdir, release];
    let Some(said) = system.run("bash", &[&script[..], &needs, &about].concat()) else {
        return Check::skip(name, "bash is not installed");
    };
    match said.code {
        Some(0) => return Check::ok(name, format!("{tree} is fit for modules in Rust")),
        Some(METADATA_IS_TO_BE_MADE) => {
            return Check::warn(name, "the kernel's Rust metadata is yet to be made").fix(
                match system.has_program("kernel-rust-prep") {
                    true => "sudo kernel-rust-prep",
                    false => "install rtshm-dkms; or, in its source: sudo scripts/kernel-rust-prep",
                },
            )
        }
        _ => {}
    }
    let said = said.stderr.lines().last().unwrap_or("no reason given");
    let said = said.strip_prefix(BEFORE_REASON).unwrap_or(said);
    match said.split_once(BEFORE_COMMAND) {
        Some((reason, command)) => Check::fail(name, reason).fix(format!("sudo {command}")),
        None => Check::fail(name, said).fix("see kernel-rust-prep(8)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else nothing is checked.
    #[test]
    fn needs_are_read() {
        assert!(oldest() > (6, 0), "{NEEDS}");
        assert!(needed("--config").any(|option| option == "SND_PCM"));
    }

    #[test]
    fn releases_have_versions() {
        assert_eq!(parse("7.3.4+deb13-amd64"), Some((7, 3)));
        assert_eq!(parse("7.10-rc1"), Some((7, 10)));
        assert_eq!(parse("linux"), None);
        let (major, minor) = oldest();
        let before = match minor {
            0 => format!("{}.9", major - 1),
            _ => format!("{major}.{}.9", minor - 1),
        };
        assert_eq!(version(&before, false).verdict, Verdict::Fail);
        assert_eq!(version(&before, true).verdict, Verdict::Warn);
        let first = format!("{major}.{minor}");
        assert_eq!(version(&first, false).verdict, Verdict::Ok);
        assert_eq!(version("7.10.0", false).verdict, Verdict::Ok);
        assert_eq!(version("8.0.0", false).verdict, Verdict::Ok);
        assert_eq!(version("6.18.44", false).verdict, Verdict::Fail);
    }

    /// Else the script has other words than these.
    #[test]
    fn the_script_says_what_is_cut_off() {
        for text in ["'kernel-rust-prep: %s", ". $command ", "Run: apt install"] {
            assert!(PREP.contains(text), "{text}");
        }
    }
}
