// SPDX-License-Identifier: GPL-2.0

//! The pages of a region, and who may map them how.
//!
//! The kernel maps all of a region in one piece, laid out as user space sees it, the ring twice
//! included. User space maps three windows of it, each with its own rights. Pages are reference
//! counted by their mappings; there is no other account that a fork, a split or a move of a mapping
//! could upset.
//!
//! A region is made for one consumer and goes with it. User space can hold on to pages beyond its
//! mappings (in a pipe by `vmsplice()`, as a registered buffer of io_uring), and even write to the
//! consumer page there: what it sees is its own past, and nobody looks at what it writes.

use core::{
    ptr::NonNull,
    slice, //
};

use kernel::{
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*, //
};

use crate::{
    abi::{
        layout::Geometry,
        memory::Windows, //
    },
    alsa::sys, //
};

/// The producer page and the consumer page.
const CONTROL_PAGES: usize = 2;

/// The pages of one region.
///
/// # Invariants
///
/// - `pages` are the producer page, the consumer page and the ring's, in this order.
/// - `base` is a mapping of them, with the ring's pages once more at its end, that lives as long as
///   this object.
pub struct Pages {
    base: NonNull<u8>,
    pages: KVVec<Page>,
    geometry: Geometry,
}

// SAFETY: Memory belongs to no thread.
unsafe impl Send for Pages {}
// SAFETY: `&self` gives out pointers and maps pages; both are safe from any thread.
unsafe impl Sync for Pages {}

impl Pages {
    /// Allocates a region, all zero, on the caller's account.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(geometry: Geometry) -> Result<Self> {
        // CAST: Bounded by `CAPACITY_MAX`.
        let ring = geometry.capacity() as usize / PAGE_SIZE;
        let count = ring.wrapping_add(CONTROL_PAGES);
        let mut pages = KVVec::with_capacity(count, GFP_KERNEL)?;
        while pages.len() < count {
            pages.push_within_capacity(Page::alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO)?)?;
        }
        let mut twice = KVVec::with_capacity(count.wrapping_add(ring), GFP_KERNEL)?;
        for half in [Some(&pages[..]), pages.get(CONTROL_PAGES..)] {
            for page in half.unwrap_or_default() {
                twice.push_within_capacity(page.as_ptr())?;
            }
        }
        let mapped = u32::try_from(twice.len()).map_err(|_| EINVAL)?;
        // SAFETY: The array holds that many valid pages; the mapping does not keep the array.
        let base = unsafe { sys::rtshm_vmap(twice.as_mut_ptr(), mapped) };
        let base = NonNull::new(base.cast()).ok_or(ENOMEM)?;
        // INVARIANT: As built above.
        Ok(Self {
            base,
            pages,
            geometry,
        })
    }

    /// The region's windows in the kernel's mapping; they are valid as long as this object.
    pub fn windows(&self) -> Windows {
        let at = |offset: u64| {
            // SAFETY: By the invariant all of the region is mapped. CAST: As above.
            unsafe { self.base.add(offset as usize) }
        };
        Windows {
            producer: at(self.geometry.producer_offset()).cast(),
            consumer: at(self.geometry.consumer_offset()).cast(),
            ring: at(self.geometry.ring_offset()),
            capacity: self.geometry.capacity(),
        }
    }

    /// Maps the window at `offset` of the region into user space.
    ///
    /// # Errors
    ///
    /// `EINVAL` unless the mapping is shared and exactly a window; `EPERM` for more rights than the
    /// window gives: write to any but the consumer page, execute.
    pub fn map(&self, vma: &VmaNew, offset: u64) -> Result {
        let geometry = self.geometry;
        // CAST: Widening.
        let len = vma.end().wrapping_sub(vma.start()) as u64;
        let ring = self.pages.get(CONTROL_PAGES..).unwrap_or_default();
        let (window, again, writable, expected) = match (offset, &self.pages[..]) {
            (0, [page, ..]) => (slice::from_ref(page), &[][..], false, geometry.page_size()),
            (_, [_, page, ..]) if offset == geometry.consumer_offset() => {
                (slice::from_ref(page), &[][..], true, geometry.page_size())
            }
            _ if offset == geometry.ring_offset() => (ring, ring, false, geometry.ring_len()),
            _ => return Err(EINVAL),
        };
        if len != expected || vma.flags() & flags::SHARED == 0 {
            return Err(EINVAL);
        }
        if !writable {
            vma.try_clear_maywrite().map_err(|_| EPERM)?;
        }
        vma.try_clear_mayexec().map_err(|_| EPERM)?;
        vma.set_dontcopy();
        vma.set_dontexpand();
        vma.set_dontdump();
        let area = vma.set_mixedmap();
        let mut address = vma.start();
        for page in Iterator::chain(window.iter(), again) {
            area.vm_insert_page(address, page)?;
            address = address.wrapping_add(PAGE_SIZE);
        }
        Ok(())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: By the invariant this is the mapping, and nobody uses it any more.
        unsafe { sys::rtshm_vunmap(self.base.as_ptr().cast()) };
    }
}
