// SPDX-License-Identifier: MIT OR GPL-2.0

//! The pages of the region that are not records.
//!
//! Every field has one writer. Producer and consumer have a page each, because a page is what can
//! be given different rights: user space can write the [`ConsumerPage`] and nothing else. Within a
//! page, what changes per chunk sits on a cache line of its own.

use super::sync::{
    AtomicU32,
    AtomicU64, //
};

/// Version of everything in this crate; a consumer refuses a region with another one.
pub const ABI_VERSION: u32 = 1;

/// Smallest capacity of a ring, in bytes.
pub const CAPACITY_MIN: u64 = 64 << 10;

/// Largest capacity of a ring, in bytes.
pub const CAPACITY_MAX: u64 = 64 << 20;

/// The speed of a clock that runs at its nominal rate: speeds are ratios to it times 2^32.
pub const CLOCK_NOMINAL: u64 = 1 << 32;

/// How far from [`CLOCK_NOMINAL`] a consumer can steer the clock: 1000 ppm.
pub const CLOCK_SPAN: u64 = CLOCK_NOMINAL / 1000;

/// The first page of the region: written by the kernel, read-only in user space.
///
/// The kernel keeps every value privately as well and never reads this page back.
#[repr(C, align(64))]
pub struct ProducerPage {
    /// [`ABI_VERSION`] of the module.
    pub abi_version: AtomicU32,
    /// Size of this structure in bytes; a later version may append fields.
    pub header_size: AtomicU32,
    /// Size of the ring in bytes, a power of two of at least a page.
    pub capacity: AtomicU64,
    _reserved0: [AtomicU64; 6],

    /// Bytes ever written to the ring; free-running, masked with `capacity - 1` on access.
    pub write_count: AtomicU64,
    _reserved1: [AtomicU64; 7],

    /// What the module has counted since it was loaded.
    pub counters: Counters,
    /// The stream as it is now; each field is consistent by itself only. What a consumer must know
    /// in order it reads from the `FORMAT` and `STATE` records.
    pub stream: Stream,

    /// The speed at which the card's clock runs, as a ratio to the nominal rate times 2^32; 0 while
    /// it stands still.
    pub clock_ratio: AtomicU64,
    _reserved2: [AtomicU64; 3],
}

/// What the module has counted since it was loaded; every counter only grows.
#[repr(C)]
pub struct Counters {
    /// `AUDIO` records written.
    pub chunks: AtomicU64,
    /// Frames inside them.
    pub frames: AtomicU64,
    /// Frames that did not fit; `LOST` records tell which.
    pub lost_frames: AtomicU64,
    /// `LOST` records written.
    pub lost_records: AtomicU64,
    /// Streams started by applications.
    pub streams: AtomicU64,
    /// Streams stopped because the application was late.
    pub xruns: AtomicU64,
    /// Consumers found faulty: their `read_count` was impossible.
    pub faults: AtomicU64,
    /// Times those who wait in `poll()` or epoll were woken.
    pub wakeups: AtomicU64,
}

/// What the application plays; zero where there is no stream.
#[repr(C)]
pub struct Stream {
    /// The last [`State`](super::record::State), 0 before the first stream.
    pub state: AtomicU32,
    /// Frames per second.
    pub rate: AtomicU32,
    /// Samples per frame.
    pub channels: AtomicU32,
    /// The application's sample format, an `SNDRV_PCM_FORMAT_*` of `<sound/asound.h>`.
    pub format: AtomicU32,
    /// The application's period in frames.
    pub period_frames: AtomicU32,
    /// The application's buffer in frames.
    pub buffer_frames: AtomicU32,
    /// Largest number of frames in an `AUDIO` record.
    pub chunk_frames: AtomicU32,
    _reserved: AtomicU32,
}

/// The second page of the region: written by the consumer, never trusted by the kernel.
#[repr(C, align(64))]
pub struct ConsumerPage {
    /// Bytes ever read from the ring; free-running like `write_count`.
    ///
    /// The kernel looks at it when the ring seems full and at each `poll()`. It accepts a value that
    /// is not behind the last one accepted and does not pass `write_count`. Any other marks the
    /// consumer faulty: until it closes the device nothing more is written for it, and `poll()`
    /// reports an error.
    pub read_count: AtomicU64,
    _reserved0: [AtomicU64; 7],

    /// Unread bytes at which `poll()` reports audio as readable; 0 and 1 mean any. Read by the
    /// kernel at each `poll()`, and taken as half the capacity if larger. A record of another kind
    /// than `AUDIO` is reported at once.
    pub wake_bytes: AtomicU32,
    _reserved1: AtomicU32,
    /// The speed at which the card's clock is to run, as a ratio to the nominal rate times 2^32
    /// ([`CLOCK_NOMINAL`]); 0 is no request.
    ///
    /// The kernel reads it at times of its own, takes it as at most [`CLOCK_SPAN`] from nominal, and
    /// obeys it while the mixer's clock source is the consumer.
    pub rate_request: AtomicU64,
    _reserved2: [AtomicU64; 6],
}

/// Where the windows of the region lie; each is mapped by a call of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    page_size: u64,
    capacity: u64,
}

impl Geometry {
    /// The geometry of a ring of `capacity` bytes on a machine with pages of `page_size` bytes.
    ///
    /// Returns `None` unless both are powers of two, `capacity` is at least a page and between
    /// [`CAPACITY_MIN`] and [`CAPACITY_MAX`], and the pages' structures fit in a page.
    pub const fn new(page_size: u64, capacity: u64) -> Option<Self> {
        let fits = page_size >= size_of::<ProducerPage>() as u64 && page_size <= capacity;
        let whole = page_size.is_power_of_two() && capacity.is_power_of_two();
        if fits && whole && capacity >= CAPACITY_MIN && capacity <= CAPACITY_MAX {
            Some(Self {
                page_size,
                capacity,
            })
        } else {
            None
        }
    }

    /// Bytes in a page.
    pub const fn page_size(self) -> u64 {
        self.page_size
    }

    /// Bytes in the ring.
    pub const fn capacity(self) -> u64 {
        self.capacity
    }

    /// Offset of the [`ProducerPage`]; the window is one page, read-only.
    pub const fn producer_offset(self) -> u64 {
        0
    }

    /// Offset of the [`ConsumerPage`]; the window is one page, read-write.
    pub const fn consumer_offset(self) -> u64 {
        self.page_size
    }

    /// Offset of the ring; the window is [`ring_len`](Self::ring_len) bytes, read-only.
    pub const fn ring_offset(self) -> u64 {
        // OVERFLOW: Page sizes are far below 2^62.
        self.page_size.wrapping_mul(2)
    }

    /// Bytes in the ring's window: its pages twice.
    pub const fn ring_len(self) -> u64 {
        // OVERFLOW: At most twice `CAPACITY_MAX`.
        self.capacity.wrapping_mul(2)
    }

    /// Bytes in the whole region.
    pub const fn region_len(self) -> u64 {
        // OVERFLOW: As above.
        self.ring_offset().wrapping_add(self.ring_len())
    }
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<ConsumerPage>() <= 4096);
    assert!(size_of::<ProducerPage>() <= 4096);
    // Under loom an atomic is not the word that it stands for.
    if cfg!(not(loom)) {
        assert!(offset_of!(ProducerPage, write_count) == 64);
        assert!(offset_of!(ProducerPage, counters) == 128);
        assert!(offset_of!(ProducerPage, stream) == 192);
        assert!(offset_of!(ProducerPage, clock_ratio) == 224);
        assert!(size_of::<ProducerPage>() == 256);
        assert!(offset_of!(ConsumerPage, wake_bytes) == 64);
        assert!(offset_of!(ConsumerPage, rate_request) == 72);
        assert!(size_of::<ConsumerPage>() == 128);
    }
};

#[cfg(not(MODULE))]
impl ProducerPage {
    /// A page for tests and models; real ones are the kernel's zeroed memory.
    pub fn new(capacity: u64) -> Self {
        let word = || AtomicU64::new(0);
        let half = || AtomicU32::new(0);
        Self {
            abi_version: AtomicU32::new(ABI_VERSION),
            header_size: AtomicU32::new(256),
            capacity: AtomicU64::new(capacity),
            _reserved0: core::array::from_fn(|_| word()),
            write_count: word(),
            _reserved1: core::array::from_fn(|_| word()),
            counters: Counters {
                chunks: word(),
                frames: word(),
                lost_frames: word(),
                lost_records: word(),
                streams: word(),
                xruns: word(),
                faults: word(),
                wakeups: word(),
            },
            stream: Stream {
                state: half(),
                rate: half(),
                channels: half(),
                format: half(),
                period_frames: half(),
                buffer_frames: half(),
                chunk_frames: half(),
                _reserved: half(),
            },
            clock_ratio: word(),
            _reserved2: core::array::from_fn(|_| word()),
        }
    }
}

#[cfg(not(MODULE))]
impl ConsumerPage {
    /// A page for tests and models; real ones are the kernel's zeroed memory.
    pub fn new() -> Self {
        Self {
            read_count: AtomicU64::new(0),
            _reserved0: core::array::from_fn(|_| AtomicU64::new(0)),
            wake_bytes: AtomicU32::new(0),
            _reserved1: AtomicU32::new(0),
            rate_request: AtomicU64::new(0),
            _reserved2: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

#[cfg(not(MODULE))]
impl Default for ConsumerPage {
    fn default() -> Self {
        Self::new()
    }
}
