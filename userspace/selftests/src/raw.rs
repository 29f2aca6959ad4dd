// SPDX-License-Identifier: MIT OR GPL-2.0

//! The device by plain system calls, as a consumer that means harm would use it.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use anyhow::{anyhow, Context, Result};
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::libc::c_void;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::mman::{mmap, munmap, MapFlags, ProtFlags};
use nix::sys::stat::Mode;
use rtshm_abi::ioctl::{Info, Status, INFO, MAGIC, STATUS};
use rtshm_abi::layout::{ConsumerPage, Geometry, ProducerPage};
use rtshm_abi::memory::{Reader, Windows};
use rtshm_abi::plain::{self, Plain};
use rtshm_abi::record::{Header, Record};

use crate::module;

mod sys {
    use super::{Info, Status, INFO, MAGIC, STATUS};

    nix::ioctl_read!(
        /// Fills an `Info`.
        info,
        MAGIC,
        INFO,
        Info
    );
    nix::ioctl_read!(
        /// Fills a `Status`.
        status,
        MAGIC,
        STATUS,
        Status
    );
}

/// An open device.
pub(crate) struct Node(File);

/// Reads only.
pub(crate) const READ: ProtFlags = ProtFlags::PROT_READ;
/// Reads and writes.
pub(crate) const WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

impl Node {
    /// Opens the device as its consumer.
    pub(crate) fn consumer() -> Result<Self> {
        Self::open(OFlag::O_RDWR).context("cannot open the device")
    }

    /// Opens the device to look at it.
    pub(crate) fn observer() -> Result<Self> {
        Self::open(OFlag::O_RDONLY).context("cannot open the device")
    }

    /// Opens the device.
    pub(crate) fn open(mode: OFlag) -> Result<Self, Errno> {
        let fd = open(module::NODE, mode | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(Self(fd.into()))
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// What the device is.
    pub(crate) fn info(&self) -> Result<Info, Errno> {
        let mut info = Info::default();
        // SAFETY: The kernel writes an `Info` there.
        unsafe { sys::info(self.0.as_raw_fd(), &mut info) }?;
        Ok(info)
    }

    /// How the device does.
    pub(crate) fn status(&self) -> Result<Status, Errno> {
        let mut status = Status::default();
        // SAFETY: The kernel writes a `Status` there.
        unsafe { sys::status(self.0.as_raw_fd(), &mut status) }?;
        Ok(status)
    }

    /// Where the windows are.
    pub(crate) fn geometry(&self) -> Result<Geometry> {
        let info = self.info()?;
        Geometry::new(info.page_size.into(), info.capacity).context("impossible geometry")
    }

    /// Maps a piece of the device.
    pub(crate) fn map(
        &self,
        offset: u64,
        len: u64,
        rights: ProtFlags,
        kind: MapFlags,
    ) -> Result<Mapping, Errno> {
        let len = NonZeroUsize::new(len as usize).ok_or(Errno::EINVAL)?;
        // SAFETY: The kernel chooses the place.
        let address = unsafe { mmap(None, len, rights, kind, &self.0, offset as i64) }?;
        Ok(Mapping {
            address,
            len: len.get(),
        })
    }

    /// Maps a window as it is meant to be.
    fn window(&self, offset: u64, len: u64, rights: ProtFlags) -> Result<Mapping> {
        self.map(offset, len, rights, MapFlags::MAP_SHARED)
            .with_context(|| format!("cannot map {len} bytes at {offset}"))
    }

    /// Maps the producer page.
    pub(crate) fn producer_page(&self) -> Result<Mapping> {
        let geometry = self.geometry()?;
        self.window(geometry.producer_offset(), geometry.page_size(), READ)
    }

    /// Maps the consumer page.
    pub(crate) fn consumer_page(&self) -> Result<Mapping> {
        let geometry = self.geometry()?;
        self.window(geometry.consumer_offset(), geometry.page_size(), WRITE)
    }

    /// Maps the ring.
    pub(crate) fn ring(&self) -> Result<Mapping> {
        let geometry = self.geometry()?;
        self.window(geometry.ring_offset(), geometry.ring_len(), READ)
    }

    /// What `poll()` says within a time.
    pub(crate) fn poll(&self, millis: u16) -> Result<PollFlags> {
        poll_fd(self.0.as_fd(), millis)
    }

    /// What `/proc` says of the open file.
    pub(crate) fn fdinfo(&self) -> Result<String> {
        let path = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        Ok(fs::read_to_string(path)?)
    }
}

/// What `poll()` says of a file within a time.
pub(crate) fn poll_fd(fd: BorrowedFd<'_>, millis: u16) -> Result<PollFlags> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(millis))?;
    Ok(fds[0].revents().unwrap_or(PollFlags::empty()))
}

/// A piece of the device in memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) address: NonNull<c_void>,
    pub(crate) len: usize,
}

impl Mapping {
    /// A copy of the bytes, as others may write them meanwhile.
    pub(crate) fn copy(&self) -> Vec<u8> {
        let start = self.address.cast::<u8>();
        let at = |offset| {
            // SAFETY: Inside of the mapping.
            unsafe { start.add(offset) }
        };
        (0..self.len)
            .map(|offset| {
                // SAFETY: The mapping is readable.
                unsafe { at(offset).read_volatile() }
            })
            .collect()
    }

    /// The mapping as a producer page.
    pub(crate) fn as_producer(&self) -> &ProducerPage {
        // SAFETY: Only called for that window; the structure consists of atomics.
        unsafe { self.address.cast().as_ref() }
    }

    /// The mapping as a consumer page.
    pub(crate) fn as_consumer(&self) -> &ConsumerPage {
        // SAFETY: As above.
        unsafe { self.address.cast().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: Nothing but copies was made of it. A test may have unmapped it already; the
        // address space of a test is not reused in between.
        let _ = unsafe { munmap(self.address, self.len) };
    }
}

/// A consumer that reads records as they stand, without the library.
pub(crate) struct Records {
    reader: Reader,
    consumer_page: Mapping,
    // What the reader reads.
    _producer_page: Mapping,
    _ring: Mapping,
    node: Node,
}

/// A record, copied out of the ring.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
}

impl Copied {
    /// The structure that the body starts with.
    pub(crate) fn read<T: Plain>(&self) -> Result<T> {
        plain::read(&self.body).context("a short record")
    }
}

impl Records {
    /// Becomes the consumer.
    pub(crate) fn open() -> Result<Self> {
        let node = Node::consumer()?;
        let (producer_page, consumer_page) = (node.producer_page()?, node.consumer_page()?);
        let ring = node.ring()?;
        let windows = Windows {
            producer: producer_page.address.cast(),
            consumer: consumer_page.address.cast(),
            ring: ring.address.cast(),
            capacity: node.info()?.capacity,
        };
        Ok(Self {
            // SAFETY: The windows are mapped as long as the structure lives, nobody else writes the
            // consumer page, and the kernel keeps to the contract.
            reader: unsafe { Reader::new(windows) },
            consumer_page,
            _producer_page: producer_page,
            _ring: ring,
            node,
        })
    }

    /// The page that is the consumer's.
    pub(crate) fn page(&self) -> &ConsumerPage {
        self.consumer_page.as_consumer()
    }

    /// Pops the next record that is there.
    fn pop(&mut self) -> Result<Option<Copied>> {
        let bytes = self
            .reader
            .peek()
            .map_err(|corrupt| anyhow!("{corrupt:?}"))?;
        let record = Record::parse(bytes).map_err(|malformed| anyhow!("{malformed:?}"))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let copied = Copied {
            header: record.header,
            body: record.body.to_vec(),
        };
        let len = record.stored_len();
        self.reader.release(len);
        Ok(Some(copied))
    }

    /// Pops all that is there or owed.
    pub(crate) fn pop_all(&mut self) -> Result<Vec<Copied>> {
        let mut all = Vec::new();
        loop {
            while let Some(record) = self.pop()? {
                all.push(record);
            }
            if !self.node.poll(0)?.contains(PollFlags::POLLIN) {
                return Ok(all);
            }
        }
    }
}
