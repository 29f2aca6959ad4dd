// SPDX-License-Identifier: MIT OR GPL-2.0

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr::NonNull;

use memmap2::{MmapOptions, MmapRaw};
use rtshm_abi::layout::Geometry;
use rtshm_abi::memory::Windows;

use crate::error::{Error, Result};

/// The three windows of a region, mapped; unmapped when dropped.
///
/// Nothing but raw pointers into it is ever handed out, because others write to it.
///
/// # Invariants
///
/// Each mapping is as long as the geometry says, and the consumer page is writable.
#[derive(Debug)]
pub struct Region {
    geometry: Geometry,
    producer: MmapRaw,
    consumer: MmapRaw,
    ring: MmapRaw,
}

impl Region {
    /// Maps the windows of a region of this geometry from `fd`, with the calls that `/dev/rtshm`
    /// expects: producer page and ring read-only, the consumer page also for writing, all shared.
    ///
    /// `fd` need not be a device: tests map a file whose ring is there twice.
    ///
    /// # Errors
    ///
    /// [`Error::Map`] where a window cannot be mapped.
    pub fn map(fd: impl AsFd, geometry: Geometry) -> Result<Self> {
        Self::map_by(fd, geometry, MmapOptions::map_raw_read_only)
    }

    /// Maps the windows of a region from a file, all of them for writing: for a producer and a
    /// consumer in this process, without a device. See [`windows`](Self::windows).
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn map_for_producer(fd: impl AsFd, geometry: Geometry) -> Result<Self> {
        Self::map_by(fd, geometry, MmapOptions::map_raw)
    }

    /// Maps the producer's windows by `map`.
    fn map_by(
        fd: impl AsFd,
        geometry: Geometry,
        map: impl Fn(&MmapOptions, RawFd) -> io::Result<MmapRaw>,
    ) -> Result<Self> {
        let fd = fd.as_fd().as_raw_fd();
        let window = |offset: u64, len: u64| {
            let mut options = MmapOptions::new();
            // CAST: At most twice `CAPACITY_MAX`, which fits in 32 bits.
            options.offset(offset).len(len as usize);
            options
        };
        let failed = |window| move |source: io::Error| Error::Map { window, source };
        let page = geometry.page_size();
        // INVARIANT: `mmap()` maps all of what it was asked for or nothing.
        Ok(Self {
            geometry,
            producer: map(&window(geometry.producer_offset(), page), fd)
                .map_err(failed("producer page"))?,
            consumer: window(geometry.consumer_offset(), page)
                .map_raw(fd)
                .map_err(failed("consumer page"))?,
            ring: map(&window(geometry.ring_offset(), geometry.ring_len()), fd)
                .map_err(failed("ring"))?,
        })
    }

    /// Where the windows lie.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The windows' addresses, good for as long as `self` is. To write through them takes
    /// [`map_for_producer`](Self::map_for_producer), but for the consumer page.
    pub fn windows(&self) -> Windows {
        Windows {
            producer: start(&self.producer).cast(),
            consumer: start(&self.consumer).cast(),
            ring: start(&self.ring),
            capacity: self.geometry.capacity(),
        }
    }
}

fn start(map: &MmapRaw) -> NonNull<u8> {
    // PANIC: A mapping that succeeded is not at 0: nobody asked for MAP_FIXED.
    NonNull::new(map.as_mut_ptr()).expect("a mapping at address 0")
}
