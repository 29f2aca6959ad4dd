// SPDX-License-Identifier: MIT OR GPL-2.0

//! The ring's bytes, as each side has them mapped: the only unsafe code of the contract.
//!
//! Both sides see the ring twice in a row, so that any range of up to `capacity` bytes is one slice.

use core::{
    ptr::NonNull,
    slice, //
};

use super::{
    layout::{
        ConsumerPage,
        ProducerPage,
        ABI_VERSION, //
    },
    ring::{
        Consumer,
        Corrupt,
        Producer,
        Refusal, //
    }, //
};

/// The three windows of a region, mapped.
///
/// # Safety
///
/// Whoever makes one promises, for as long as anything made from it is used:
///
/// - `producer` and `consumer` point to memory that holds these structures;
/// - `ring` points to `2 * capacity` bytes of which the second half is the same memory as the first;
/// - `capacity` is a power of two and less than 2^31.
#[derive(Clone, Copy)]
pub struct Windows {
    /// The producer page.
    pub producer: NonNull<ProducerPage>,
    /// The consumer page.
    pub consumer: NonNull<ConsumerPage>,
    /// The ring, twice.
    pub ring: NonNull<u8>,
    /// Bytes in the ring, once.
    pub capacity: u64,
}

impl Windows {
    fn producer(&self) -> &ProducerPage {
        // SAFETY: By `Windows`; the structure consists of atomics, which others may write.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &ConsumerPage {
        // SAFETY: As above.
        unsafe { self.consumer.as_ref() }
    }

    /// Address of the byte at `offset`, which is below `capacity`.
    fn at(&self, offset: u64) -> NonNull<u8> {
        // CAST: Below 2^31.
        let offset = offset as usize;
        // SAFETY: Inside of the first half of the ring.
        unsafe { self.ring.add(offset) }
    }
}

/// The producing end of a region.
pub struct Writer {
    windows: Windows,
    indices: Producer,
}

// SAFETY: The windows are shared memory; nothing in them belongs to a thread.
unsafe impl Send for Writer {}

impl Writer {
    /// Takes the region for writing, with both counters at 0, and fills in the producer page.
    ///
    /// # Safety
    ///
    /// The promises of [`Windows`]; nobody but this writer writes the producer page and the ring; and
    /// the counters of the region are 0.
    pub unsafe fn new(windows: Windows) -> Self {
        let page = windows.producer();
        // ORDERING: Relaxed; the consumer maps the page by a system call that comes later.
        page.abi_version.store_relaxed(ABI_VERSION);
        // CAST: A small constant.
        page.header_size
            .store_relaxed(size_of::<ProducerPage>() as u32);
        page.capacity.store_relaxed(windows.capacity);
        Self {
            windows,
            indices: Producer::new(windows.capacity, 0),
        }
    }

    /// The producer page, for counters and the stream's description.
    pub fn page(&self) -> &ProducerPage {
        self.windows.producer()
    }

    /// Bytes ever published.
    pub fn write_count(&self) -> u64 {
        self.indices.write_count()
    }

    /// Bytes in the ring.
    pub fn capacity(&self) -> u64 {
        self.windows.capacity
    }

    /// Whether the consumer was found faulty.
    pub fn is_faulty(&self) -> bool {
        self.indices.is_faulty()
    }

    /// Takes the next `len` bytes for writing; see [`Producer::reserve`].
    ///
    /// # Errors
    ///
    /// As [`Producer::reserve`].
    #[inline]
    pub fn reserve(&mut self, len: u64) -> Result<(), Refusal> {
        self.indices.reserve(self.windows.consumer(), len)
    }

    /// The consumer's counter as it was last accepted.
    pub fn read_count(&self) -> u64 {
        self.indices.read_count()
    }

    /// The consumer's counter as it says itself; for show.
    pub fn claimed_read_count(&self) -> u64 {
        // ORDERING: Relaxed; nothing is done on the strength of it.
        self.windows.consumer().read_count.load_relaxed()
    }

    /// The speed that the consumer asks for; see
    /// [`rate_request`](ConsumerPage::rate_request). Any value at all.
    pub fn rate_request(&self) -> u64 {
        // ORDERING: Relaxed; the value stands by itself. Partner: the consumer's relaxed store, or a
        // C program's by `rtshm_request_rate()`.
        self.windows.consumer().rate_request.load_relaxed()
    }

    /// Whether `len` bytes could be reserved now; see [`Producer::make_room`].
    ///
    /// # Errors
    ///
    /// As [`Producer::make_room`].
    pub fn make_room(&mut self, len: u64) -> Result<(), Refusal> {
        self.indices.make_room(self.windows.consumer(), len)
    }

    /// Looks whether the consumer is faulty; see [`Producer::inspect`].
    pub fn inspect(&mut self) {
        self.indices.inspect(self.windows.consumer());
    }

    /// The reserved bytes; empty without a reservation.
    #[inline]
    pub fn reserved(&mut self) -> &mut [u8] {
        let start = self.windows.at(self.indices.offset());
        // CAST: At most the capacity, below 2^31.
        let len = self.indices.reserved() as usize;
        // SAFETY:
        // - `start` is in the first half and `len` at most one half, so all of it is in the ring.
        // - The consumer does not read reserved bytes before they are committed, user space cannot
        //   write them, and `&mut self` keeps this writer from making a second slice.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// Publishes the first `used` bytes of the reservation; see [`Producer::commit`].
    #[inline]
    pub fn commit(&mut self, used: u64) {
        self.indices.commit(self.windows.producer(), used);
    }

    /// Gives the reservation back.
    pub fn abandon(&mut self) {
        self.indices.abandon();
    }
}

/// The consuming end of a region.
pub struct Reader {
    windows: Windows,
    indices: Consumer,
}

// SAFETY: As for `Writer`.
unsafe impl Send for Reader {}

impl Reader {
    /// Takes the region for reading, from where `read_count` stands.
    ///
    /// # Safety
    ///
    /// The promises of [`Windows`]; nobody but this reader writes the consumer page; and the
    /// producer does not write bytes that it has published before they are given back.
    pub unsafe fn new(windows: Windows) -> Self {
        // ORDERING: Relaxed; only this side ever writes the counter.
        let start = windows.consumer().read_count.load_relaxed();
        Self {
            windows,
            indices: Consumer::new(windows.capacity, start),
        }
    }

    /// The producer page.
    pub fn page(&self) -> &ProducerPage {
        self.windows.producer()
    }

    /// The consumer page; its `read_count` is this reader's to write.
    pub fn consumer_page(&self) -> &ConsumerPage {
        self.windows.consumer()
    }

    /// Bytes ever given back.
    pub fn read_count(&self) -> u64 {
        self.indices.read_count()
    }

    /// All bytes known to be readable, in place; see [`Consumer::readable`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::readable`].
    #[inline]
    pub fn peek(&mut self) -> Result<&[u8], Corrupt> {
        let len = self.indices.readable(self.windows.producer())?;
        Ok(self.slice(len))
    }

    /// Bytes readable now, by a fresh look at the producer's counter.
    ///
    /// # Errors
    ///
    /// As [`Consumer::look`].
    #[inline]
    pub fn look(&mut self) -> Result<u64, Corrupt> {
        self.indices.look(self.windows.producer())
    }

    /// Gives the next `len` bytes back; see [`Consumer::release`].
    #[inline]
    pub fn release(&mut self, len: u64) {
        self.indices.release(self.windows.consumer(), len);
    }

    fn slice(&self, len: u64) -> &[u8] {
        let start = self.windows.at(self.indices.offset());
        // CAST: At most the capacity, below 2^31.
        let len = len as usize;
        // SAFETY:
        // - `start` is in the first half and `len` at most one half, so all of it is in the ring.
        // - The producer does not write published bytes before `release`, which needs `&mut self`
        //   and so ends this borrow.
        unsafe { slice::from_raw_parts(start.as_ptr(), len) }
    }
}
