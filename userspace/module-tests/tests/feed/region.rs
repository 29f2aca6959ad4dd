// SPDX-License-Identifier: GPL-2.0

//! The memory of a region as the kernel maps it: the ring's pages twice in a row.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull, //
};

use nix::{
    sys::{
        memfd::{
            memfd_create,
            MFdFlags, //
        },
        mman::{
            mmap,
            mmap_anonymous,
            munmap,
            MapFlags,
            ProtFlags, //
        }, //
    },
    unistd::{
        ftruncate,
        sysconf,
        SysconfVar, //
    }, //
};
use rtshm_module_tests::abi::{
    layout::{
        ConsumerPage,
        ProducerPage, //
    },
    memory::{
        Reader,
        Windows,
        Writer, //
    }, //
};

/// A mapped region.
///
/// # Invariants
///
/// `windows` are parts of the mapping of `len` bytes at `base`, which lives as long as the object.
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
    windows: Windows,
}

impl Region {
    /// A region of zeroes. Its ring has `capacity` bytes, or a page where that is larger.
    pub(crate) fn new(capacity: u64) -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap() as usize;
        let capacity = (capacity as usize).max(page);
        assert!(capacity.is_power_of_two());
        let (ring, len) = (2 * page, 2 * page + 2 * capacity);
        let memfd = memfd_create("rtshm-region", MFdFlags::MFD_CLOEXEC).unwrap();
        ftruncate(&memfd, (ring + capacity) as i64).unwrap();

        // SAFETY: A new mapping at a place of the kernel's choice disturbs nobody.
        let base = unsafe {
            mmap_anonymous(
                None,
                NonZeroUsize::new(len).unwrap(),
                ProtFlags::PROT_NONE,
                MapFlags::MAP_PRIVATE,
            )
        }
        .unwrap()
        .cast::<u8>();
        let map = |at: usize, len: usize, offset: usize| {
            // SAFETY: Over a part of the reservation above, which nobody uses yet.
            unsafe {
                mmap(
                    base.addr().checked_add(at),
                    NonZeroUsize::new(len).unwrap(),
                    ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                    MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
                    memfd.as_fd(),
                    offset as i64,
                )
            }
            .unwrap();
        };
        map(0, ring + capacity, 0);
        map(ring + capacity, capacity, ring);

        // SAFETY: All three are offsets in the mapping.
        let at = |offset| unsafe { base.add(offset) };
        // INVARIANT: The mapping is undone when the object is dropped.
        Self {
            base,
            len,
            windows: Windows {
                producer: at(0).cast(),
                consumer: at(page).cast(),
                ring: at(ring),
                capacity: capacity as u64,
            },
        }
    }

    /// Zeroes the region, as the kernel does between consumers, and makes its two ends.
    ///
    /// # Safety
    ///
    /// They are not used when the region is gone, and earlier ones are not used any more.
    pub(crate) unsafe fn ends(&mut self) -> (Writer, Reader) {
        // SAFETY: By the invariant, and nobody looks. Half of the ring's bytes are zeroed twice.
        unsafe { self.base.write_bytes(0, self.len) };
        // SAFETY: The windows are as `Windows` promises and all zero, and this is the one writer.
        let writer = unsafe { Writer::new(self.windows) };
        // SAFETY: Likewise, and this is the one reader.
        let reader = unsafe { Reader::new(self.windows) };
        (writer, reader)
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.windows.capacity
    }

    pub(crate) fn producer(&self) -> &ProducerPage {
        // SAFETY: By the invariant; atomics.
        unsafe { self.windows.producer.as_ref() }
    }

    pub(crate) fn consumer(&self) -> &ConsumerPage {
        // SAFETY: By the invariant; atomics.
        unsafe { self.windows.consumer.as_ref() }
    }

    /// A copy of `len` bytes of the ring, from the free-running count `from` on.
    pub(crate) fn copy(&self, from: u64, len: u64) -> Vec<u8> {
        assert!(len <= self.capacity(), "more is published than fits");
        let mut bytes = vec![0; len as usize];
        let start = (from & (self.capacity() - 1)) as usize;
        // SAFETY: `start` is below `capacity`.
        let start = unsafe { self.windows.ring.add(start) };
        // SAFETY: `len` bytes from there are in the mapping. The rig has one thread, and the writer
        // keeps no reference into the ring.
        unsafe { start.copy_to_nonoverlapping(NonNull::from(&mut bytes[..]).cast(), bytes.len()) };
        bytes
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: By the invariant; nobody uses the windows any more.
        unsafe { munmap(self.base.cast(), self.len) }.unwrap();
    }
}
