// SPDX-License-Identifier: MIT OR GPL-2.0

//! The ring that this one goes back to, in C++: `origin.cpp`.

use std::ffi::c_void;
use std::slice;

use crate::rings::{Ring, CAPACITY, CHANNELS};

extern "C" {
    fn origin_ring_size(capacity: u32) -> usize;
    fn origin_chunk_size(frames: u32) -> usize;
    fn origin_init(memory: *mut c_void, capacity: u32);
    fn origin_samples(chunk: *mut c_void) -> *mut f32;
    fn origin_push(memory: *mut c_void, chunk: *mut c_void, frames: u32, time_stamp: u64) -> bool;
    fn origin_pop(memory: *mut c_void, chunk: *mut c_void) -> bool;
}

/// The ring, and a chunk for either side: its callers have their samples in chunks.
pub(crate) struct Origin {
    memory: Vec<u64>,
    pushed: Vec<u64>,
    popped: Vec<u64>,
    frames: u32,
}

impl Origin {
    pub(crate) fn new(input: &[f32]) -> Self {
        let frames = (input.len() / CHANNELS) as u32;
        let words = |bytes: usize| vec![0u64; bytes.div_ceil(8)];
        // SAFETY: A pure function.
        let ring = unsafe { origin_ring_size(CAPACITY) };
        // SAFETY: Likewise.
        let chunk = unsafe { origin_chunk_size(frames) };
        let mut origin = Self {
            memory: words(ring),
            pushed: words(chunk),
            popped: words(chunk),
            frames,
        };
        // SAFETY: The memory is large enough, aligned, and nobody else's.
        unsafe { origin_init(origin.memory.as_mut_ptr().cast(), CAPACITY) };
        samples(&mut origin.pushed, input.len()).copy_from_slice(input);
        origin
    }
}

impl Ring for Origin {
    fn push_and_pop(&mut self, time_stamp: u64) {
        let memory = self.memory.as_mut_ptr().cast();
        let (pushed, popped) = (self.pushed.as_mut_ptr(), self.popped.as_mut_ptr());
        // SAFETY: All three are as large as was said, and nobody else's; the chunk is of so many
        // frames.
        let is_pushed = unsafe { origin_push(memory, pushed.cast(), self.frames, time_stamp) };
        // SAFETY: As above; what is in the ring was pushed here, so it fits.
        let is_popped = unsafe { origin_pop(memory, popped.cast()) };
        assert!(is_pushed && is_popped);
    }

    #[cfg(test)]
    fn output(&mut self) -> &[f32] {
        let len = self.frames as usize * CHANNELS;
        samples(&mut self.popped, len)
    }
}

/// The samples of a chunk that has so many.
fn samples(chunk: &mut [u64], len: usize) -> &mut [f32] {
    // SAFETY: It only computes an address inside of the chunk.
    let start = unsafe { origin_samples(chunk.as_mut_ptr().cast()) };
    // SAFETY: The chunk was allocated for so many samples, and is borrowed.
    unsafe { slice::from_raw_parts_mut(start, len) }
}
