// SPDX-License-Identifier: MIT OR GPL-2.0

//! Consumers that mean harm: processes that do anything to the device and to its memory, and are
//! killed at some moment.

use std::mem::offset_of;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use anyhow::{ensure, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;
use rtshm_abi::ioctl::{Info, INFO, MAGIC};
use rtshm_abi::layout::{ConsumerPage, ProducerPage};

use super::call::{call, ioctl, ioctl_value, request, NOWHERE};
use super::dice::Dice;
use super::journal::Journal;
use super::{step, Action, Settings, Worker};
use crate::time::sleep_ms;

const PAGE: usize = 4096;

/// Addresses that nothing else is at; all mappings go there, unless the kernel moves them.
const ARENA: usize = 64 << 20;

/// The word with which a consumer asks for a rate, where the layout has one.
const RATE_REQUEST: usize = 0x48;

/// Advice that is given. Not that a page is broken, which the kernel would believe.
const ADVICE: [usize; 25] = [
    0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 102, 103,
];

/// Files that are kept open, and processes that are let live.
const FILES: usize = 6;
const CHILDREN: usize = 3;

/// A consumer that means harm.
pub(crate) struct Consumer {
    files: Vec<usize>,
    arena: usize,
    /// What was mapped, and maybe changed or unmapped since.
    places: Vec<(usize, usize)>,
    /// To copy to and from mappings: where they are gone, that is an error and no signal.
    copy: usize,
    pipe: [i32; 2],
    ring: Option<usize>,
    ring_len: usize,
    children: usize,
}

/// Calls the kernel with what is left of six arguments 0.
fn sys<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> Result<usize, Errno> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    // SAFETY: All addresses that this file passes are in the arena, where the kernel moved a piece of
    // it, where nothing is, or of variables that the call does not write beyond.
    unsafe { call(number, all) }
}

fn any_of(all: &[usize], dice: &mut Dice) -> Result<usize, Errno> {
    match all.is_empty() {
        true => Err(Errno::EBADF),
        false => Ok(dice.pick(all)),
    }
}

fn done(result: Result<usize, Errno>) -> Result<(), Errno> {
    result.map(|_| ())
}

impl Consumer {
    fn new() -> Result<Self, Errno> {
        // PROT_NONE; private, anonymous, not reserved.
        let arena = sys(libc::SYS_mmap, [0, ARENA, 0, 0x4022, usize::MAX, 0])?;
        let copy = sys(libc::SYS_memfd_create, [c"copy".as_ptr() as usize, 0])?;
        let mut pipe = [0; 2];
        sys(
            libc::SYS_pipe2,
            [pipe.as_mut_ptr() as usize, libc::O_NONBLOCK as usize],
        )?;
        Ok(Self {
            files: Vec::new(),
            arena,
            places: Vec::new(),
            copy,
            pipe,
            ring: None,
            ring_len: 2 << 20,
            children: 0,
        })
    }

    fn file(&self, dice: &mut Dice) -> Result<usize, Errno> {
        any_of(&self.files, dice)
    }

    /// A piece of the arena, or most times of something that was mapped.
    fn piece(&self, dice: &mut Dice) -> (usize, usize) {
        let (start, len) = match self.places.is_empty() || dice.one_in(8) {
            true => (self.arena + dice.below(1024) as usize * PAGE, 64 * PAGE),
            false => dice.pick(&self.places),
        };
        let pages = (len / PAGE) as u64;
        match dice.below(3) {
            0 => (start, len),
            1 => (start, PAGE),
            _ => {
                let first = dice.below(pages);
                let count = dice.within(1, pages - first);
                (start + first as usize * PAGE, count as usize * PAGE)
            }
        }
    }

    /// A place in the arena for so many bytes.
    fn room(&self, len: usize, dice: &mut Dice) -> usize {
        let pages = ARENA.saturating_sub(len) / PAGE;
        self.arena + dice.below(pages as u64 + 1) as usize * PAGE
    }

    fn remember(&mut self, address: usize, len: usize, dice: &mut Dice) {
        if self.places.len() < 16 {
            self.places.push((address, len));
        } else {
            let at = dice.below(16) as usize;
            self.places[at] = (address, len);
        }
    }

    fn open(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let flags =
            dice.pick(&[2, 2, 2, 2, 0, 1, 3]) | dice.pick(&[0, 0x800, 0x80000, 0x2000, 0x400]);
        let number = dice.pick(&[0, 0, 0, 1, 2]);
        let suffix = if number == 0 {
            String::new()
        } else {
            number.to_string()
        };
        let path = format!("/dev/rtshm{suffix}\0");
        journal.detail(&format!("{} {flags:#x}", path.trim_end_matches('\0')));
        // AT_FDCWD.
        let file = sys(
            libc::SYS_openat,
            [-100_isize as usize, path.as_ptr() as usize, flags],
        )?;
        let mut info = <Info as bytemuck::Zeroable>::zeroed();
        let number = request(2, MAGIC, INFO, size_of::<Info>());
        ioctl(file as i32, number, bytemuck::bytes_of_mut(&mut info))?;
        self.ring_len = 2 * info.capacity as usize;
        self.files.push(file);
        if self.files.len() > FILES {
            done(sys(libc::SYS_close, [self.files.remove(0)]))?;
        }
        Ok(())
    }

    fn close(&mut self, dice: &mut Dice, _: &mut Journal) -> Result<(), Errno> {
        let file = self.file(dice)?;
        self.files.retain(|other| *other != file);
        done(sys(libc::SYS_close, [file]))
    }

    /// Maps a window as it is meant, or anything.
    fn map(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let file = self.file(dice)?;
        let windows = [(0, PAGE, 1), (PAGE, PAGE, 3), (2 * PAGE, self.ring_len, 1)];
        let (mut offset, mut len, mut rights) = dice.pick(&windows);
        let mut flags = 0x11;
        if dice.one_in(2) {
            match dice.below(4) {
                0 => offset = dice.pick(&[0, 1, 2, 3, 1 << 20, 1 << 50]) * PAGE,
                1 => len = dice.pick(&[PAGE, 2 * PAGE, self.ring_len / 2, self.ring_len + PAGE]),
                2 => rights = dice.below(8) as usize,
                // Shared, private, both; growing down, locked, filled, of large pages, synchronous.
                _ => {
                    flags = 0x10
                        | dice.pick(&[1, 2, 3])
                        | dice.pick(&[0, 0x100, 0x2000, 0x4000, 0x8000, 0x40000, 0x80000]);
                }
            }
        }
        let address = self.room(len, dice);
        journal.detail(&format!(
            "{offset:#x} {len:#x} rights {rights} flags {flags:#x}"
        ));
        sys(libc::SYS_mmap, [address, len, rights, flags, file, offset])?;
        self.remember(address, len, dice);
        Ok(())
    }

    /// Copies eight bytes to an address, if there is memory that can be written.
    fn store(&self, address: usize, value: u64) -> Result<(), Errno> {
        let bytes = value.to_le_bytes();
        sys(
            libc::SYS_pwrite64,
            [self.copy, bytes.as_ptr() as usize, 8, 0],
        )?;
        done(sys(libc::SYS_pread64, [self.copy, address, 8, 0]))
    }

    /// Copies eight bytes from an address, if there is memory that can be read.
    fn load(&self, address: usize) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        sys(libc::SYS_pwrite64, [self.copy, address, 8, 0])?;
        sys(
            libc::SYS_pread64,
            [self.copy, bytes.as_mut_ptr() as usize, 8, 0],
        )?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn scribble(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let (start, len) = self.piece(dice);
        let counter = offset_of!(ConsumerPage, read_count);
        let wake = offset_of!(ConsumerPage, wake_bytes);
        let offset = dice.pick(&[
            counter,
            counter,
            wake,
            RATE_REQUEST,
            dice.clone().below(len as u64 / 8) as usize * 8,
        ]);
        let near = dice.pick(&[
            0,
            48_000 << 32,
            self.ring_len as u64,
            self.load(start + offset).unwrap_or(0),
        ]);
        journal.detail(&format!("{offset:#x} near {near:#x}"));
        for _ in 0..dice.within(1, 40) {
            self.store(start + offset, dice.hostile(near))?;
        }
        Ok(())
    }

    /// Is a good consumer for a moment: reads all there is, if it has both pages.
    fn follow(&mut self, _: &mut Dice, _: &mut Journal) -> Result<(), Errno> {
        let mut result = Err(Errno::ENXIO);
        for &(from, _) in &self.places {
            let written = offset_of!(ProducerPage, write_count);
            let Ok(written) = self.load(from + written) else {
                continue;
            };
            for &(to, len) in &self.places {
                // No other page can be written.
                if to != from && len == PAGE && self.store(to, written).is_ok() {
                    result = Ok(());
                }
            }
        }
        result
    }

    fn remap(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let (start, len) = self.piece(dice);
        let new_len = dice
            .pick(&[len, PAGE, len + PAGE, 2 * len, len / 2 / PAGE * PAGE])
            .max(PAGE);
        // May move; to this place; leaving the old one.
        let flags = dice.pick(&[0, 1, 3, 3, 7]);
        let old_len = if dice.one_in(8) { 0 } else { len };
        let place = self.room(new_len, dice);
        journal.detail(&format!(
            "{start:#x} {old_len:#x} -> {place:#x} {new_len:#x} flags {flags}"
        ));
        let address = sys(libc::SYS_mremap, [start, old_len, new_len, flags, place])?;
        self.remember(address, new_len, dice);
        Ok(())
    }

    /// What is called with an address, a length, and little else.
    fn on_memory(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let (start, len) = self.piece(dice);
        let (number, more) = dice.pick(&[
            (libc::SYS_mprotect, dice.clone().below(8) as usize),
            (libc::SYS_madvise, dice.clone().pick(&ADVICE)),
            (libc::SYS_madvise, dice.clone().pick(&ADVICE)),
            (libc::SYS_munmap, 0),
            (libc::SYS_msync, dice.clone().pick(&[1, 2, 4, 6])),
            (libc::SYS_mlock, 0),
            (libc::SYS_mlock2, 1),
            (libc::SYS_munlock, 0),
            (libc::SYS_remap_file_pages, 0),
        ]);
        journal.detail(&format!("call {number} {start:#x} {len:#x} {more}"));
        done(sys(number, [start, len, more, dice.below(4) as usize]))
    }

    /// Maps something else over it.
    fn cover(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let (start, len) = self.piece(dice);
        journal.detail(&format!("{start:#x} {len:#x}"));
        done(sys(
            libc::SYS_mmap,
            [start, len, dice.pick(&[0, 1, 3]), 0x32, usize::MAX, 0],
        ))
    }

    fn fork(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        // Anyone, at once.
        while self.children > 0 && sys(libc::SYS_wait4, [usize::MAX, 0, 1])? != 0 {
            self.children -= 1;
        }
        if self.children >= CHILDREN {
            return Err(Errno::EAGAIN);
        }
        let mut own = Dice::new(dice.next(), "child", 0);
        // SIGCHLD, and with the memory shared or not.
        if sys(libc::SYS_clone, [17])? != 0 {
            self.children += 1;
            return Ok(());
        }
        // The child is killed with its parent.
        let _ = sys(libc::SYS_prctl, [1, 9]);
        for _ in 0..own.below(12) {
            let _ = match own.below(4) {
                0 => self.scribble(&mut own, journal),
                1 => self.map(&mut own, journal),
                2 => self.remap(&mut own, journal),
                _ => self.on_memory(&mut own, journal),
            };
        }
        let _ = sys(libc::SYS_exit_group, [0]);
        Err(Errno::ECHILD)
    }

    /// Puts pages into a pipe, and maybe takes some out.
    fn splice(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let (start, len) = self.piece(dice);
        let vector = [start, len];
        let [out, into] = self.pipe.map(|end| end as usize);
        let flags = dice.pick(&[2, 10]);
        journal.detail(&format!("{start:#x} {len:#x} flags {flags}"));
        let result = sys(
            libc::SYS_vmsplice,
            [into, vector.as_ptr() as usize, 1, flags],
        );
        if dice.one_in(2) {
            let file = self.file(dice).unwrap_or(self.copy);
            let _ = sys(libc::SYS_splice, [out, 0, file, 0, len, 2]);
            let _ = sys(libc::SYS_splice, [file, 0, into, 0, len, 2]);
        }
        if dice.one_in(2) {
            // Back into the mapping: of a pipe that is full nothing more can be learned.
            while sys(libc::SYS_read, [out, start, len]).is_ok_and(|len| len > 0) {}
        }
        done(result)
    }

    /// Has io_uring hold the pages.
    fn register(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let ring = match self.ring {
            Some(ring) => ring,
            None => {
                let mut parameters = [0_u64; 15];
                let ring = sys(
                    libc::SYS_io_uring_setup,
                    [4, parameters.as_mut_ptr() as usize],
                )?;
                *self.ring.insert(ring)
            }
        };
        let (start, len) = self.piece(dice);
        let vector = [start, len];
        // Buffers and files, in and out.
        let what = dice.pick(&[0, 0, 1, 2, 3]);
        journal.detail(&format!("{what} {start:#x} {len:#x}"));
        let file = self.file(dice)? as i32;
        let argument = match what {
            0 => vector.as_ptr() as usize,
            2 => std::ptr::from_ref(&file) as usize,
            _ => 0,
        };
        let count = usize::from(argument != 0);
        let result = sys(libc::SYS_io_uring_register, [ring, what, argument, count]);
        if dice.one_in(8) {
            self.ring = None;
            sys(libc::SYS_close, [ring])?;
        }
        done(result)
    }

    /// Writes to its own memory by way of the kernel.
    fn write_itself(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let (start, _) = self.piece(dice);
        let value = dice.hostile(4096).to_le_bytes();
        journal.detail(&format!("{start:#x}"));
        let ours = [value.as_ptr() as usize, 8];
        let target = [start, 8];
        let process = sys(libc::SYS_getpid, [])?;
        let vectors = [
            process,
            ours.as_ptr() as usize,
            1,
            target.as_ptr() as usize,
            1,
        ];
        match dice.below(3) {
            0 => done(sys(libc::SYS_process_vm_writev, vectors)),
            1 => {
                let mut bytes = value;
                let ours = [bytes.as_mut_ptr() as usize, 8];
                let vectors = [
                    process,
                    ours.as_ptr() as usize,
                    1,
                    target.as_ptr() as usize,
                    1,
                ];
                done(sys(libc::SYS_process_vm_readv, vectors))
            }
            _ => {
                let path = c"/proc/self/mem".as_ptr() as usize;
                let memory = sys(libc::SYS_openat, [-100_isize as usize, path, 2])?;
                let result = sys(
                    libc::SYS_pwrite64,
                    [memory, value.as_ptr() as usize, 8, start],
                );
                sys(libc::SYS_close, [memory])?;
                done(result)
            }
        }
    }

    /// What is called with a file.
    fn on_file(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let file = self.file(dice)?;
        let mut buffer = [0_u64; 64];
        let bytes = buffer.as_mut_ptr() as usize;
        let number = dice.hostile(4096) as usize;
        let (call, rest) = dice.pick(&[
            (libc::SYS_read, [bytes, 512, 0]),
            (libc::SYS_write, [bytes, 512, 0]),
            (libc::SYS_pread64, [bytes, 512, number]),
            (libc::SYS_pwrite64, [bytes, 512, number]),
            (libc::SYS_lseek, [number, dice.clone().below(5) as usize, 0]),
            (libc::SYS_ftruncate, [number, 0, 0]),
            (libc::SYS_fallocate, [3, 0, PAGE]),
            (libc::SYS_fsync, [0; 3]),
            (libc::SYS_flock, [dice.clone().pick(&[5, 6, 8]), 0, 0]),
            (libc::SYS_fstat, [bytes, 0, 0]),
            (libc::SYS_readahead, [0, PAGE, 0]),
            (libc::SYS_fadvise64, [0, PAGE, 4]),
            (libc::SYS_sendfile, [self.copy, 0, PAGE]),
            (libc::SYS_getdents64, [bytes, 512, 0]),
            // F_SETFL: append, direct, not blocking, signals.
            (
                libc::SYS_fcntl,
                [4, dice.clone().pick(&[0, 0x400, 0x800, 0x2000, 0x4000]), 0],
            ),
            // F_GETFD, F_GETFL, F_GETOWN, F_GETLEASE, F_NOTIFY, F_ADD_SEALS and others.
            (
                libc::SYS_fcntl,
                [dice.clone().pick(&[1, 3, 9, 1025, 1026, 1033]), 0, 0],
            ),
        ]);
        journal.detail(&format!("call {call} {number:#x}"));
        let [a, b, c] = rest;
        done(sys(call, [file, a, b, c]))
    }

    fn nonsense(&mut self, dice: &mut Dice, journal: &mut Journal) -> Result<(), Errno> {
        let kind = dice.pick(&[MAGIC, MAGIC, MAGIC, 0, b'A']);
        let size = dice.pick(&[0, 1, 8, size_of::<Info>(), 128, 16_383]);
        let number = dice.pick(&[INFO, 1, 2, 3, dice.clone().next() as u8]);
        let request = request(dice.below(4) as usize, kind, number, size);
        let value = dice.pick(&NOWHERE);
        journal.detail(&format!("{request:#x} {value:#x}"));
        done(ioctl_value(self.file(dice)? as i32, request, value))
    }

    fn poll(&mut self, dice: &mut Dice, _: &mut Journal) -> Result<(), Errno> {
        // POLLIN and POLLOUT in the middle of it.
        let mut entry = self.file(dice)? as u64 | 5 << 32;
        let entry = std::ptr::from_mut(&mut entry) as usize;
        done(sys(libc::SYS_poll, [entry, 1, dice.below(4) as usize]))
    }

    /// Puts the file into an epoll instance, which goes before or after it.
    fn epoll(&mut self, dice: &mut Dice, _: &mut Journal) -> Result<(), Errno> {
        let file = self.file(dice)?;
        let epoll = sys(libc::SYS_epoll_create1, [0])?;
        let mut event = [dice.pick(&[1_u32, 5, 1 << 31 | 1, 1 << 30 | 1]), 0, 0, 0];
        let event = event.as_mut_ptr() as usize;
        let result = sys(libc::SYS_epoll_ctl, [epoll, 1, file, event]);
        let _ = sys(
            libc::SYS_epoll_wait,
            [epoll, event, 1, dice.below(3) as usize],
        );
        sys(libc::SYS_close, [epoll])?;
        done(result)
    }

    fn duplicate(&mut self, dice: &mut Dice, _: &mut Journal) -> Result<(), Errno> {
        if self.files.len() >= FILES {
            return Err(Errno::EMFILE);
        }
        let file = sys(libc::SYS_dup, [self.file(dice)?])?;
        self.files.push(file);
        Ok(())
    }
}

macro_rules! actions {
    ($($name:literal $weight:literal $function:ident),+ $(,)?) => {
        &[$(Action {
            name: $name,
            weight: $weight,
            run: Consumer::$function,
        }),+]
    };
}

/// What these consumers do.
pub(crate) const ACTIONS: &[Action<Consumer>] = actions![
    "open" 10 open,
    "close" 2 close,
    "map" 24 map,
    "scribble" 20 scribble,
    "follow" 10 follow,
    "remap" 10 remap,
    "on memory" 16 on_memory,
    "cover" 3 cover,
    "fork" 3 fork,
    "splice" 5 splice,
    "register" 5 register,
    "write itself" 4 write_itself,
    "on file" 10 on_file,
    "nonsense" 6 nonsense,
    "poll" 8 poll,
    "epoll" 4 epoll,
    "duplicate" 2 duplicate,
];

/// What must have gone well in a storm of any worth.
pub(crate) const MUST: &[&str] = &[
    "open",
    "close",
    "map",
    "scribble",
    "follow",
    "on memory",
    "cover",
    "fork",
    "register",
    "poll",
    "epoll",
    "duplicate",
];

/// A consumer's name.
pub(crate) fn name(index: usize) -> String {
    format!("consumer-{index}")
}

/// Be such a consumer, until killed.
pub(crate) fn live(worker: &str, round: u64) -> Result<()> {
    let mut dice = Dice::new(Settings::get().seed, worker, round);
    let mut journal = Journal::open(worker)?;
    let mut consumer = Consumer::new()?;
    loop {
        step(ACTIONS, &mut consumer, round, &mut dice, &mut journal);
    }
}

/// Who starts such consumers, one after the other, and kills them.
pub(crate) fn consumer(index: usize, rounds: u64) -> Worker<'static> {
    let name = name(index);
    Worker {
        name: name.clone(),
        rounds,
        round: Box::new(move |round, dice, journal| {
            let before = journal.progress();
            let mut child = Command::new("/proc/self/exe")
                .args(Settings::get().arguments())
                .args(["--storm-consumer", &name, &round.to_string()])
                .stdin(Stdio::null())
                .process_group(0)
                .spawn()?;
            while journal.progress() == before && child.try_wait()?.is_none() {
                sleep_ms(2);
            }
            sleep_ms(dice.below(400));
            // With those that it forked. It may have died of what it did to its memory.
            let _ = killpg(Pid::from_raw(child.id().try_into()?), Signal::SIGKILL);
            let status = child.wait()?;
            let is_killed = [libc::SIGKILL, libc::SIGSEGV, libc::SIGBUS]
                .map(Some)
                .contains(&status.signal());
            ensure!(is_killed, "the consumer ended by itself: {status}");
            Ok(())
        }),
    }
}
