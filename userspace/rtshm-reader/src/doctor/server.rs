// SPDX-License-Identifier: MIT OR GPL-2.0

//! The user's sound server, PipeWire or PulseAudio, and what it has of the virtual cards.

use serde_json::Value;

use super::card::Card;
use super::check::Check;
use super::system::System;

/// What there is of a sound server.
#[derive(Debug)]
pub(super) enum Server {
    /// None that this user could talk to.
    None,
    /// One that cannot be asked, and why.
    Mute(&'static str, String),
    /// One that has told.
    Known {
        name: &'static str,
        /// Whether it has a sink on one of our cards.
        has_sink: bool,
        /// The default sink's name, and whether that is one of those.
        default: Option<(String, bool)>,
    },
}

impl Server {
    pub(super) fn find(system: &System, cards: &[Card]) -> Self {
        let Some(dir) = &system.runtime_dir else {
            return Self::None;
        };
        let has = |name: &str| system.at(dir).join(name).exists();
        if has("pipewire-0") {
            Self::pipewire(system, cards)
        } else if has("pulse/native") {
            Self::pulse(system, cards)
        } else {
            Self::None
        }
    }

    fn pipewire(system: &System, cards: &[Card]) -> Self {
        let name = "PipeWire";
        let Some(said) = system.run("pw-dump", &[]) else {
            return Self::Mute(name, "pw-dump is not installed (pipewire-bin)".into());
        };
        let Ok(Value::Array(objects)) = serde_json::from_str(&said.stdout) else {
            return Self::Mute(name, "pw-dump gets no answer".into());
        };
        let sinks: Vec<_> = objects
            .iter()
            .map(|object| &object["info"]["props"])
            .filter(|props| props["media.class"] == "Audio/Sink")
            .collect();
        let card_of = |props: &Value| {
            let number = [&props["api.alsa.pcm.card"], &props["alsa.card"]]
                .into_iter()
                .find(|value| !value.is_null())?;
            number
                .as_u64()
                .or_else(|| number.as_str().and_then(|text| text.parse().ok()))
        };
        let ours = |props: &&&Value| {
            let card = card_of(props);
            cards
                .iter()
                .any(|ours| ours.is_ours && card == Some(ours.index.into()))
        };
        let ours: Vec<_> = sinks
            .iter()
            .filter(ours)
            .map(|props| &props["node.name"])
            .collect();
        let default = objects
            .iter()
            .filter(|object| object["props"]["metadata.name"] == "default")
            .filter_map(|object| object["metadata"].as_array())
            .flatten()
            .find(|entry| entry["key"] == "default.audio.sink")
            .and_then(|entry| entry["value"]["name"].as_str());
        Self::Known {
            name,
            has_sink: !ours.is_empty(),
            default: default.map(|name| (name.into(), ours.iter().any(|ours| *ours == name))),
        }
    }

    fn pulse(system: &System, cards: &[Card]) -> Self {
        let name = "PulseAudio";
        if !system.has_program("pactl") {
            return Self::Mute(name, "pactl is not installed (pulseaudio-utils)".into());
        }
        let sinks = system.ask("pactl", &["--format=json", "list", "sinks"]);
        let Some(Ok(Value::Array(sinks))) = sinks.map(|text| serde_json::from_str(&text)) else {
            return Self::Mute(name, "pactl gets no answer".into());
        };
        let ours: Vec<_> = sinks
            .iter()
            .filter(|sink| {
                let card = sink["properties"]["alsa.card"].as_str();
                cards
                    .iter()
                    .any(|ours| ours.is_ours && card == Some(&*ours.index.to_string()))
            })
            .map(|sink| &sink["name"])
            .collect();
        let default = system.ask("pactl", &["get-default-sink"]);
        Self::Known {
            name,
            has_sink: !ours.is_empty(),
            default: default.map(|name| {
                let is_ours = ours.iter().any(|ours| **ours == *name);
                (name, is_ours)
            }),
        }
    }

    /// Whether what the server is given without a name is played into one of our cards.
    pub(super) fn default_is_ours(&self) -> bool {
        matches!(
            self,
            Self::Known {
                default: Some((_, true)),
                ..
            }
        )
    }

    /// Checks that the server has the card.
    pub(super) fn check(&self, cards: &[Card]) -> Check {
        let title = "sound server";
        match self {
            Self::None => Check::skip(title, "none runs for this user"),
            Self::Mute(name, why) => Check::skip(title, format!("{name}: {why}")),
            Self::Known { .. } if !cards.iter().any(|card| card.is_ours) => {
                Check::skip(title, "there is no virtual card")
            }
            Self::Known {
                name,
                has_sink: false,
                ..
            } => Check::warn(title, format!("{name} does not have the card"))
                .fix("pw-cli ls Device; systemctl --user restart wireplumber"),
            Self::Known {
                name,
                default: Some((_, true)),
                ..
            } => Check::ok(title, format!("{name} plays into the card by default")),
            Self::Known { name, default, .. } => {
                let default = default.as_ref().map_or("none", |(name, _)| name);
                Check::ok(title, format!("{name} has the card; by default: {default}"))
            }
        }
    }
}
