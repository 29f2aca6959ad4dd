// SPDX-License-Identifier: MIT OR GPL-2.0

//! `rtshm-reader list`.

use std::path::{Path, PathBuf};

use rtshm::{Device, Error, Holder, Info};
use serde::Serialize;

use crate::cli::OutputOptions;
use crate::exit::Outcome;
use crate::notes::Notes;
use crate::stdout;
use crate::table;

/// A device; the field names are the JSON's.
#[derive(Debug, Serialize)]
struct Instance {
    #[serde(serialize_with = "stdout::path")]
    rtshm: PathBuf,
    card: u32,
    card_id: String,
    module_version: String,
    abi_version: u32,
    ring_bytes: u64,
    consumer_pid: Option<u32>,
    consumer_name: Option<String>,
}

pub(crate) fn run(options: &OutputOptions, notes: Notes) -> Outcome {
    let mut instances = Vec::new();
    let mut failure = None;
    for path in rtshm::paths() {
        match inspect(&path) {
            Ok(instance) => instances.push(instance),
            Err(error) => {
                if let Some(error) = failure.replace(error) {
                    notes.error(&error);
                }
            }
        }
    }
    let told = match options.json {
        true => stdout::print_json(&instances),
        false if instances.is_empty() => Ok(()),
        false => stdout::print(&text(&instances)),
    };
    match failure {
        Some(error) => Err(error.into()),
        // Says that there is none.
        None if instances.is_empty() => Err(Error::Missing {
            path: rtshm::DEFAULT_PATH.into(),
            others: Vec::new(),
        }
        .into()),
        None => told,
    }
}

fn inspect(path: &Path) -> rtshm::Result<Instance> {
    let device = Device::open(path)?;
    let Info {
        abi_version,
        module_version,
        capacity,
        card,
        card_id,
        ..
    } = device.info()?;
    let holder = device.status()?.consumer_pid.map(Holder::of_pid);
    Ok(Instance {
        rtshm: path.into(),
        card,
        card_id,
        module_version,
        abi_version,
        ring_bytes: capacity,
        consumer_pid: holder.as_ref().map(|holder| holder.pid),
        consumer_name: holder.and_then(|holder| holder.name),
    })
}

fn text(instances: &[Instance]) -> String {
    let heading = ["DEVICE", "CARD", "ID", "MODULE", "RING", "CONSUMER"].map(String::from);
    let mut rows = vec![heading];
    rows.extend(instances.iter().map(|instance| {
        let holder = instance.consumer_pid.map(|pid| Holder {
            pid,
            name: instance.consumer_name.clone(),
        });
        [
            instance.rtshm.display().to_string(),
            instance.card.to_string(),
            instance.card_id.clone(),
            instance.module_version.clone(),
            format!("{} KiB", instance.ring_bytes >> 10),
            holder.map_or_else(|| "-".to_string(), |holder| holder.to_string()),
        ]
    }));
    table::align(&rows)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn instance(device: &str, consumer_pid: Option<u32>) -> Instance {
        Instance {
            rtshm: device.into(),
            card: 2,
            card_id: "RtShm".into(),
            module_version: "0.1.0".into(),
            abi_version: 1,
            ring_bytes: 1 << 20,
            consumer_pid,
            consumer_name: Some("player".into()),
        }
    }

    pub(crate) fn json() -> serde_json::Value {
        serde_json::to_value(instance("/dev/rtshm", Some(42))).unwrap()
    }

    #[test]
    fn text_lines_up() {
        let text = text(&[
            instance("/dev/rtshm", Some(42)),
            instance("/dev/rtshm1", None),
        ]);
        assert_eq!(
            text,
            "DEVICE       CARD  ID     MODULE  RING      CONSUMER\n\
             /dev/rtshm   2     RtShm  0.1.0   1024 KiB  player (pid 42)\n\
             /dev/rtshm1  2     RtShm  0.1.0   1024 KiB  -\n"
        );
    }
}
