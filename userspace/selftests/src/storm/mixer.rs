// SPDX-License-Identifier: MIT OR GPL-2.0

//! Who turns all knobs of the card to values of all kinds.

use std::fs::File;
use std::os::fd::AsRawFd;

use bytemuck::{Pod, Zeroable};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::call::{ioctl, ioctl_value, request, NOWHERE};
use super::dice::Dice;
use super::journal::Journal;
use super::{pcm, step, Action, Worker};

const ELEM_LIST: usize = request(3, b'U', 0x10, size_of::<List>());
const ELEM_INFO: usize = request(3, b'U', 0x11, size_of::<Info>());
const ELEM_READ: usize = request(3, b'U', 0x12, size_of::<Value>());
const ELEM_WRITE: usize = request(3, b'U', 0x13, size_of::<Value>());
const ELEM_LOCK: usize = request(1, b'U', 0x14, 64);
const ELEM_UNLOCK: usize = request(1, b'U', 0x15, 64);
const SUBSCRIBE: usize = request(3, b'U', 0x16, 4);
const TLV_READ: usize = request(3, b'U', 0x1a, 8);

/// Numbers of elements that are tried.
const NUMBERS: u64 = 24;

/// `struct snd_ctl_elem_list`, without addresses.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct List {
    offset: u32,
    space: u32,
    used: u32,
    count: u32,
    ids: u64,
    reserved: [u64; 7],
}

/// `struct snd_ctl_elem_info`, of which the values' bounds are integers or a number of items.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Info {
    number: u32,
    id: [u32; 15],
    kind: i32,
    access: u32,
    count: u32,
    owner: i32,
    min: i64,
    max: i64,
    rest: [u64; 22],
}

/// `struct snd_ctl_elem_value`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Value {
    number: u32,
    id: [u32; 15],
    indirect: u64,
    values: [[i64; 32]; 4],
    reserved: [u64; 16],
}

const _: () = assert!(size_of::<List>() == 80 && size_of::<Info>() == 272);
const _: () = assert!(size_of::<Value>() == 1224);

/// An open control device.
pub(crate) struct Mixer(Option<File>);

impl Mixer {
    fn fd(&self) -> Result<i32, Errno> {
        self.0.as_ref().map(File::as_raw_fd).ok_or(Errno::EBADF)
    }

    fn write(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let number = dice.within(1, NUMBERS) as u32;
        let mut dice = Dice::new(dice.next(), "value", 0);
        let mut info = Info {
            number,
            ..Zeroable::zeroed()
        };
        ioctl(self.fd()?, ELEM_INFO, bytemuck::bytes_of_mut(&mut info))?;
        let mut value = Value {
            number,
            ..Zeroable::zeroed()
        };
        for element in &mut value.values[0] {
            *element = match dice.below(4) {
                0 => dice.hostile(info.max as u64) as i64,
                _ => dice.within(info.min as u64, info.max.max(info.min) as u64) as i64,
            };
        }
        journal.detail(&format!("{number}: {:?}", &value.values[0][..2]));
        ioctl(self.fd()?, ELEM_WRITE, bytemuck::bytes_of_mut(&mut value)).map(|_| ())
    }

    fn of_element(&self, request: usize, dice: &mut Dice) -> Result<(), Errno> {
        let mut bytes = [0; size_of::<Value>()];
        bytes[0] = dice.within(1, NUMBERS) as u8;
        ioctl(self.fd()?, request, &mut bytes).map(|_| ())
    }
}

/// `SNDRV_CTL_ELEM_TYPE_ENUMERATED`.
const CHOICE: i32 = 3;

/// Sets all choices to the first item, with which the card's clock goes at its nominal rate.
pub(crate) fn settle() -> Result<(), Errno> {
    let file = pcm::open("controlC%", OFlag::O_NONBLOCK, &mut Dice::new(0, "", 0))?;
    for number in 1..=NUMBERS as u32 {
        let mut info = Info {
            number,
            ..Zeroable::zeroed()
        };
        match ioctl(
            file.as_raw_fd(),
            ELEM_INFO,
            bytemuck::bytes_of_mut(&mut info),
        ) {
            Ok(_) if info.kind == CHOICE => {}
            // Another element, or none.
            _ => continue,
        }
        let mut value = Value {
            number,
            ..Zeroable::zeroed()
        };
        ioctl(
            file.as_raw_fd(),
            ELEM_WRITE,
            bytemuck::bytes_of_mut(&mut value),
        )?;
    }
    Ok(())
}

/// What is done to a mixer.
pub(crate) const ACTIONS: &[Action<Mixer>] = &[
    Action {
        name: "open mixer",
        weight: 2,
        run: |mixer, dice, _| {
            mixer.0 = Some(pcm::open("controlC%", OFlag::O_NONBLOCK, dice)?);
            Ok(())
        },
    },
    Action {
        name: "list elements",
        weight: 1,
        run: |mixer, dice, journal| {
            let mut list = List {
                offset: dice.hostile(4) as u32,
                space: 0,
                ..Zeroable::zeroed()
            };
            ioctl(mixer.fd()?, ELEM_LIST, bytemuck::bytes_of_mut(&mut list))?;
            journal.detail(&format!("{} elements", list.count));
            Ok(())
        },
    },
    Action {
        name: "write element",
        weight: 12,
        run: Mixer::write,
    },
    Action {
        name: "read element",
        weight: 4,
        run: |mixer, dice, _| mixer.of_element(ELEM_READ, dice),
    },
    Action {
        name: "lock element",
        weight: 1,
        run: |mixer, dice, _| mixer.of_element(ELEM_LOCK, dice),
    },
    Action {
        name: "unlock element",
        weight: 1,
        run: |mixer, dice, _| mixer.of_element(ELEM_UNLOCK, dice),
    },
    Action {
        name: "subscribe",
        weight: 2,
        run: |mixer, dice, _| {
            let mut value = (dice.below(2) as u32).to_le_bytes();
            ioctl(mixer.fd()?, SUBSCRIBE, &mut value).map(|_| ())
        },
    },
    Action {
        name: "read events",
        weight: 2,
        run: |mixer, _, _| {
            let mut events = [0; 4096];
            let file = mixer.0.as_ref().ok_or(Errno::EBADF)?;
            nix::unistd::read(file, &mut events).map(|_| ())
        },
    },
    Action {
        name: "read levels",
        weight: 2,
        run: |mixer, dice, _| {
            let mut tlv = [0; 1024];
            tlv[0] = dice.within(1, NUMBERS) as u8;
            tlv[4..8].copy_from_slice(&(dice.pick(&[0, 4, 8, 1016]) as u32).to_le_bytes());
            ioctl(mixer.fd()?, TLV_READ, &mut tlv).map(|_| ())
        },
    },
    Action {
        name: "nonsense",
        weight: 1,
        run: |mixer, dice, journal| {
            let size = dice.pick(&[0, 4, 8, 80, 272, 1224]);
            let request = request(3, b'U', dice.next() as u8, size);
            let value = dice.pick(&NOWHERE);
            journal.detail(&format!("{request:#x} {value:#x}"));
            ioctl_value(mixer.fd()?, request, value).map(|_| ())
        },
    },
    Action {
        name: "close mixer",
        weight: 1,
        run: |mixer, _, _| mixer.0.take().map(|_| ()).ok_or(Errno::EBADF),
    },
];

/// Who turns the knobs.
pub(crate) fn mixer(rounds: u64) -> Worker<'static> {
    let mut mixer = Mixer(None);
    Worker {
        name: "mixer".into(),
        rounds,
        round: Box::new(move |round, dice, journal| {
            for _ in 0..8 {
                step(ACTIONS, &mut mixer, round, dice, journal);
            }
            std::thread::sleep(std::time::Duration::from_micros(dice.below(2_000)));
            Ok(())
        }),
    }
}
