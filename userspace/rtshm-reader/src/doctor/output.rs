// SPDX-License-Identifier: MIT OR GPL-2.0

//! The sound card to play on.

use super::alsa_config::{self, Target};
use super::card::Card;
use super::check::{Check, Verdict};
use super::server::Server;
use super::system::System;

/// Checks that there is a real card, and where the PCM `device` leads.
pub(super) fn checks(system: &System, cards: &[Card], device: &str, server: &Server) -> Vec<Check> {
    let real: Vec<_> = cards
        .iter()
        .filter(|card| !card.is_ours && !card.playback(system).is_empty())
        .collect();
    let name = "sound card";
    let (usable, closed): (Vec<_>, Vec<_>) = real
        .iter()
        .map(|card| (card, card.access(system, name)))
        .partition(|(_, check)| check.verdict == Verdict::Ok);
    let names: Vec<_> = usable.iter().map(|(card, _)| card.id.as_str()).collect();
    let found = match (names.is_empty(), closed.into_iter().next()) {
        (false, _) => Check::ok(name, names.join(", ")),
        (true, Some((_, check))) => check,
        (true, None) => Check::fail(name, "none that plays, but for rtshm's")
            .fix("aplay -l    # and load the card's driver; `rtshm-reader record` needs none"),
    };
    let choose = match usable.first() {
        Some((card, _)) => format!("rtshm-reader play --device plughw:{}", card.id),
        None => "aplay -L    # lists what --device can name".into(),
    };
    // Names of PCMs are resolved by asking the cards.
    if found.verdict == Verdict::Fail {
        let skipped = Check::skip(format!("PCM {device}"), "there is no card to play on");
        return vec![found, skipped];
    }
    vec![found, target(system, cards, device, server, &choose)]
}

fn target(system: &System, cards: &[Card], device: &str, server: &Server, choose: &str) -> Check {
    let name = format!("PCM {device}");
    let card = match alsa_config::target(system.alsa_config.as_deref(), device) {
        Target::Missing => {
            return Check::fail(name, "ALSA's configuration leads nowhere").fix(choose);
        }
        Target::Plugin(kind) if is_server(&kind) && server.default_is_ours() => {
            let finding = format!(
                "a loop: it leads to {kind}, whose default sink is the rtshm card: the reader \
                 would play to itself"
            );
            return Check::fail(name, finding).fix(choose);
        }
        Target::Plugin(kind) => return Check::ok(name, format!("leads to {kind}")),
        Target::Card(card) => card,
    };
    // A number may be an index that is not there; an id is no number.
    let found = cards
        .iter()
        .find(|found| found.id == card || found.index.to_string() == card);
    match found {
        None => Check::fail(name, format!("leads to card {card}, which is not there")).fix(choose),
        Some(card) if card.is_ours => Check::fail(
            name,
            format!(
                "a loop: it is the card {} itself, the reader would play to itself",
                card.id
            ),
        )
        .fix(choose),
        Some(card) => card.access(system, &name),
    }
}

/// Whether a plugin hands sound to the sound server.
fn is_server(plugin: &str) -> bool {
    matches!(plugin, "pipewire" | "pulse")
}
