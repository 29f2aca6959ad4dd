// SPDX-License-Identifier: MIT OR GPL-2.0

//! The virtual cards as ALSA has them, who uses them, and what they count.

use super::check::Check;
use super::system::System;
use super::user::Group;

/// A card of ALSA's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) index: u32,
    /// As in `hw:ID`.
    pub(super) id: String,
    /// Whether it is one of the module's.
    pub(super) is_ours: bool,
}

impl Card {
    /// All cards, in the order of their indices.
    pub(super) fn all(system: &System) -> Vec<Self> {
        let mut cards: Vec<_> = system
            .list("/proc/asound")
            .iter()
            .filter_map(|name| {
                let index: u32 = name.strip_prefix("card")?.parse().ok()?;
                let dir = format!("/proc/asound/{name}");
                Some(Self {
                    index,
                    id: system.read(&format!("{dir}/id"))?,
                    // The files that the module makes.
                    is_ours: ["ring", "clock"]
                        .iter()
                        .all(|file| system.exists(&format!("{dir}/{file}"))),
                })
            })
            .collect();
        cards.sort_by_key(|card| card.index);
        cards
    }

    /// Names of its playback devices below `/dev/snd`.
    pub(super) fn playback(&self, system: &System) -> Vec<String> {
        let start = format!("pcmC{}D", self.index);
        let mut names = system.list("/dev/snd");
        names.retain(|name| name.starts_with(&start) && name.ends_with('p'));
        names
    }

    /// Checks whether this user may use it to play.
    pub(super) fn access(&self, system: &System, name: &str) -> Check {
        let mut nodes = self.playback(system);
        nodes.push(format!("controlC{}", self.index));
        let missing = |node: &&String| !system.exists(&format!("/dev/snd/{node}"));
        let closed = |node: &&String| !system.may_use(&format!("/dev/snd/{node}"));
        if let Some(node) = nodes.iter().find(missing) {
            return Check::fail(name, format!("no /dev/snd/{node}"))
                .fix("sudo udevadm trigger --subsystem-match=sound");
        }
        if let Some(node) = nodes.iter().find(closed) {
            let path = format!("/dev/snd/{node}");
            let finding = format!("this user may not open {path}");
            return Check::fail(name, finding).fix(join_owner(system, &path));
        }
        Check::ok(name, format!("card {} ({})", self.index, self.id))
    }

    /// A value of one of the module's files.
    fn value(&self, system: &System, file: &str, key: &str) -> Option<String> {
        let text = system.read(&format!("/proc/asound/card{}/{file}", self.index))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.trim().to_string())
    }

    fn count(&self, system: &System, file: &str, key: &str) -> u64 {
        self.value(system, file, key)
            .and_then(|value| value.split(' ').next()?.parse().ok())
            .unwrap_or(0)
    }

    fn player(&self, system: &System) -> Check {
        let name = format!("{} player", self.id);
        let status = format!("/proc/asound/card{}/pcm0p/sub0/status", self.index);
        let text = system.read(&status).unwrap_or_default();
        let owner = text
            .lines()
            .find_map(|line| line.strip_prefix("owner_pid")?.split(':').nth(1));
        Check::ok(
            name,
            match owner {
                None => "none: nothing plays".into(),
                Some(pid) => process(system, pid.trim()),
            },
        )
    }

    fn consumer(&self, system: &System) -> Check {
        let name = format!("{} reader", self.id);
        match self.value(system, "ring", "consumer_pid").as_deref() {
            None | Some("none") => Check::ok(name, "none: the ring is free"),
            Some(pid) => {
                let who = process(system, pid);
                Check::ok(name, format!("{who}; another gets \"in use\""))
            }
        }
    }

    /// What went wrong since the module was loaded.
    fn counters(&self, system: &System) -> Vec<Check> {
        let name = format!("{} counters", self.id);
        let mut checks = Vec::new();
        let lost = self.count(system, "ring", "lost_frames");
        if lost > 0 {
            let places = self.count(system, "ring", "lost_records");
            let finding = format!(
                "{lost} frames lost in {places} places: the reader was too late, and the ring full"
            );
            let fix = "play with real-time priority, or a larger ring: ring_kib= of the module";
            checks.push(Check::warn(&name, finding).fix(fix));
        }
        let faults = self.count(system, "ring", "faults");
        if faults > 0 {
            let finding =
                format!("{faults} readers wrote nonsense into their page, and were cut off");
            checks.push(Check::warn(&name, finding).fix("correct that program; see abi.rst"));
        }
        let xruns = self.count(system, "stream", "xruns");
        if xruns > 0 {
            let finding = format!("{xruns} streams ended because their application was late");
            checks.push(
                Check::warn(&name, finding).fix("give the application a larger buffer or priority"),
            );
        }
        if checks.is_empty() {
            checks.push(Check::ok(name, "nothing lost, no xrun, no faulty reader"));
        }
        checks
    }
}

/// Checks the module's cards.
pub(super) fn checks(system: &System, cards: &[Card], is_loaded: bool) -> Vec<Check> {
    let ours: Vec<_> = cards.iter().filter(|card| card.is_ours).collect();
    let name = "virtual card";
    if !is_loaded {
        return vec![Check::skip(name, "the module is not loaded")];
    }
    if ours.is_empty() {
        return vec![Check::fail(name, "ALSA has none: it was taken away")
            .fix("sudo modprobe -r rtshm && sudo modprobe rtshm")];
    }
    ours.iter()
        .flat_map(|card| {
            let mut checks = vec![
                card.access(system, name),
                card.player(system),
                card.consumer(system),
            ];
            checks.extend(card.counters(system));
            checks
        })
        .collect()
}

fn process(system: &System, pid: &str) -> String {
    match system.process_name(pid) {
        Some(name) => format!("{name} (pid {pid})"),
        None => format!("pid {pid}"),
    }
}

/// How to be allowed to open a file.
fn join_owner(system: &System, path: &str) -> String {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(system.at(path)) {
        Ok(metadata) if metadata.gid() != 0 => Group::of(system, metadata.gid()).join(system),
        _ => "sudo udevadm trigger --subsystem-match=sound    # or use sudo".into(),
    }
}
