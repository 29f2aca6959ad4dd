// SPDX-License-Identifier: GPL-2.0

//! `/dev/rtshm`: how user space gets at the ring.
//!
//! Opened for reading and writing it makes the caller the one consumer, who may map the region and
//! wait with `poll()`. Opened for reading it tells, by ioctl and fdinfo, and nothing else.
//!
//! The card can be taken away while the node stays, since an attribute cannot remove the device that
//! it is of. No lock is taken for that: who comes first does it, and the module's exit waits for an
//! attribute that is being written. An `open()` at the same moment finds either no node or one that
//! nothing comes from any more.

use kernel::{
    bindings,
    current,
    fs::{
        file::flags,
        File, //
    },
    ioctl::_IOR,
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    mm::virt::VmaNew,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        poll::PollTable,
        Arc, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

use crate::{
    abi::{
        ioctl::{
            self,
            Info,
            Status, //
        },
        plain, //
    },
    alsa::card::Card,
    misc::{
        PollDevice,
        Registration, //
    },
    outlet::{
        Outlet,
        Seat, //
    }, //
};

// CAST: The kernel's helper takes the type as `u32`.
const INFO: u32 = _IOR::<Info>(ioctl::MAGIC as u32, ioctl::INFO as u32);
const STATUS: u32 = _IOR::<Status>(ioctl::MAGIC as u32, ioctl::STATUS as u32);

/// Whether the module is loaded. Until then no node can be opened: where one of several cannot be
/// had, the kernel frees the module whoever has a file of it open.
static IS_LOADED: AtomicFlag = AtomicFlag::new(false);

/// Has nodes be opened from now on: nothing can fail any more.
pub fn announce() {
    // ORDERING: Relaxed; who does not see it tries again.
    IS_LOADED.store(true, Relaxed);
}

/// What stands behind a node.
pub struct Node {
    outlet: Arc<Outlet>,
    info: Info,
    card: Card,
    /// Whether somebody takes the card away, or has done so.
    is_removed: AtomicFlag,
}

impl Node {
    /// The node of `card`, which feeds `outlet` and is described by `info`.
    pub fn new(outlet: Arc<Outlet>, info: Info, card: Card) -> Self {
        Self {
            outlet,
            info,
            card,
            is_removed: AtomicFlag::new(false),
        }
    }
}

/// An open file of a node.
pub struct Handle {
    outlet: Arc<Outlet>,
    info: Info,
    /// The consumer's, and not the observer's.
    seat: Option<Seat>,
}

#[vtable]
impl MiscDevice for Handle {
    type Ptr = KBox<Self>;

    fn open(file: &File, misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        // ORDERING: Relaxed; nothing is published by it. Partner: the store in `announce`.
        if !IS_LOADED.load(Relaxed) {
            return Err(EAGAIN);
        }
        let node = Registration::data(misc);
        // ORDERING: Relaxed; who does not see it yet will be told by `poll()`.
        if node.is_removed.load(Relaxed) {
            return Err(ENODEV);
        }
        let seat = match file.flags() & flags::O_ACCMODE {
            flags::O_RDONLY => None,
            flags::O_RDWR => {
                let pid = current!().tgid_nr_ns(None);
                Some(Seat::take(node.outlet.clone(), pid)?)
            }
            _ => return Err(EINVAL),
        };
        let handle = Self {
            outlet: node.outlet.clone(),
            info: node.info,
            seat,
        };
        Ok(KBox::new(handle, GFP_KERNEL)?)
    }

    fn mmap(me: &Self, _file: &File, vma: &VmaNew) -> Result {
        let seat = me.seat.as_ref().ok_or(EACCES)?;
        // SAFETY: The area is valid while it is being set up.
        let first = unsafe { (*vma.as_ptr()).vm_pgoff };
        let offset = first.checked_mul(kernel::page::PAGE_SIZE).ok_or(EINVAL)?;
        // CAST: Widening.
        seat.pages().map(vma, offset as u64)
    }

    fn ioctl(me: &Self, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let status;
        let answer = match cmd {
            INFO => plain::bytes_of(&me.info),
            STATUS => {
                status = me.outlet.status();
                plain::bytes_of(&status)
            }
            _ => return Err(ENOTTY),
        };
        UserSlice::new(UserPtr::from_addr(arg), answer.len())
            .writer()
            .write_slice(answer)?;
        Ok(0)
    }

    fn show_fdinfo(me: &Self, m: &SeqFile, _file: &File) {
        let role = if me.seat.is_some() {
            "consumer"
        } else {
            "observer"
        };
        let Status {
            state,
            consumer_pid,
            rate,
            channels,
            format,
            period_frames,
            buffer_frames,
            chunk_frames,
            write_count,
            read_count,
            chunks,
            frames,
            lost_frames,
            lost_records,
            streams,
            xruns,
            faults,
            wakeups,
            clock_ratio,
            volume_gain,
            volume_on,
        } = me.outlet.status();
        seq_print!(m, "rtshm-role:\t{role}\n");
        seq_print!(m, "rtshm-capacity:\t{}\n", me.info.capacity);
        seq_print!(m, "rtshm-consumer-pid:\t{consumer_pid}\n");
        seq_print!(m, "rtshm-state:\t{state}\n");
        seq_print!(m, "rtshm-rate:\t{rate}\n");
        seq_print!(m, "rtshm-channels:\t{channels}\n");
        seq_print!(m, "rtshm-format:\t{format}\n");
        seq_print!(m, "rtshm-period-frames:\t{period_frames}\n");
        seq_print!(m, "rtshm-buffer-frames:\t{buffer_frames}\n");
        seq_print!(m, "rtshm-chunk-frames:\t{chunk_frames}\n");
        seq_print!(m, "rtshm-write-count:\t{write_count}\n");
        seq_print!(m, "rtshm-read-count:\t{read_count}\n");
        seq_print!(m, "rtshm-chunks:\t{chunks}\n");
        seq_print!(m, "rtshm-frames:\t{frames}\n");
        seq_print!(m, "rtshm-lost-frames:\t{lost_frames}\n");
        seq_print!(m, "rtshm-lost-records:\t{lost_records}\n");
        seq_print!(m, "rtshm-streams:\t{streams}\n");
        seq_print!(m, "rtshm-xruns:\t{xruns}\n");
        seq_print!(m, "rtshm-faults:\t{faults}\n");
        seq_print!(m, "rtshm-wakeups:\t{wakeups}\n");
        seq_print!(m, "rtshm-clock-ratio:\t{clock_ratio}\n");
        seq_print!(m, "rtshm-volume-gain:\t{volume_gain}\n");
        seq_print!(m, "rtshm-volume-on:\t{volume_on}\n");
    }
}

impl PollDevice for Handle {
    type Data = Node;

    fn poll(me: &Self, file: &File, table: &PollTable<'_>) -> u32 {
        let Some(seat) = &me.seat else {
            return bindings::POLLERR;
        };
        let ready = seat.poll(file, table);
        let mut mask = 0;
        if ready.readable {
            mask |= bindings::POLLIN | bindings::POLLRDNORM;
        }
        if ready.faulty {
            mask |= bindings::POLLERR;
        }
        if ready.ended {
            mask |= bindings::POLLHUP;
        }
        mask
    }

    fn remove(node: &Node) -> Result {
        // ORDERING: Relaxed; it only decides who does it.
        if node.is_removed.xchg(true, Relaxed) {
            return Err(ENODEV);
        }
        node.card.disconnect();
        // Behind all that the card had to tell.
        node.outlet.end();
        pr_info!("card {} was taken away\n", node.info.card);
        Ok(())
    }
}
