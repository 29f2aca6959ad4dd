// SPDX-License-Identifier: MIT OR GPL-2.0

//! A region in a memfd, written by the contract's own `Writer`: what the kernel would write, and
//! what it never would.
//!
//! The ring's halves are two memories here. Whoever writes into one writes into the other too,
//! before it publishes; so the windows are mapped by the very calls that the device gets.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{memfd_create, MFdFlags};
use rtshm::{Consumer, Geometry, Region, State};
use rtshm_abi::layout::{ConsumerPage, ProducerPage};
use rtshm_abi::memory::{Windows, Writer};
use rtshm_abi::plain::{bytes_of, Plain};
use rtshm_abi::record::{self, AudioChunk, Format, Header, Lost, StateChange, Volume};

pub(crate) const PAGE: u64 = 4096;

/// Bytes in the ring of a fake, the least that there can be.
pub(crate) const CAPACITY: u64 = 64 << 10;

/// The producing side of a region in a memfd.
pub(crate) struct Fake {
    writer: Writer,
    map: MmapRaw,
    memfd: OwnedFd,
    bell: EventFd,
    rung: AtomicBool,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let geometry = Self::geometry();
        let memfd = memfd_create("rtshm-fake", MFdFlags::MFD_CLOEXEC).unwrap();
        nix::unistd::ftruncate(&memfd, geometry.region_len() as i64).unwrap();
        let map = MmapOptions::new()
            .len(geometry.region_len() as usize)
            .map_raw(&memfd)
            .unwrap();
        let at = |offset: u64| {
            // SAFETY: All windows are inside of the mapping.
            NonNull::new(unsafe { map.as_mut_ptr().add(offset as usize) }).unwrap()
        };
        let windows = Windows {
            producer: at(geometry.producer_offset()).cast(),
            consumer: at(geometry.consumer_offset()).cast(),
            ring: at(geometry.ring_offset()),
            capacity: geometry.capacity(),
        };
        Self {
            // SAFETY: The mapping lives as long as the writer; the region is new and all zero; tests
            // write it by this writer's own `&mut`.
            writer: unsafe { Writer::new(windows) },
            map,
            memfd,
            bell: EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).unwrap(),
            rung: AtomicBool::new(false),
        }
    }

    pub(crate) fn geometry() -> Geometry {
        Geometry::new(PAGE, CAPACITY).unwrap()
    }

    pub(crate) fn region(&self) -> Region {
        Region::map(&self.memfd, Self::geometry()).unwrap()
    }

    /// A consumer of the region that polls the fake's bell.
    pub(crate) fn consumer(&self) -> rtshm::Result<Consumer> {
        self.consumer_polling(self.bell.as_fd().try_clone_to_owned().unwrap())
    }

    pub(crate) fn consumer_polling(&self, fd: OwnedFd) -> rtshm::Result<Consumer> {
        // SAFETY: Tests overwrite published bytes only while they hold no event.
        unsafe { Consumer::from_region(fd, self.region()) }
    }

    pub(crate) fn memfd(&self) -> &OwnedFd {
        &self.memfd
    }

    pub(crate) fn page(&self) -> &ProducerPage {
        self.writer.page()
    }

    pub(crate) fn consumer_page(&self) -> &ConsumerPage {
        let page: *const u8 = self.map.as_ptr().wrapping_add(PAGE as usize);
        // SAFETY: The mapping's second page, for as long as `self`; atomics.
        unsafe { &*page.cast() }
    }

    pub(crate) fn write_count(&self) -> u64 {
        self.writer.write_count()
    }

    pub(crate) fn read_count(&self) -> u64 {
        self.consumer_page().read_count.load_acquire()
    }

    /// Makes the bell readable, or not.
    pub(crate) fn ring_bell(&self, readable: bool) {
        if self.rung.swap(readable, Ordering::Relaxed) == readable {
            return;
        }
        if readable {
            self.bell.write(1).unwrap();
        } else {
            self.bell.read().unwrap();
        }
    }

    /// Makes the bell tell what the kernel's `poll()` would, for audio and a threshold of 0.
    pub(crate) fn update_bell(&self) {
        self.ring_bell(self.write_count() != self.read_count());
    }

    /// Writes a record whose body is `parts`; returns whether it fitted.
    pub(crate) fn push(&mut self, kind: u16, flags: u16, position: u64, parts: &[&[u8]]) -> bool {
        let size = parts.iter().map(|part| part.len()).sum::<usize>();
        let header = Header {
            size: size as u32,
            kind,
            flags,
            position,
        };
        let len = record::stored_len(header.size);
        if self.writer.reserve(len).is_err() {
            return false;
        }
        let mut rest = self.writer.reserved();
        for part in [&[bytes_of(&header)][..], parts].concat() {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        let start = self.write_count() & (CAPACITY - 1);
        self.mirror(start..start + len);
        self.writer.commit(len);
        true
    }

    /// Copies what was written at these offsets, below `2 * CAPACITY`, to the other half.
    fn mirror(&self, range: Range<u64>) {
        // What lies over the end of the first half is two pieces.
        let middle = CAPACITY.clamp(range.start, range.end);
        for piece in [range.start..middle, middle..range.end] {
            let other = (piece.start + CAPACITY) % (2 * CAPACITY);
            let len = piece.end - piece.start;
            assert!(piece.end.max(other + len) <= 2 * CAPACITY);
            let (from, to) = (self.ring_at(piece.start), self.ring_at(other));
            // SAFETY: Both are inside of the ring, and a half apart.
            unsafe { ptr::copy_nonoverlapping(from, to, len as usize) };
        }
    }

    fn ring_at(&self, offset: u64) -> *mut u8 {
        assert!(offset <= 2 * CAPACITY);
        // SAFETY: Inside of the ring, or its end.
        unsafe { self.map.as_mut_ptr().add((2 * PAGE + offset) as usize) }
    }

    pub(crate) fn format(&mut self, rate: u32, channels: u32, chunk_frames: u32) -> bool {
        let format = Format {
            rate,
            channels,
            format: 2,
            period_frames: 1024,
            buffer_frames: 4096,
            chunk_frames,
            reserved: [0; 2],
        };
        self.put(record::FORMAT, 0, 0, &format)
    }

    pub(crate) fn state(&mut self, state: State, position: u64) -> bool {
        self.state_with(state, 0, position)
    }

    pub(crate) fn state_with(&mut self, state: State, flags: u16, position: u64) -> bool {
        let change = StateChange {
            state: state.as_raw(),
            reserved: 0,
            time_stamp: 7,
        };
        self.put(record::STATE, flags, position, &change)
    }

    pub(crate) fn lost(&mut self, frames: u64, flags: u16, position: u64) -> bool {
        let lost = Lost {
            frames,
            time_stamp: 9,
        };
        self.put(record::LOST, flags, position, &lost)
    }

    pub(crate) fn volume(&mut self, gain: i32, on: u32) -> bool {
        let volume = Volume {
            gain,
            on,
            time_stamp: 11,
        };
        self.put(record::VOLUME, 0, 0, &volume)
    }

    pub(crate) fn audio(
        &mut self,
        channels: u32,
        position: u64,
        time_stamp: u64,
        audio: &[f32],
    ) -> bool {
        let chunk = AudioChunk {
            frame_count: audio.len() as u32 / channels,
            reserved: 0,
            time_stamp,
            reserved2: [0; 4],
        };
        let samples = bytemuck::cast_slice(audio);
        self.push(record::AUDIO, 0, position, &[bytes_of(&chunk), samples])
    }

    pub(crate) fn put<T: Plain>(&mut self, kind: u16, flags: u16, position: u64, body: &T) -> bool {
        self.push(kind, flags, position, &[bytes_of(body)])
    }

    /// Publishes these bytes as the ring's first ones, whatever they are.
    pub(crate) fn publish_raw(&mut self, bytes: &[u8], write_count: u64) {
        self.poke(0, bytes);
        self.page().write_count.store_release(write_count);
    }

    /// Writes these bytes, fewer than fill the ring, from an offset below `CAPACITY` on.
    pub(crate) fn poke(&mut self, offset: u64, bytes: &[u8]) {
        let len = bytes.len() as u64;
        assert!(offset < CAPACITY && len < CAPACITY);
        // SAFETY: Inside of the ring, and nobody else's.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.ring_at(offset), bytes.len()) };
        self.mirror(offset..offset + len);
    }
}
