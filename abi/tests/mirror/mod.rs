// SPDX-License-Identifier: MIT OR GPL-2.0

//! A region as the module maps it, for tests: the two pages, and the ring twice in a row.

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
        },
    },
    unistd::ftruncate, //
};

use rtshm_abi::{
    layout::Geometry,
    memory::{
        Reader,
        Windows,
        Writer, //
    },
};

use std::{
    ffi::c_void,
    num::NonZeroUsize,
    ops::Range,
    os::fd::OwnedFd,
    ptr::NonNull, //
};

/// Bytes in a page, for the region's layout: a multiple of the page size of every machine.
const PAGE: usize = 64 << 10;

/// Unmapped bytes around the region: who leaves it, dies.
const GUARD: usize = PAGE;

/// A mapped region.
///
/// # Invariants
///
/// `base` is the start of a mapping of `GUARD + geometry.region_len() + GUARD` bytes that nobody
/// else unmaps; the region in its middle is readable and writable, and its last `capacity` bytes are
/// the same memory as the `capacity` bytes before them.
pub(crate) struct Region {
    base: NonNull<c_void>,
    geometry: Geometry,
}

impl Region {
    /// Maps a region with a ring of `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        let geometry = Geometry::new(PAGE as u64, capacity).expect("a capacity that is allowed");
        let size = |len: u64| usize::try_from(len).expect("a small length");
        let region = size(geometry.region_len());
        let (ring, capacity) = (size(geometry.ring_offset()), size(capacity));

        let file = memfd_create(c"rtshm-test", MFdFlags::MFD_CLOEXEC).expect("a memfd");
        ftruncate(&file, (ring + capacity) as i64).expect("memory for the region");
        let reserved = NonZeroUsize::new(GUARD + region + GUARD).expect("not 0");
        // SAFETY: It takes addresses that nobody has.
        let base =
            unsafe { mmap_anonymous(None, reserved, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
        let base = base.expect("addresses for the region");
        let once = 0..ring + capacity;
        // SAFETY: The place is inside of what was reserved just now, and nobody uses it yet.
        unsafe { map(base, GUARD, &file, once) };
        // SAFETY: As above.
        unsafe { map(base, GUARD + ring + capacity, &file, ring..ring + capacity) };
        // INVARIANT: The same part of the file is mapped twice in a row.
        Self { base, geometry }
    }

    /// Runs `test` with the two ends of the region, wiped, as it is for every new consumer; the
    /// consumer's counter and the producer's copy of its own stand at `start`.
    ///
    /// The writer knows nothing of `start`: where it is not 0, the writer is not to be used.
    pub(crate) fn run<R>(
        &mut self,
        start: u64,
        test: impl FnOnce(&mut Writer, &mut Reader) -> R,
    ) -> R {
        let windows = self.windows();
        let wiped = usize::try_from(self.geometry.ring_offset() + self.geometry.capacity());
        // SAFETY: This much is mapped, writable, and `&mut self` keeps others from using it.
        unsafe {
            windows
                .producer
                .cast::<u8>()
                .write_bytes(0, wiped.expect("a small length"))
        };
        // SAFETY:
        // - The windows are as promised, by the invariants, and stay so while `self` is borrowed.
        // - Both ends are lent only, so there is one writer and one reader at a time.
        let mut writer = unsafe { Writer::new(windows) };
        writer.page().write_count.store_relaxed(start);
        // SAFETY: As above.
        let consumer = unsafe { windows.consumer.as_ref() };
        consumer.read_count.store_relaxed(start);
        // SAFETY: As above.
        let mut reader = unsafe { Reader::new(windows) };
        test(&mut writer, &mut reader)
    }

    fn windows(&self) -> Windows {
        let at = |offset: u64| {
            let offset = GUARD + usize::try_from(offset).expect("a small offset");
            // SAFETY: Inside of the mapping, by the invariants.
            unsafe { self.base.byte_add(offset) }
        };
        Windows {
            producer: at(self.geometry.producer_offset()).cast(),
            consumer: at(self.geometry.consumer_offset()).cast(),
            ring: at(self.geometry.ring_offset()).cast(),
            capacity: self.geometry.capacity(),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let region = usize::try_from(self.geometry.region_len()).expect("it was mapped");
        // SAFETY: It is this region's own, and nothing made from it can outlive `run`.
        unsafe { munmap(self.base, GUARD + region + GUARD) }.expect("it is mapped");
    }
}

/// Maps a part of `file` to `base + offset`.
///
/// # Safety
///
/// The place belongs to the caller, who has nothing there that is in use.
unsafe fn map(base: NonNull<c_void>, offset: usize, file: &OwnedFd, part: Range<usize>) {
    let place = base.addr().checked_add(offset).expect("it is an address");
    // SAFETY: By this function's own contract.
    let mapped = unsafe {
        mmap(
            Some(place),
            NonZeroUsize::new(part.len()).expect("not 0"),
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_SHARED | MapFlags::MAP_FIXED,
            file,
            part.start as i64,
        )
    };
    mapped.expect("the memfd can be mapped");
}
