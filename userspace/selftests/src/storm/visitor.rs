// SPDX-License-Identifier: MIT OR GPL-2.0

//! Who looks at the card in all ways in which it can be looked at, or takes it away.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::dice::Dice;
use super::journal::Journal;
use super::{act, step, Action, Worker};
use crate::module;
use crate::raw::Node;
use crate::time::sleep_ms;

/// What the module is loaded with for storms in which cards go.
pub(crate) const TWO_CARDS: &str = "devices=2";

/// What visitors do.
pub(crate) const ACTIONS: &[Action<()>] = &[
    Action {
        name: "status",
        weight: 4,
        run: |(), _, _| Node::open(OFlag::O_RDONLY)?.status().map(|_| ()),
    },
    Action {
        name: "fdinfo",
        weight: 4,
        run: |(), _, _| {
            let node = Node::open(OFlag::O_RDONLY)?;
            node.fdinfo().map(|_| ()).map_err(|_| Errno::EIO)
        },
    },
    Action {
        name: "read a file",
        weight: 8,
        run: read_something,
    },
];

/// Reads a file of the card's in `/proc` or `/sys`.
fn read_something((): &mut (), dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
    let places = ["/proc/asound", "/sys/class/sound", "/sys/class/misc/rtshm"];
    let mut path = PathBuf::from(dice.pick(&places));
    loop {
        let mut names: Vec<_> = fs::read_dir(&path)
            .map_err(|_| Errno::ENOENT)?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        if names.is_empty() {
            return Err(Errno::ENOENT);
        }
        names.sort();
        path = names.swap_remove(dice.below(names.len() as u64) as usize);
        if !path.is_dir() {
            break;
        }
        // Links in /sys go round in circles.
        if dice.one_in(8) {
            return Err(Errno::EISDIR);
        }
    }
    journal.detail(&path.to_string_lossy());
    let mut text = Vec::new();
    let file = File::open(path).map_err(|_| Errno::EACCES)?;
    file.take(1 << 20)
        .read_to_end(&mut text)
        .map_err(|_| Errno::EIO)?;
    Ok(())
}

/// A visitor.
pub(crate) fn visitor(rounds: u64) -> Worker<'static> {
    Worker {
        name: "visitor".into(),
        rounds,
        round: Box::new(|round, dice, journal| {
            for _ in 0..4 {
                step(ACTIONS, &mut (), round, dice, journal);
            }
            sleep_ms(dice.below(8));
            Ok(())
        }),
    }
}

/// What the remover does; the state is whether the module has been loaded anew.
pub(crate) const REMOVALS: &[Action<bool>] = &[
    Action {
        name: "remove",
        weight: 1,
        run: |_, dice, journal| {
            let knob = dice.pick(&["rtshm", "rtshm1"]);
            journal.detail(knob);
            fs::write(format!("/sys/class/misc/{knob}/remove"), "1\n").map_err(|_| Errno::ENODEV)
        },
    },
    Action {
        name: "unload",
        weight: 1,
        run: |loaded, _, _| {
            module::try_unload()?;
            module::load(TWO_CARDS).map_err(|_| Errno::EIO)?;
            *loaded = true;
            Ok(())
        },
    },
];

/// Who takes cards away, and has the module loaded anew when nobody holds them any more.
pub(crate) fn remover(rounds: u64) -> Worker<'static> {
    Worker {
        name: "remover".into(),
        rounds,
        round: Box::new(|round, dice, journal| {
            sleep_ms(dice.within(50, 400));
            let mut loaded = false;
            act(REMOVALS, 0, &mut loaded, round, dice, journal);
            // Who has a card that is gone lets go of it soon; who has the other does not.
            for _ in 0..dice.pick(&[0, 200, 200]) {
                if loaded {
                    break;
                }
                act(REMOVALS, 1, &mut loaded, round, dice, journal);
                sleep_ms(5);
            }
            Ok(())
        }),
    }
}
