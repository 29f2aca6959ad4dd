// SPDX-License-Identifier: MIT OR GPL-2.0

//! The index protocol of the ring: who may touch which bytes, and when.
//!
//! The two counters are free-running numbers of bytes. The bytes in
//! `[write_count, read_count + capacity)` are the producer's, those in `[read_count, write_count)`
//! the consumer's. Each side owns its counter, keeps it privately and publishes a copy; it caches
//! the other's, which can only have become more favourable since, and reloads it only when the
//! ring seems full or empty. Both sides are wait-free: no operation loops or waits for the other.
//!
//! Nothing here touches the ring's bytes; [`memory`](super::memory) does.

use super::layout::{
    ConsumerPage,
    ProducerPage, //
};

/// Why the producer may not write now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The consumer has not yet read enough, or the length can never fit.
    Full,
    /// The consumer's counter was impossible once; it is not believed again.
    Faulty,
}

/// The producing side of the protocol.
///
/// # Invariants
///
/// - `write_count - read_count <= capacity`, and `capacity` is a power of two.
/// - `reserved <= capacity - (write_count - read_count)`.
pub struct Producer {
    capacity: u64,
    write_count: u64,
    /// The consumer's counter when it was last looked at: stale, and then too small.
    read_count: u64,
    reserved: u64,
    faulty: bool,
}

impl Producer {
    /// A producer for an empty ring of `capacity` bytes, a power of two, both of whose counters
    /// stand at `start`.
    pub fn new(capacity: u64, start: u64) -> Self {
        debug_assert!(capacity.is_power_of_two());
        // INVARIANT: The ring is empty and nothing is reserved.
        Self {
            capacity,
            write_count: start,
            read_count: start,
            reserved: 0,
            faulty: false,
        }
    }

    /// Bytes ever published.
    #[inline]
    pub fn write_count(&self) -> u64 {
        self.write_count
    }

    /// Bytes reserved and not yet published; 0 where there is no reservation.
    #[inline]
    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Offset in the ring of the reserved bytes.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.write_count & self.capacity.wrapping_sub(1)
    }

    /// The consumer's counter as it was last accepted.
    #[inline]
    pub fn read_count(&self) -> u64 {
        self.read_count
    }

    /// Whether the consumer was found faulty.
    #[inline]
    pub fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// Takes the next `len` bytes for writing, in place of any earlier reservation.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`] where they are not free, [`Refusal::Faulty`] where the consumer's counter
    /// is, or has ever been, outside of what it may be. Nothing is reserved then.
    #[inline]
    pub fn reserve(&mut self, consumer: &ConsumerPage, len: u64) -> Result<(), Refusal> {
        self.reserved = 0;
        self.make_room(consumer, len)?;
        // INVARIANT: `len` bytes are free.
        self.reserved = len;
        Ok(())
    }

    /// Whether `len` bytes could be reserved now.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve), where they could not.
    #[inline]
    pub fn make_room(&mut self, consumer: &ConsumerPage, len: u64) -> Result<(), Refusal> {
        if self.faulty {
            return Err(Refusal::Faulty);
        }
        if len > self.free() {
            self.look(consumer)?;
            if len > self.free() {
                return Err(Refusal::Full);
            }
        }
        Ok(())
    }

    /// Looks at the consumer's counter; [`is_faulty`](Self::is_faulty) tells what came of it.
    pub fn inspect(&mut self, consumer: &ConsumerPage) {
        if !self.faulty {
            // Whether it is faulty is what `faulty` says.
            let _ = self.look(consumer);
        }
    }

    /// Publishes the first `used` bytes of the reservation and gives the rest back.
    ///
    /// The caller has written them; more than was reserved counts as all of it.
    #[inline]
    pub fn commit(&mut self, producer: &ProducerPage, used: u64) {
        // INVARIANT: `reserved` bytes were free, so the distance stays within the capacity.
        self.write_count = self.write_count.wrapping_add(used.min(self.reserved));
        self.reserved = 0;
        // ORDERING: Release, paired with the Acquire in `Consumer::look`: a consumer that sees the
        // new count sees the bytes that were written before it.
        producer.write_count.store_release(self.write_count);
    }

    /// Gives the reservation back.
    #[inline]
    pub fn abandon(&mut self) {
        self.reserved = 0;
    }

    fn free(&self) -> u64 {
        // OVERFLOW: By the invariant; the counters themselves wrap by design.
        self.capacity
            .wrapping_sub(self.write_count.wrapping_sub(self.read_count))
    }

    /// Reloads the consumer's counter, once, and believes it only if it is possible.
    #[cold]
    fn look(&mut self, consumer: &ConsumerPage) -> Result<(), Refusal> {
        // ORDERING: Acquire, paired with the Release in `Consumer::release`: the consumer's reads of
        // the bytes it gave back happen before they are overwritten.
        let read_count = consumer.read_count.load_acquire();
        let unread = self.write_count.wrapping_sub(self.read_count);
        if read_count.wrapping_sub(self.read_count) > unread {
            self.faulty = true;
            return Err(Refusal::Faulty);
        }
        // INVARIANT: It moved towards `write_count` and not past it.
        self.read_count = read_count;
        Ok(())
    }
}

/// What makes a region unusable for its consumer: `write_count` went back or ran away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The impossible number of unread bytes.
    pub unread: u64,
    /// The capacity that it exceeds, or the number of bytes already seen that it undercuts.
    pub bound: u64,
}

/// The consuming side of the protocol.
///
/// # Invariants
///
/// `write_count - read_count <= capacity`, and `capacity` is a power of two.
pub struct Consumer {
    capacity: u64,
    read_count: u64,
    /// The producer's counter when it was last looked at: stale, and then too small.
    write_count: u64,
}

impl Consumer {
    /// A consumer for an empty ring of `capacity` bytes, a power of two, both of whose counters
    /// stand at `start`.
    pub fn new(capacity: u64, start: u64) -> Self {
        debug_assert!(capacity.is_power_of_two());
        // INVARIANT: The ring is empty.
        Self {
            capacity,
            read_count: start,
            write_count: start,
        }
    }

    /// Bytes ever given back.
    #[inline]
    pub fn read_count(&self) -> u64 {
        self.read_count
    }

    /// Offset in the ring of the next byte to read.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.read_count & self.capacity.wrapping_sub(1)
    }

    /// Bytes known to be readable; looks at the producer's counter only where there are none.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] where the producer's counter is impossible; the region is of no further use.
    #[inline]
    pub fn readable(&mut self, producer: &ProducerPage) -> Result<u64, Corrupt> {
        match self.write_count.wrapping_sub(self.read_count) {
            0 => self.look(producer),
            known => Ok(known),
        }
    }

    /// Bytes readable now, by a fresh look at the producer's counter.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    #[inline]
    pub fn look(&mut self, producer: &ProducerPage) -> Result<u64, Corrupt> {
        // ORDERING: Acquire, paired with the Release in `Producer::commit`: the bytes below the
        // count are seen as they were written.
        let write_count = producer.write_count.load_acquire();
        let known = self.write_count.wrapping_sub(self.read_count);
        let unread = write_count.wrapping_sub(self.read_count);
        if unread > self.capacity {
            return Err(Corrupt {
                unread,
                bound: self.capacity,
            });
        }
        if unread < known {
            return Err(Corrupt {
                unread,
                bound: known,
            });
        }
        // INVARIANT: Checked above.
        self.write_count = write_count;
        Ok(unread)
    }

    /// Gives the next `len` bytes back to the producer; more than were readable counts as those.
    #[inline]
    pub fn release(&mut self, consumer: &ConsumerPage, len: u64) {
        let known = self.write_count.wrapping_sub(self.read_count);
        // INVARIANT: `read_count` does not pass `write_count`.
        self.read_count = self.read_count.wrapping_add(len.min(known));
        // ORDERING: Release, paired with the Acquire in `Producer::look`: our reads of these bytes
        // happen before the producer overwrites them.
        consumer.read_count.store_release(self.read_count);
    }
}
