// SPDX-License-Identifier: MIT OR GPL-2.0

//! Applications that use the PCM in any order, together, and with arguments that make no sense.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread;

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{poll, PollFd, PollFlags};
use nix::sys::memfd::{memfd_create, MFdFlags};

use super::call::{call, ioctl, ioctl_value, request, NOWHERE};
use super::dice::Dice;
use super::journal::Journal;
use super::pcm::{self, HwParams, Transfer};
use super::{step, Action, Worker};
use crate::app::{App, Setup};
use crate::material::noise;
use crate::time::sleep_ms;

/// Most frames in a transfer, and bytes for as many of 64 channels and more.
const FRAMES: u64 = 1024;
const BYTES: usize = 1 << 20;

/// What players have in common.
#[derive(Default)]
struct Shared {
    /// Streams that are open, for all to use.
    streams: Mutex<Vec<Weak<File>>>,
    /// Whether streams are linked, and ALSA is asked to fill buffers with silence. Of both Linux 7.3
    /// dies, whatever the driver, where threads do not take care; then the locks do:
    ///
    /// - silence goes to no buffer where a stream that is being configured is drained before its
    ///   start: ALSA starts it;
    /// - two threads that prepare or reset two linked streams wait for each other's for ever: each
    ///   holds its own `buffer_mutex` and takes those of the group.
    gentle: bool,
    configuring: RwLock<()>,
    preparing: Mutex<()>,
}

/// A piece of a stream in memory.
struct Mapped {
    address: usize,
    len: usize,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: Nothing else is there.
        let _ = unsafe { call(libc::SYS_munmap, [self.address, self.len, 0, 0, 0, 0]) };
    }
}

/// A player.
pub(crate) struct Player {
    shared: Arc<Shared>,
    stream: Option<Arc<File>>,
    mapped: Vec<Mapped>,
    /// What it transfers, which other threads' transfers never touch.
    sound: Vec<u8>,
    /// To copy to and from mappings: where they are gone, that is an error and no signal.
    copy: File,
}

impl Player {
    fn stream(&self) -> Result<&File, Errno> {
        self.stream.as_deref().ok_or(Errno::EBADF)
    }

    fn simple(&self, request: usize) -> Result<(), Errno> {
        ioctl_value(self.stream()?.as_raw_fd(), request, 0).map(|_| ())
    }

    /// A stream that somebody has open.
    fn other(&self, dice: &mut Dice) -> Option<Arc<File>> {
        let at = dice.next();
        let shared = self
            .shared
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let open: Vec<_> = shared.iter().filter_map(Weak::upgrade).collect();
        drop(shared);
        let open: Vec<_> = open
            .into_iter()
            .filter(|stream| pcm::is_alive(stream))
            .collect();
        (!open.is_empty()).then(|| open[(at % open.len() as u64) as usize].clone())
    }

    /// Opens a stream, or takes part in one that is open.
    fn find(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let own = dice.one_in(3);
        let (direction, flags) = (dice.pick(&['c', 'p']), dice.below(8));
        let flags = match flags {
            // Waits until there is a substream.
            0 => OFlag::empty(),
            _ => OFlag::O_NONBLOCK,
        };
        let sleeps_later = dice.one_in(2);
        let other = self.other(dice);
        if let Some(stream) = other.clone().filter(|_| !own) {
            self.stream = Some(stream);
            return Ok(());
        }
        journal.detail(&format!("{direction} {flags:?}"));
        let opened = pcm::open(&format!("pcmC%D0{direction}"), flags, dice);
        // The card may have no capture.
        let opened = opened.or_else(|_| pcm::open("pcmC%D0p", flags, dice));
        let stream = match (opened, other) {
            (Ok(file), _) => Arc::new(file),
            (Err(_), Some(stream)) => {
                self.stream = Some(stream);
                return Ok(());
            }
            (Err(error), None) => return Err(error),
        };
        if sleeps_later {
            let file = stream.as_raw_fd() as usize;
            // SAFETY: It changes no memory.
            unsafe { call(libc::SYS_fcntl, [file, libc::F_SETFL as usize, 0, 0, 0, 0]) }?;
        }
        let mut shared = self
            .shared
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shared.retain(|kept| kept.strong_count() != 0);
        shared.push(Arc::downgrade(&stream));
        self.stream = Some(stream);
        Ok(())
    }

    fn round(&mut self, round: u64, dice: &mut Dice, journal: &mut Journal) {
        journal.begin(round, ACTIONS[0].name);
        let found = self.find(dice, journal);
        journal.end(0, found);
        if found.is_err() {
            // Somebody has it, or there is no card.
            sleep_ms(1);
            return;
        }
        for _ in 0..dice.within(8, 60) {
            step(ACTIONS, self, round, dice, journal);
        }
        self.mapped.clear();
        self.stream = None;
    }

    /// Configures the stream, or frees its buffer.
    fn configure(&self, what: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        let shared = &self.shared;
        let _lock = shared.gentle.then(|| {
            shared
                .configuring
                .write()
                .unwrap_or_else(PoisonError::into_inner)
        });
        what()
    }

    /// Prepares or resets.
    fn prepare(&self, request: usize) -> Result<(), Errno> {
        let shared = &self.shared;
        let _lock = shared.gentle.then(|| {
            shared
                .preparing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        });
        self.simple(request)
    }

    fn drain(&mut self, _: &mut Dice, _: &mut Journal) -> Result<(), Errno> {
        let shared = &self.shared;
        let _lock = shared.gentle.then(|| {
            shared
                .configuring
                .read()
                .unwrap_or_else(PoisonError::into_inner)
        });
        match self.simple(pcm::DRAIN) {
            // It drains, and does not wait for it.
            Err(Errno::EAGAIN) => Ok(()),
            result => result,
        }
    }

    fn set_up(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let mut params = HwParams::choose(self.stream()?, dice)?;
        if dice.one_in(8) {
            params.scramble(dice);
        }
        journal.detail(&params.to_string());
        self.configure(|| params.set(self.stream()?))
    }

    /// What leads to a stream that runs, whatever the access.
    fn play(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let mut frames = dice.below(4096);
        if dice.one_in(2) {
            // Otherwise as it is.
            let _ = self.set_up(dice, journal);
        }
        self.prepare(pcm::PREPARE)?;
        let fd = self.stream()?.as_raw_fd();
        // Refused where it captures.
        let _ = ioctl(fd, pcm::FORWARD, bytemuck::bytes_of_mut(&mut frames));
        self.simple(pcm::START)
    }

    /// Reads or writes, in frames or in channels.
    fn transfer(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let kind = dice.pick(&[
            pcm::WRITEI,
            pcm::WRITEI,
            pcm::READI,
            pcm::WRITEN,
            pcm::READN,
        ]);
        let frames = dice.within(0, FRAMES);
        let at_random = dice.next();
        let channels = [self.sound.as_mut_ptr() as u64; 256];
        let mut transfer = Transfer {
            result: 0,
            address: match kind {
                pcm::WRITEI | pcm::READI => channels[0],
                _ => channels.as_ptr() as u64,
            },
            frames,
        };
        if dice.one_in(16) {
            transfer.address = dice.pick(&NOWHERE) as u64;
            transfer.frames = dice.hostile(FRAMES);
        }
        journal.detail(&format!(
            "{kind:#x} {:#x} {}",
            transfer.address, transfer.frames
        ));
        self.sound[..8].copy_from_slice(&at_random.to_le_bytes());
        let fd = self.stream()?.as_raw_fd();
        ioctl(fd, kind, bytemuck::bytes_of_mut(&mut transfer)).map(|_| ())
    }

    fn map(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let offset = dice.pick(&[
            pcm::DATA,
            pcm::DATA,
            pcm::STATUS_PAGE,
            pcm::CONTROL_PAGE,
            4096,
        ]);
        let len = match offset {
            pcm::DATA => 4096 << dice.below(8),
            _ => dice.pick(&[4096, 8192]),
        };
        let rights = dice.pick(&[1, 2, 3, 3, 7]);
        let flags = dice.pick(&[1, 1, 1, 2]);
        journal.detail(&format!("{offset:#x} {len} rights {rights} flags {flags}"));
        let arguments = [
            0,
            len,
            rights,
            flags,
            self.stream()?.as_raw_fd() as usize,
            offset,
        ];
        // SAFETY: The kernel chooses where, and nothing is there yet.
        let address = unsafe { call(libc::SYS_mmap, arguments) }?;
        self.mapped.push(Mapped { address, len });
        Ok(())
    }

    /// Reads or writes what is mapped: pointers, too.
    fn touch(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        if self.mapped.is_empty() {
            return Err(Errno::ENXIO);
        }
        let write = !dice.one_in(4);
        let mapped = &self.mapped[dice.below(self.mapped.len() as u64) as usize];
        let offset = dice.pick(&[0, 0, 8, dice.clone().below(mapped.len as u64 - 8) as usize]);
        let value = dice.hostile(4096);
        journal.detail(&format!(
            "{offset} {} {value:#x}",
            if write { "write" } else { "read" }
        ));
        let bytes = value.to_le_bytes();
        let fd = self.copy.as_raw_fd() as usize;
        let (number, address) = match write {
            true => {
                let source = [fd, bytes.as_ptr() as usize, 8, 0, 0, 0];
                // SAFETY: It reads eight bytes of ours.
                unsafe { call(libc::SYS_pwrite64, source) }?;
                (libc::SYS_pread64, mapped.address + offset)
            }
            false => (libc::SYS_pwrite64, mapped.address + offset),
        };
        // SAFETY: The memory is the device's and nothing of the program's is in it.
        unsafe { call(number, [fd, address, 8, 0, 0, 0]) }.map(|_| ())
    }

    fn link(&mut self, dice: &mut Dice, _: &mut Journal) -> Result<(), Errno> {
        if !self.shared.gentle || !may_link() {
            return Err(Errno::EPERM);
        }
        let other = self.other(dice).ok_or(Errno::ENXIO)?;
        let fd = self.stream()?.as_raw_fd();
        ioctl_value(fd, pcm::LINK, other.as_raw_fd() as usize).map(|_| ())
    }

    fn move_pointer(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let request = dice.pick(&[pcm::REWIND, pcm::FORWARD]);
        let mut frames = match dice.below(2) {
            0 => dice.below(2048),
            _ => dice.hostile(2048),
        };
        journal.detail(&format!("{request:#x} {frames}"));
        let fd = self.stream()?.as_raw_fd();
        ioctl(fd, request, bytemuck::bytes_of_mut(&mut frames)).map(|_| ())
    }

    fn sync_pointers(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let flags = dice.below(8) as u32;
        // Near where the hardware is, or far from it.
        let place = pcm::sync_pointers(self.stream()?, 6, 0, 0)?;
        let appl_ptr = match dice.below(3) {
            0 => place.wrapping_add(dice.below(4096)),
            _ => dice.hostile(place),
        };
        let avail_min = dice.hostile(64);
        journal.detail(&format!("flags {flags} {appl_ptr:#x} {avail_min:#x}"));
        pcm::sync_pointers(self.stream()?, flags, appl_ptr, avail_min).map(|_| ())
    }

    fn ask(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let request = dice.pick(&[pcm::STATUS, pcm::DELAY, pcm::CHANNEL_INFO]);
        let mut answer = [0; 256];
        answer[0] = dice.below(70) as u8;
        journal.detail(&format!("{request:#x}"));
        ioctl(self.stream()?.as_raw_fd(), request, &mut answer).map(|_| ())
    }

    /// An ioctl of any number and size, with an address where nothing is.
    fn nonsense(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let size = dice.pick(&[0, 1, 4, 8, 24, 136, 608, 16_383]);
        let number = dice.next() as u8;
        let request = request(dice.below(4) as usize, dice.pick(b"AAAU"), number, size);
        let value = dice.pick(&NOWHERE);
        journal.detail(&format!("{request:#x} {value:#x}"));
        ioctl_value(self.stream()?.as_raw_fd(), request, value).map(|_| ())
    }

    fn poll(&mut self, dice: &mut Dice, _: &mut Journal) -> Result<(), Errno> {
        let mut fds = [PollFd::new(
            self.stream()?.as_fd(),
            PollFlags::POLLIN | PollFlags::POLLOUT,
        )];
        poll(&mut fds, dice.below(4) as u8).map(|_| ())
    }
}

macro_rules! simple {
    ($name:literal, $weight:literal, $request:ident) => {
        Action {
            name: $name,
            weight: $weight,
            run: |player, _, _| player.simple(pcm::$request),
        }
    };
}

/// What players do.
pub(crate) const ACTIONS: &[Action<Player>] = &[
    Action {
        name: "open or take",
        weight: 5,
        run: Player::find,
    },
    Action {
        name: "hw_params",
        weight: 6,
        run: Player::set_up,
    },
    Action {
        name: "sw_params",
        weight: 6,
        run: |player, dice, journal| {
            let set = pcm::set_software(player.stream()?, player.shared.gentle, dice)?;
            journal.detail(&format!("{set:x?}"));
            Ok(())
        },
    },
    Action {
        name: "play",
        weight: 12,
        run: Player::play,
    },
    Action {
        name: "prepare",
        weight: 6,
        run: |player, _, _| player.prepare(pcm::PREPARE),
    },
    simple!("start", 4, START),
    simple!("drop", 3, DROP),
    Action {
        name: "drain",
        weight: 6,
        run: Player::drain,
    },
    Action {
        name: "pause",
        weight: 5,
        run: |player, dice, _| {
            ioctl_value(
                player.stream()?.as_raw_fd(),
                pcm::PAUSE,
                dice.below(3) as usize,
            )
            .map(|_| ())
        },
    },
    simple!("resume", 1, RESUME),
    Action {
        name: "reset",
        weight: 2,
        run: |player, _, _| player.prepare(pcm::RESET),
    },
    simple!("xrun", 1, XRUN),
    simple!("hwsync", 3, HWSYNC),
    Action {
        name: "hw_free",
        weight: 2,
        run: |player, _, _| player.configure(|| player.simple(pcm::HW_FREE)),
    },
    Action {
        name: "transfer",
        weight: 20,
        run: Player::transfer,
    },
    Action {
        name: "map",
        weight: 5,
        run: Player::map,
    },
    Action {
        name: "touch",
        weight: 10,
        run: Player::touch,
    },
    Action {
        name: "unmap",
        weight: 4,
        run: |player, _, _| player.mapped.pop().map(|_| ()).ok_or(Errno::ENXIO),
    },
    Action {
        name: "move pointer",
        weight: 5,
        run: Player::move_pointer,
    },
    Action {
        name: "sync pointers",
        weight: 6,
        run: Player::sync_pointers,
    },
    Action {
        name: "link",
        weight: 4,
        run: Player::link,
    },
    simple!("unlink", 2, UNLINK),
    Action {
        name: "ask",
        weight: 4,
        run: Player::ask,
    },
    Action {
        name: "poll",
        weight: 4,
        run: Player::poll,
    },
    Action {
        name: "nonsense",
        weight: 2,
        run: Player::nonsense,
    },
    Action {
        name: "close",
        weight: 1,
        run: |player, _, _| player.stream.take().map(|_| ()).ok_or(Errno::EBADF),
    },
];

/// Whether streams may be linked. With two CPUs ALSA (7.3) may find a group's lock taken; then it takes
/// that and the stream's own in the other order, which lockdep takes for a recursion, reports, and
/// looks no further for the rest of the machine's life.
pub(crate) fn may_link() -> bool {
    let has_lockdep = Path::new("/proc/lockdep_stats").exists();
    !has_lockdep || thread::available_parallelism().is_ok_and(|cpus| cpus.get() == 1)
}

/// What must have gone well in a storm of any worth, where streams may be linked also what is in
/// [`MUST_LINK`].
pub(crate) const MUST: &[&str] = &[
    "open or take",
    "hw_params",
    "sw_params",
    "play",
    "prepare",
    "drop",
    "drain",
    "pause",
    "reset",
    "xrun",
    "hw_free",
    "transfer",
    "map",
    "touch",
    "move pointer",
    "sync pointers",
    "ask",
    "poll",
];

pub(crate) const MUST_LINK: &[&str] = &["link", "unlink"];

/// A player's name.
pub(crate) fn name(index: usize) -> String {
    format!("player-{index}")
}

/// Players that share their streams; whether they are gentle, see [`Shared`].
pub(crate) fn players(count: usize, rounds: u64, gentle: bool) -> Result<Vec<Worker<'static>>> {
    let shared = Arc::new(Shared {
        gentle,
        ..Shared::default()
    });
    let player = |index| {
        let mut player = Player {
            shared: shared.clone(),
            stream: None,
            mapped: Vec::new(),
            sound: vec![0; BYTES],
            copy: memfd_create(c"copy", MFdFlags::MFD_CLOEXEC)?.into(),
        };
        Ok(Worker {
            name: name(index),
            rounds,
            round: Box::new(move |round, dice, journal| {
                player.round(round, dice, journal);
                Ok(())
            }),
        })
    };
    (0..count).map(player).collect()
}

/// A stream that plays on whatever nobody writes, as long as it is open.
pub(crate) fn endless() -> Result<App> {
    let setup = Setup {
        nonstop: true,
        ..Setup::default()
    };
    let app = App::open(&setup)?;
    app.write(&noise(setup.format, setup.channels, 4_096, 1))?;
    Ok(app)
}
