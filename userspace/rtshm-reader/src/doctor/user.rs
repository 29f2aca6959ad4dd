// SPDX-License-Identifier: MIT OR GPL-2.0

//! The user who asks: groups, and limits that real time needs.

use super::check::Check;
use super::system::System;

/// Bit of the capability to choose any priority, by `<linux/capability.h>`.
const CAP_SYS_NICE: u32 = 23;

/// The priority that `play` asks for.
const PRIORITY: u64 = 10;

/// How to be allowed something.
fn limit_of_group(item: &str) -> String {
    format!(
        "echo '@audio - {item}' | sudo tee -a /etc/security/limits.conf    # for the group \
         audio, from its next login on"
    )
}

/// Whether `play` gets a real-time priority and may lock its memory.
pub(super) fn real_time(system: &System) -> Vec<Check> {
    let limit = |name: &str| -> Option<u64> {
        let limits = system.read("/proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        match line.split_whitespace().next()? {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        }
    };
    let name = "real time";
    let priority = match limit("Max realtime priority") {
        _ if has_capability(system, CAP_SYS_NICE) => Check::ok(name, "any priority is allowed"),
        None => Check::skip(name, "the limit cannot be read"),
        Some(most) if most >= PRIORITY => Check::ok(name, format!("priorities up to {most}")),
        Some(_) => Check::warn(name, "not allowed: sound may break up on a busy machine")
            .fix(limit_of_group("rtprio 20")),
    };
    let name = "locked memory";
    let memory = match limit("Max locked memory") {
        _ if is_root(system) => Check::ok(name, "any amount is allowed"),
        None => Check::skip(name, "the limit cannot be read"),
        Some(u64::MAX) => Check::ok(name, "any amount is allowed"),
        Some(bytes) => Check::warn(
            name,
            format!(
                "{} KiB: the reader locks none where that has a limit",
                bytes >> 10
            ),
        )
        .fix(limit_of_group("memlock unlimited")),
    };
    vec![priority, memory]
}

/// A line of `/proc/self/status`.
fn status(system: &System, key: &str) -> Option<String> {
    let text = system.read("/proc/self/status")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().to_string())
}

fn has_capability(system: &System, bit: u32) -> bool {
    status(system, "CapEff")
        .and_then(|text| u64::from_str_radix(&text, 16).ok())
        .is_some_and(|set| set >> bit & 1 == 1)
}

/// Whether the effective user is root.
fn is_root(system: &System) -> bool {
    status(system, "Uid").is_some_and(|text| text.split_whitespace().nth(1) == Some("0"))
}

/// A line of `/etc/group`.
pub(super) struct Group {
    pub(super) name: String,
    members: Vec<String>,
}

impl Group {
    /// The group of this number.
    pub(super) fn of(system: &System, gid: u32) -> Self {
        let text = system.read("/etc/group").unwrap_or_default();
        let found = text.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, number, members] = fields[..] else {
                return None;
            };
            (number.parse() == Ok(gid)).then(|| Self {
                name: name.into(),
                members: members.split(',').map(String::from).collect(),
            })
        });
        found.unwrap_or(Self {
            name: gid.to_string(),
            members: Vec::new(),
        })
    }

    /// How to become one of the group.
    pub(super) fn join(&self, system: &System) -> String {
        match user(system) {
            Some(user) if self.members.contains(&user) => {
                format!("log out and in: {user} is in the group {} since", self.name)
            }
            _ => format!("sudo usermod -aG {} $USER    # and log in again", self.name),
        }
    }
}

/// The name of a user.
pub(super) fn user_name(system: &System, uid: u32) -> String {
    let text = system.read("/etc/passwd").unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
    });
    found.unwrap_or_else(|| uid.to_string())
}

/// The effective user's name.
fn user(system: &System) -> Option<String> {
    let uid = status(system, "Uid")?;
    let uid = uid.split_whitespace().nth(1)?.parse().ok()?;
    Some(user_name(system, uid))
}
