// SPDX-License-Identifier: GPL-2.0

//! Where the feed meets its consumer: the one seat with the ring's memory, and waking who sleeps.
//!
//! Lock order:
//!
//! 1. the stream lock of the PCM (timer, `trigger`, `pointer`), or the seat (`open`, `close`);
//! 2. the feed, with interrupts off;
//! 3. the wait queue.
//!
//! The consumer's `poll()` takes none of them unless something is owed to it or wrong with it.

use kernel::{
    fs::File,
    new_mutex,
    new_poll_condvar,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        poll::{
            PollCondVar,
            PollTable, //
        },
        Arc,
        Mutex, //
    },
    task::Pid, //
};

use crate::{
    abi::{
        ioctl::Status,
        layout::Geometry,
        memory::Writer,
        record::{
            Format,
            State,
            Volume, //
        },
        sync::{
            AtomicU32,
            AtomicU64, //
        },
        wake::Gate, //
    },
    alsa::timer,
    compat::{
        new_spinlock_irq,
        SpinLockIrq, //
    },
    feed::{
        Feed,
        Totals, //
    },
    pages::Pages, //
};

/// What there is to see for a consumer.
pub struct Readiness {
    /// Enough is unread, or a record other than `AUDIO` is.
    pub readable: bool,
    /// The consumer was found faulty.
    pub faulty: bool,
    /// Nothing comes any more.
    pub ended: bool,
}

/// The producing end of one region.
#[pin_data]
pub struct Outlet {
    geometry: Geometry,
    #[pin]
    feed: SpinLockIrq<Feed>,
    /// The process that has the seat.
    #[pin]
    seat: Mutex<Option<Pid>>,
    #[pin]
    wait: PollCondVar,
    gate: Gate,
    /// The kernel's own copy of `write_count`, for `poll()`.
    published: AtomicU64,
    /// The consumer's counter as the feed last accepted it, for `poll()`.
    accepted: AtomicU64,
    /// `published` behind the last record other than `AUDIO`.
    urgent: AtomicU64,
    /// Whether records are owed that would be written if there were room.
    owing: AtomicU32,
    /// Whether the consumer was found faulty.
    faulty: AtomicU32,
    /// Whether nothing comes any more.
    ended: AtomicU32,
}

impl Outlet {
    /// The outlet of the card of index `card`, whose regions have rings of `capacity` bytes, and no
    /// consumer.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a capacity that no ring can have, `ENOMEM`.
    pub fn new(capacity: u64, card: u32) -> Result<Arc<Self>> {
        // CAST: Widening.
        let geometry = Geometry::new(PAGE_SIZE as u64, capacity).ok_or(EINVAL)?;
        Arc::pin_init(
            pin_init!(Self {
                geometry,
                feed <- new_spinlock_irq!(Feed::new(card), "rtshm::feed"),
                seat <- new_mutex!(None, "rtshm::seat"),
                wait <- new_poll_condvar!("rtshm::wait"),
                gate: Gate::new(),
                published: AtomicU64::new(0),
                accepted: AtomicU64::new(0),
                urgent: AtomicU64::new(0),
                owing: AtomicU32::new(0),
                faulty: AtomicU32::new(0),
                ended: AtomicU32::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// How a region is laid out.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Calls `f` with the feed, and then wakes the consumer where it waits for what `f` did.
    ///
    /// For any context that the lock order allows.
    pub fn with_feed<R>(&self, f: impl FnOnce(&mut Feed) -> R) -> R {
        let mut feed = self.feed.lock();
        let result = f(&mut feed);
        let news = feed.take_news();
        let owing = feed.can_settle();
        // ORDERING: Relaxed, like the other stores here: the fence in `Gate::pass` orders them all
        // before the look at the gate. Partner: the loads in `poll`, behind the fence in
        // `Gate::arm`.
        self.owing.store_relaxed(owing.into());
        self.faulty.store_relaxed(feed.is_faulty().into());
        if let Some(news) = news {
            if news.urgent {
                self.urgent.store_relaxed(news.write_count);
            }
            self.published.store_relaxed(news.write_count);
        }
        // ORDERING: Release, paired with the Acquire in `unread`: whoever sees this sees a
        // `published` that is not behind it.
        self.accepted.store_release(feed.read_count());
        // Somebody who polls at this moment may have seen that nothing is owed.
        let urgent = owing || news.is_some_and(|news| news.urgent);
        let wake = (owing || news.is_some()) && self.gate.pass(feed.write_count(), urgent);
        if wake {
            feed.count_wakeup();
        }
        drop(feed);
        if wake {
            self.wait.notify_all();
        }
        result
    }

    /// Ends it for good, after what produces has gone: a stream that is left stops, and `poll()`
    /// tells that nothing comes any more.
    pub fn end(&self) {
        self.with_feed(|feed| {
            if feed.is_active() {
                feed.state(State::Stop, timer::now());
            }
        });
        // ORDERING: Release, paired with the Acquire in `Seat::poll`: whoever sees this sees all
        // there is. Whoever does not is on the wait queue, whose lock comes next.
        self.ended.store_release(1);
        self.wait.notify_all();
    }

    /// Bytes published behind `read_count`, or `None` where that is not between the last one that
    /// was accepted and what is published.
    fn unread(&self, read_count: u64) -> Option<u64> {
        // ORDERING: Acquire, paired with the Release in `with_feed`.
        let accepted = self.accepted.load_acquire();
        let all = self.published.load_relaxed().wrapping_sub(accepted);
        let read = read_count.wrapping_sub(accepted);
        (read <= all).then(|| all.wrapping_sub(read))
    }

    /// How the device does.
    pub fn status(&self) -> Status {
        let consumer_pid = self.seat.lock().map_or(0, Pid::unsigned_abs);
        let (totals, format, state, volume, clock_ratio, write_count, read_count) =
            self.with_feed(|feed| {
                (
                    feed.totals(),
                    feed.format(),
                    feed.last_state(),
                    feed.last_volume(),
                    feed.clock_ratio(),
                    feed.write_count(),
                    feed.claimed_read_count(),
                )
            });
        let Totals {
            chunks,
            frames,
            lost_frames,
            lost_records,
            streams,
            xruns,
            faults,
            wakeups,
        } = totals;
        let Format {
            rate,
            channels,
            format,
            period_frames,
            buffer_frames,
            chunk_frames,
            reserved: _,
        } = format;
        let Volume {
            gain: volume_gain,
            on: volume_on,
            time_stamp: _,
        } = volume;
        Status {
            state: state.map_or(0, State::as_raw),
            consumer_pid,
            rate,
            channels,
            format,
            period_frames,
            buffer_frames,
            chunk_frames,
            write_count,
            read_count,
            chunks,
            frames,
            lost_frames,
            lost_records,
            streams,
            xruns,
            faults,
            wakeups,
            clock_ratio,
            volume_gain,
            volume_on,
        }
    }
}

/// The seat of the one consumer of an outlet, and the region that the consumer is fed through.
///
/// # Invariants
///
/// There is one at a time, and the feed's writer is of its pages.
pub struct Seat {
    outlet: Arc<Outlet>,
    pages: Pages,
}

impl Seat {
    /// Takes the seat for the process `pid`: from now on the feed goes to it.
    ///
    /// # Errors
    ///
    /// `EBUSY` where another has it, `ENOMEM`.
    pub fn take(outlet: Arc<Outlet>, pid: Pid) -> Result<Self> {
        let mut seat = outlet.seat.lock();
        if seat.is_some() {
            return Err(EBUSY);
        }
        let pages = Pages::new(outlet.geometry)?;
        // SAFETY:
        // - The pages live until the seat is dropped, which takes the writer away first; their
        //   layout is what `Windows` asks for.
        // - They are new: all counters are 0, there is no other writer, and user space cannot write
        //   but to the consumer page.
        let writer = unsafe { Writer::new(pages.windows()) };
        // ORDERING: Relaxed; under the seat's lock, and the feed's lock comes next.
        outlet.published.store_relaxed(0);
        outlet.accepted.store_relaxed(0);
        outlet.urgent.store_relaxed(0);
        outlet.gate.disarm();
        outlet.with_feed(|feed| feed.attach(writer, timer::now()));
        *seat = Some(pid);
        drop(seat);
        // INVARIANT: Guarded by the lock above.
        Ok(Self { outlet, pages })
    }

    /// The pages that whoever has the seat may map.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// What `poll()` says, after putting the caller on the wait queue and asking for a wake-up.
    pub fn poll(&self, file: &File, table: &PollTable<'_>) -> Readiness {
        let outlet = &self.outlet;
        table.register_wait(file, &outlet.wait);
        // ORDERING: Acquire, paired with the Release in `Outlet::end`.
        let ended = outlet.ended.load_acquire() != 0;
        let (read_count, mut threshold) = self.arm();
        if ended {
            threshold = 1;
        }
        // ORDERING: Relaxed, like the other loads here: the fence in `Gate::arm` orders them behind
        // the arming. Partner: the stores in `with_feed`.
        if outlet.owing.load_relaxed() != 0 {
            outlet.with_feed(Feed::settle);
            // Settling may have woken ourselves.
            self.arm();
        }
        let (read_count, unread) = match outlet.unread(read_count) {
            Some(unread) => (read_count, unread),
            // Impossible, or another thread reads at this moment: the feed's lock decides.
            None => outlet.with_feed(|feed| {
                feed.inspect();
                let read_count = feed.read_count();
                (read_count, feed.write_count().wrapping_sub(read_count))
            }),
        };
        let urgent = outlet.urgent.load_relaxed().wrapping_sub(read_count);
        let faulty = outlet.faulty.load_relaxed() != 0;
        Readiness {
            readable: !faulty && (unread >= threshold || (1..=unread).contains(&urgent)),
            faulty,
            ended,
        }
    }

    /// Asks for a wake-up; returns the consumer's counter and its threshold, in bytes.
    fn arm(&self) -> (u64, u64) {
        // SAFETY: The page lives as long as `self`, and the structure consists of atomics.
        let page = unsafe { self.pages.windows().consumer.as_ref() };
        // ORDERING: Relaxed; the consumer wrote both before it called. Another thread of it that
        // writes them meanwhile is not waiting for anything.
        let read_count = page.read_count.load_relaxed();
        let threshold = u64::from(page.wake_bytes.load_relaxed())
            .max(1)
            .min(self.outlet.geometry.capacity() / 2);
        self.outlet.gate.arm(read_count.wrapping_add(threshold));
        (read_count, threshold)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seat = self.outlet.seat.lock();
        self.outlet.with_feed(Feed::detach);
        *seat = None;
    }
}
