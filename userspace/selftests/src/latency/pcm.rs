// SPDX-License-Identifier: MIT OR GPL-2.0

//! A PCM that alsa-lib sets up, and that is written and read by system calls without it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use alsa::Direction;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc::{c_long, c_ulong, c_void};

use crate::app::Setup;
use crate::raw_pcm::RawPcm;

/// `struct snd_xferi`.
#[repr(C)]
struct Transfer {
    result: c_long,
    buf: *mut c_void,
    frames: c_ulong,
}

mod sys {
    use super::Transfer;

    nix::ioctl_write_ptr!(
        /// Writes frames, and how many into the structure.
        write_frames,
        b'A',
        0x50,
        Transfer
    );
    nix::ioctl_read!(
        /// Reads frames, and how many into the structure.
        read_frames,
        b'A',
        0x51,
        Transfer
    );
}

/// A PCM of interleaved frames.
pub(super) struct Pcm {
    pcm: RawPcm,
    fd: OwnedFd,
    frame: usize,
}

impl Pcm {
    /// Opens the PCM of this name and sets it up.
    pub(super) fn open(name: &str, direction: Direction, setup: &Setup) -> Result<Self> {
        let mut pcm = RawPcm::open(name, direction).context("open")?;
        pcm.set_up(setup).context("set up")?;
        let fd = pcm.file()?.try_clone_to_owned()?;
        Ok(Self {
            pcm,
            fd,
            frame: setup.frame_bytes(),
        })
    }

    /// Writes as many frames as there is room for, or sleeps until it has written all; returns how
    /// many bytes they are.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut transfer = Transfer {
            result: 0,
            // The kernel only reads from there.
            buf: ptr::from_ref(bytes).cast_mut().cast(),
            frames: (bytes.len() / self.frame) as c_ulong,
        };
        let fd = self.fd.as_raw_fd();
        // SAFETY: So many frames can be read there, and the structure may be written.
        unsafe { sys::write_frames(fd, &raw mut transfer) }?;
        Ok(transfer.result as usize * self.frame)
    }

    /// Reads the frames that there are, or sleeps until `bytes` is full; returns how many bytes they
    /// are.
    pub(super) fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        let mut transfer = Transfer {
            result: 0,
            buf: ptr::from_mut(bytes).cast(),
            frames: (bytes.len() / self.frame) as c_ulong,
        };
        let fd = self.fd.as_raw_fd();
        // SAFETY: There is room for so many frames, and the structure may be written.
        unsafe { sys::read_frames(fd, &raw mut transfer) }?;
        Ok(transfer.result as usize * self.frame)
    }

    /// Whether calls sleep.
    pub(super) fn set_blocking(&self, blocking: bool) -> Result<(), Errno> {
        self.pcm.set_blocking(blocking)
    }

    /// Makes it ready to start.
    pub(super) fn prepare(&self) -> Result<(), Errno> {
        self.pcm.prepare()
    }

    /// Stops, and drops what is written.
    pub(super) fn stop(&self) -> Result<(), Errno> {
        self.pcm.stop()
    }

    /// Starts.
    pub(super) fn start(&self) -> Result<(), Errno> {
        self.pcm.start()
    }

    /// Has all that is written played.
    pub(super) fn drain(&self) -> Result<()> {
        self.pcm.drain()
    }
}

impl AsFd for Pcm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
