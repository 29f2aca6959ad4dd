// SPDX-License-Identifier: MIT OR GPL-2.0

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{ppoll, PollFd, PollFlags};
use nix::sys::time::TimeSpec;
use rtshm_abi::layout::{ProducerPage, ABI_VERSION};
use rtshm_abi::memory::Reader;
use rtshm_abi::record::{Record, RECORD_ALIGN};
use rtshm_abi::ring::Corrupt;

use crate::clock::ClockRatio;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::event::{Content, Event};
use crate::region::Region;

/// The one process that pops what is played into a card.
///
/// Being one lasts until it is dropped.
pub struct Consumer {
    reader: Reader,
    /// Samples per frame by the last `FORMAT`, 0 before it.
    channels: u32,
    device: Device,
    /// What `reader` reads: after it in this structure, so dropped later.
    region: Region,
}

impl Consumer {
    /// Becomes the consumer of the device at `path`, usually
    /// [`DEFAULT_PATH`](crate::DEFAULT_PATH).
    ///
    /// The ring starts with the volume and nothing else: what was played before is not in it.
    ///
    /// # Errors
    ///
    /// - [`Error::Missing`], [`Error::Gone`], [`Error::Permission`], [`Error::NotADevice`],
    ///   [`Error::Open`]: it cannot be opened.
    /// - [`Error::Busy`]: it has a consumer.
    /// - [`Error::Version`], [`Error::Unusable`]: this library does not go with the module.
    /// - [`Error::Map`], [`Error::Call`]: a system call failed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let device = Device::open_exclusive(path.as_ref())?;
        let region = Region::map(&device, device.geometry()?)?;
        // SAFETY: The kernel writes no byte that it has published before it is given back, and lets
        // no other process map the device for writing.
        unsafe { Self::new(device, region) }
    }

    /// Consumes a region that is not a device's, as tests do; `fd` is what [`wait`](Self::wait) and
    /// [`AsFd`] poll.
    ///
    /// # Errors
    ///
    /// [`Error::Version`] or [`Error::Unusable`] where the region's first page says so.
    ///
    /// # Safety
    ///
    /// For as long as the consumer lives, nobody else writes the consumer page, and the ring's
    /// bytes in `[read_count, write_count)` do not change.
    pub unsafe fn from_region(fd: OwnedFd, region: Region) -> Result<Self> {
        let device = Device::from_fd(fd, PathBuf::new());
        // SAFETY: The caller's promise.
        unsafe { Self::new(device, region) }
    }

    /// # Safety
    ///
    /// As [`from_region`](Self::from_region).
    unsafe fn new(device: Device, region: Region) -> Result<Self> {
        // SAFETY:
        // - `Region` maps the three windows in these lengths, and the constructor below keeps it
        //   for as long as the reader.
        // - A page is aligned for, and by `Geometry` larger than, what lies in it.
        // - Whether the ring's halves are one memory does not matter for memory safety; all of
        //   both is mapped.
        // - The rest is the caller's promise.
        let reader = unsafe { Reader::new(region.windows()) };
        check(reader.page(), region.geometry().capacity())?;
        let start = reader.read_count();
        if start % RECORD_ALIGN != 0 {
            return Err(Error::Unusable {
                what: "the first read_count",
                value: start,
            });
        }
        Ok(Self {
            reader,
            channels: 0,
            device,
            region,
        })
    }

    /// The device, for its [`info`](Device::info) and [`status`](Device::status).
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Bytes in the ring.
    pub fn capacity(&self) -> u64 {
        self.region.geometry().capacity()
    }

    /// Pops the next event, or returns `None` where the ring is empty. Dropping the event gives its
    /// bytes back. Records of unknown kinds are skipped.
    ///
    /// Wait-free: it neither allocates, locks nor enters the kernel.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] or [`Error::Counter`] where the ring's content is impossible; then the
    /// consumer is of no further use.
    // By its size the compiler would not, and pass the event through memory: a fifth of what a push and
    // a pop of a small chunk cost (`make bench`).
    #[inline(always)]
    pub fn pop(&mut self) -> Result<Option<Event<'_>>> {
        // Nearly all there is.
        if let Ok(Some(record)) = self.reader.peek().map(Record::parse).unwrap_or(Ok(None)) {
            if let Some(content) = Content::audio(&record, self.channels) {
                let (header, len) = (record.header, record.stored_len());
                return Ok(Some(Event::new(&mut self.reader, len, header, content)));
            }
        }
        self.pop_rare()
    }

    /// [`pop`](Self::pop) of anything at all.
    #[inline(never)]
    fn pop_rare(&mut self) -> Result<Option<Event<'_>>> {
        let mut skipped = 0;
        loop {
            let at = self.reader.read_count();
            let malformed = |what| Error::Malformed { at, what };
            let readable = self.reader.peek().map_err(counter)?;
            let Some(record) = Record::parse(readable).map_err(malformed)? else {
                return Ok(None);
            };
            let (header, len) = (record.header, record.stored_len());
            match Content::parse(&record, self.channels).map_err(malformed)? {
                Some(content) => {
                    if let Content::Format(format) = content {
                        self.channels = format.channels;
                    }
                    return Ok(Some(Event::new(&mut self.reader, len, header, content)));
                }
                None if skipped < self.capacity() => {
                    self.reader.release(len);
                    skipped += len;
                }
                // Whatever the producer does, this ends.
                None => return Ok(None),
            }
        }
    }

    /// Bytes written and not yet read.
    ///
    /// # Errors
    ///
    /// [`Error::Counter`] where that is impossible.
    pub fn unread(&mut self) -> Result<u64> {
        self.reader.look().map_err(counter)
    }

    /// Asks to be woken for audio only once `bytes` are unread; 0 and 1 mean any, and more than half
    /// the capacity means that. Events other than audio wake at once. Takes effect at the next
    /// poll.
    pub fn set_wake_threshold(&mut self, bytes: u32) {
        let page = self.reader.consumer_page();
        // ORDERING: Relaxed; the kernel loads it within a `poll()` that this thread makes later.
        page.wake_bytes.store_relaxed(bytes);
    }

    /// Asks the kernel to run the card's clock at this speed, from [`ClockRatio::MIN`] to
    /// [`ClockRatio::MAX`]: what is beyond is taken as these.
    ///
    /// The kernel does so, in its own time, while the mixer's clock source is the consumer. It
    /// forgets the request when the consumer goes.
    pub fn request_rate(&mut self, ratio: ClockRatio) {
        self.store_rate_request(ratio.clamp(ClockRatio::MIN, ClockRatio::MAX).as_raw());
    }

    /// Takes the request back: the clock runs as it does for a consumer that has never asked, at its
    /// nominal rate unless the mixer's pitch says otherwise.
    pub fn clear_rate_request(&mut self) {
        self.store_rate_request(0);
    }

    fn store_rate_request(&mut self, raw: u64) {
        let page = self.reader.consumer_page();
        // ORDERING: Relaxed; the value stands by itself. Partner: `Writer::rate_request`.
        page.rate_request.store_relaxed(raw);
    }

    /// The speed at which the card's clock runs now; `None` while it stands still.
    pub fn clock_ratio(&self) -> Option<ClockRatio> {
        // ORDERING: Relaxed; the value stands by itself. Partner: the kernel's relaxed store.
        ClockRatio::from_raw(self.reader.page().clock_ratio.load_relaxed())
    }

    /// Sleeps until there is something to pop, or `timeout` has passed; `None` waits for ever.
    /// Returns whether there is something to pop.
    ///
    /// # Errors
    ///
    /// [`Error::Faulty`] where the kernel no longer feeds this consumer, [`Error::Gone`] or
    /// [`Error::Call`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        // A timeout beyond all clocks is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let revents = loop {
            let rest = deadline.map(|deadline| {
                TimeSpec::from_duration(deadline.saturating_duration_since(Instant::now()))
            });
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut fds, rest, None) {
                Ok(_) => break fds[0].revents().unwrap_or(PollFlags::empty()),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(Error::Call {
                        call: "poll",
                        source: errno.into(),
                    })
                }
            }
        };
        if revents.contains(PollFlags::POLLERR) {
            Err(Error::Faulty)
        } else if revents.contains(PollFlags::POLLIN) {
            Ok(true)
        } else if revents.intersects(PollFlags::POLLHUP | PollFlags::POLLNVAL) {
            Err(Error::Gone)
        } else {
            Ok(false)
        }
    }
}

impl AsFd for Consumer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// For pollers that take no [`AsFd`], such as tokio's `AsyncFd`.
impl AsRawFd for Consumer {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("device", &self.device)
            .field("read_count", &self.reader.read_count())
            .finish_non_exhaustive()
    }
}

#[cold]
fn counter(Corrupt { unread, bound }: Corrupt) -> Error {
    Error::Counter { unread, bound }
}

/// Checks what the producer page says about the region, each field loaded once.
fn check(page: &ProducerPage, expected_capacity: u64) -> Result<()> {
    // ORDERING: Relaxed; the kernel wrote them before the page could be mapped.
    let module = page.abi_version.load_relaxed();
    let header_size = page.header_size.load_relaxed();
    let capacity = page.capacity.load_relaxed();
    let unusable = |what, value| Err(Error::Unusable { what, value });
    if module != ABI_VERSION {
        Err(Error::Version {
            module,
            module_version: String::new(),
        })
    } else if (header_size as usize) < size_of::<ProducerPage>() {
        unusable("the size of the header", header_size.into())
    } else if capacity != expected_capacity {
        unusable("the capacity in the header", capacity)
    } else {
        Ok(())
    }
}
