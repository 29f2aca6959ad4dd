// SPDX-License-Identifier: MIT OR GPL-2.0

//! A region in memory, with both of its ends: the contract's writer as in the module, and the
//! library's consumer.

use std::os::fd::OwnedFd;

use nix::sys::memfd::{memfd_create, MFdFlags};
use rtshm::{Chunk, Consumer, Geometry, Kind};
use rtshm_abi::memory::Writer;
use rtshm_abi::record::{self, AudioChunk, Format, Header};

const PAGE: u64 = 4096;

pub(crate) struct Region {
    writer: Writer,
    consumer: Consumer,
    channels: u32,
    position: u64,
}

impl Region {
    /// A region with a ring of `capacity` bytes, a power of two, for a stream of so many channels.
    pub(crate) fn new(capacity: u64, channels: u32) -> Self {
        let geometry = Geometry::new(PAGE, capacity).expect("a capacity that is allowed");
        let memfd: OwnedFd = memfd_create("rtshm-bench", MFdFlags::MFD_CLOEXEC).expect("a memfd");
        nix::unistd::ftruncate(&memfd, geometry.region_len() as i64).expect("memory");
        // The ring's halves are two memories here, which does not matter where both ends see the same.
        let region = rtshm::Region::map_for_producer(&memfd, geometry).expect("the windows");
        // SAFETY: The consumer keeps the region as long as the writer lives; it is new and all zero,
        // and nobody else writes the producer page and the ring.
        let writer = unsafe { Writer::new(region.windows()) };
        // SAFETY: Nobody else writes the consumer page; the writer does not touch what is unread.
        let consumer = unsafe { Consumer::from_region(memfd, region) }.expect("a region");
        let mut region = Self {
            writer,
            consumer,
            channels,
            position: 0,
        };
        region.push_format();
        region
    }

    fn push_format(&mut self) {
        let format = Format {
            rate: 48_000,
            channels: self.channels,
            ..Format::default()
        };
        let header = Header {
            size: size_of::<Format>() as u32,
            kind: record::FORMAT,
            ..Header::default()
        };
        let len = record::stored_len(header.size);
        self.writer.reserve(len).expect("an empty ring");
        let place = self.writer.reserved();
        assert!(record::put(place, &header) && record::put(&mut place[16..], &format));
        self.writer.commit(len);
        assert!(self.pop(|_| {}).is_none(), "a format is no chunk");
    }

    /// Pushes a chunk of so many frames as the module's feed does, its samples written by `fill`;
    /// returns whether it fitted.
    #[inline]
    pub(crate) fn push(
        &mut self,
        frames: u32,
        time_stamp: u64,
        fill: impl FnOnce(&mut [u8]),
    ) -> bool {
        let Some(size) = record::audio_size(frames, self.channels) else {
            return false;
        };
        let len = record::stored_len(size);
        if self.writer.reserve(len).is_err() {
            return false;
        }
        let header = Header {
            size,
            kind: record::AUDIO,
            flags: 0,
            position: self.position,
        };
        let chunk = AudioChunk {
            frame_count: frames,
            time_stamp,
            ..AudioChunk::default()
        };
        let (head, body) = self.writer.reserved().split_at_mut(record::AUDIO_OFFSET);
        record::put(head, &header);
        record::put(&mut head[record::HEADER_LEN..], &chunk);
        fill(body);
        self.writer.commit(len);
        self.position += u64::from(frames);
        true
    }

    /// Pops the next event, which `take` is given where it is a chunk.
    #[inline]
    pub(crate) fn pop<T>(&mut self, take: impl FnOnce(Chunk<'_>) -> T) -> Option<T> {
        let event = self.consumer.pop().expect("a good region")?;
        match event.kind() {
            Kind::Audio(chunk) => Some(take(chunk)),
            _ => None,
        }
    }
}
