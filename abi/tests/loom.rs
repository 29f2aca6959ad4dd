// SPDX-License-Identifier: MIT OR GPL-2.0

//! The ring and the gate under every interleaving and every reordering that the memory model
//! allows, by [loom](https://docs.rs/loom):
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p rtshm-abi --release --test loom --target-dir target/loom
//! ```
//!
//! loom reports an access to the ring's words that is not ordered against another one, a failed
//! assertion, and threads that wait for each other for ever: a lost wake-up is such a deadlock.

#![cfg(loom)]

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        Condvar,
        Mutex, //
    },
    thread,
};

use rtshm_abi::{
    layout::{
        ConsumerPage,
        ProducerPage, //
    },
    ring::{
        Consumer,
        Producer,
        Refusal, //
    },
    sync::AtomicU64,
    wake::Gate,
};

use std::sync::atomic::{
    AtomicUsize,
    Ordering, //
};

/// Where the counters start: the first word takes them around. Nobody arms at this one, which
/// is how a gate says that nobody waits.
const START: u64 = u64::MAX;

/// What was seen in any of the interleavings. Not loom's atomics: loom must not see them.
struct Seen(AtomicUsize);

impl Seen {
    const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn once(&self) {
        // ORDERING: Relaxed; loom runs its threads one at a time.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn times(&self) -> usize {
        // ORDERING: As above.
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs a model in all its interleavings, or in those with so many preemptions where there are too
/// many; `LOOM_MAX_PREEMPTIONS` overrides such a bound.
fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let runs = std::sync::Arc::new(Seen::new());
    let counted = runs.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions.map(|bound| builder.preemption_bound.unwrap_or(bound));
    builder.check(move || {
        counted.once();
        model();
    });
    let runs = runs.times();
    println!("{runs} interleavings");
    assert!(runs > 1, "there was nothing to interleave");
}

/// The shared memory: two pages and the ring.
struct Region {
    producer: ProducerPage,
    consumer: ConsumerPage,
    words: Vec<UnsafeCell<u64>>,
}

// SAFETY: Who may access a word is what the models prove; loom checks each access.
unsafe impl Sync for Region {}

impl Region {
    /// An empty ring of `capacity` words, which are the unit here, and its two ends.
    fn new(capacity: u64) -> (Self, Producer, Consumer) {
        let region = Self {
            producer: ProducerPage::new(capacity),
            consumer: ConsumerPage::new(),
            words: (0..capacity).map(|_| UnsafeCell::new(0)).collect(),
        };
        region.producer.write_count.store_relaxed(START);
        region.consumer.read_count.store_relaxed(START);
        (
            region,
            Producer::new(capacity, START),
            Consumer::new(capacity, START),
        )
    }

    fn word(&self, count: u64) -> &UnsafeCell<u64> {
        &self.words[count as usize % self.words.len()]
    }

    /// Pushes a record of `len` words, each of which is its own count.
    fn push(&self, producer: &mut Producer, len: u64) -> Result<(), Refusal> {
        producer.reserve(&self.consumer, len)?;
        for word in 0..len {
            let count = producer.write_count().wrapping_add(word);
            // SAFETY: loom has checked that nobody else accesses the word.
            self.word(count).with_mut(|word| unsafe { *word = count });
        }
        producer.commit(&self.producer, len);
        Ok(())
    }

    /// Pops what is known to be readable, or looks whether something is; checks every word and
    /// returns their number.
    fn pop(&self, consumer: &mut Consumer) -> u64 {
        let len = consumer.readable(&self.producer).expect("it is possible");
        for word in 0..len {
            let count = consumer.read_count().wrapping_add(word);
            // SAFETY: loom has checked that nobody writes the word.
            let value = self.word(count).with(|word| unsafe { *word });
            assert_eq!(value, count, "the word of another round");
        }
        if len != 0 {
            consumer.release(&self.consumer, len);
        }
        len
    }
}

/// What was committed is seen whole, and nothing is overwritten before it is released: a bounded
/// number of attempts at each end, in every interleaving, around the end of the counters.
#[test]
fn records_arrive_whole() {
    static FULL: Seen = Seen::new();
    static ALL: Seen = Seen::new();
    explore(None, || {
        let (region, mut producer, mut consumer) = Region::new(2);
        let region = Arc::new(region);
        let pushing = region.clone();
        let push = thread::spawn(move || {
            for len in [1, 2, 1] {
                match pushing.push(&mut producer, len) {
                    Ok(()) => {}
                    Err(Refusal::Full) => FULL.once(),
                    Err(Refusal::Faulty) => panic!("the consumer is honest"),
                }
            }
            producer
        });
        for _ in 0..3 {
            region.pop(&mut consumer);
        }
        let producer = push.join().expect("it does not panic");
        while region.pop(&mut consumer) != 0 {}
        assert_eq!(consumer.read_count(), producer.write_count());
        if producer.write_count() == START.wrapping_add(4) {
            ALL.once();
        }
    });
    assert!(FULL.times() > 0, "it was never full");
    assert!(ALL.times() > 0, "it was always full");
}

/// A full ring refuses until the consumer gives something back, and then takes again.
#[test]
fn refused_and_then_accepted() {
    static REFUSED: Seen = Seen::new();
    static ACCEPTED: Seen = Seen::new();
    explore(None, || {
        let (region, mut producer, mut consumer) = Region::new(2);
        region
            .push(&mut producer, 2)
            .expect("an empty ring takes all");
        assert_eq!(region.push(&mut producer, 1), Err(Refusal::Full));
        let region = Arc::new(region);
        let popping = region.clone();
        let pop = thread::spawn(move || {
            assert_eq!(popping.pop(&mut consumer), 2);
            consumer
        });
        // Not more than two refusals, so that loom comes to an end: it has no fairness.
        let mut tries = 0;
        while region.push(&mut producer, 2) == Err(Refusal::Full) {
            REFUSED.once();
            tries += 1;
            if tries == 2 {
                break;
            }
        }
        let mut consumer = pop.join().expect("it does not panic");
        if tries < 2 {
            ACCEPTED.once();
        } else {
            // Now that the other thread has ended, nothing is stale any more.
            assert_eq!(region.push(&mut producer, 2), Ok(()));
        }
        assert_eq!(region.pop(&mut consumer), 2);
    });
    assert!(REFUSED.times() > 0, "it was never refused");
    assert!(ACCEPTED.times() > 0, "it was never accepted");
}

/// Both ends yield until they have had all of it, so that every index is reloaded by need.
#[test]
fn nothing_sticks() {
    explore(None, || {
        let (region, mut producer, mut consumer) = Region::new(2);
        let region = Arc::new(region);
        let pushing = region.clone();
        let push = thread::spawn(move || {
            for len in [2, 1, 2] {
                while pushing.push(&mut producer, len).is_err() {
                    thread::yield_now();
                }
            }
        });
        let mut popped = 0;
        while popped < 5 {
            match region.pop(&mut consumer) {
                0 => thread::yield_now(),
                len => popped += len,
            }
        }
        push.join().expect("it does not panic");
        assert_eq!(region.pop(&mut consumer), 0);
    });
}

#[derive(Clone, Copy, PartialEq)]
enum Sleeper {
    Absent,
    Queued,
    Woken,
}

/// A wait queue as `poll()` uses the kernel's: its lock is taken to join, to leave and to wake, and
/// a wake-up is remembered from joining on, also when it comes before the sleep.
struct WaitQueue {
    sleepers: Mutex<[Sleeper; 2]>,
    woken: Condvar,
}

impl WaitQueue {
    fn new() -> Self {
        Self {
            sleepers: Mutex::new([Sleeper::Absent; 2]),
            woken: Condvar::new(),
        }
    }

    fn join(&self, who: usize) {
        self.sleepers.lock().unwrap()[who] = Sleeper::Queued;
    }

    fn leave(&self, who: usize) {
        self.sleepers.lock().unwrap()[who] = Sleeper::Absent;
    }

    fn sleep(&self, who: usize) {
        let mut sleepers = self.sleepers.lock().unwrap();
        while sleepers[who] != Sleeper::Woken {
            sleepers = self.woken.wait(sleepers).unwrap();
        }
        sleepers[who] = Sleeper::Queued;
    }

    fn wake(&self) {
        let mut sleepers = self.sleepers.lock().unwrap();
        for sleeper in sleepers.iter_mut() {
            if *sleeper == Sleeper::Queued {
                *sleeper = Sleeper::Woken;
            }
        }
        self.woken.notify_all();
    }
}

/// A region and what the module has beside it for those who wait: private copies of the counters,
/// which take their order from the gate's fences alone.
struct Device {
    region: Region,
    gate: Gate,
    queue: WaitQueue,
    published: AtomicU64,
    /// `published` behind the last urgent record.
    urgent: AtomicU64,
}

impl Device {
    fn new() -> (Arc<Self>, Producer, Consumer) {
        let (region, producer, consumer) = Region::new(4);
        let device = Self {
            region,
            gate: Gate::new(),
            queue: WaitQueue::new(),
            published: AtomicU64::new(START),
            urgent: AtomicU64::new(START),
        };
        (Arc::new(device), producer, consumer)
    }

    /// Pushes a record and wakes whom it concerns.
    fn push(&self, producer: &mut Producer, len: u64, urgent: bool) -> Result<(), Refusal> {
        self.region.push(producer, len)?;
        let write_count = producer.write_count();
        // ORDERING: Relaxed; before the fence in `pass`. Partner: the loads in `unread`.
        if urgent {
            self.urgent.store_relaxed(write_count);
        }
        self.published.store_relaxed(write_count);
        if self.gate.pass(write_count, urgent) {
            self.queue.wake();
        }
        Ok(())
    }

    /// How much is unread, where that is at least `wanted` or something of it is urgent.
    fn unread(&self, read_count: u64, wanted: u64) -> Option<u64> {
        // ORDERING: Relaxed; behind the fence in `arm`. Partner: the stores in `push`.
        let unread = self.published.load_relaxed().wrapping_sub(read_count);
        let urgent = self.urgent.load_relaxed().wrapping_sub(read_count);
        (unread >= wanted || (1..=unread).contains(&urgent)).then_some(unread)
    }

    /// `poll()` without a timeout: returns how much is unread once it is enough.
    fn wait(&self, who: usize, read_count: u64, wanted: u64) -> u64 {
        self.queue.join(who);
        let unread = loop {
            self.gate.arm(read_count.wrapping_add(wanted));
            if let Some(unread) = self.unread(read_count, wanted) {
                break unread;
            }
            self.queue.sleep(who);
        };
        self.queue.leave(who);
        unread
    }

    /// `poll()` with a timeout of 0, which leaves the gate armed.
    fn glance(&self, who: usize, read_count: u64, wanted: u64) {
        self.queue.join(who);
        self.gate.arm(read_count.wrapping_add(wanted));
        self.unread(read_count, wanted);
        self.queue.leave(who);
    }

    /// Waits and pops; returns how much that was.
    fn pop(&self, consumer: &mut Consumer, wanted: u64) -> u64 {
        let unread = self.wait(0, consumer.read_count(), wanted);
        let mut popped = 0;
        // The page may show it a little later than the module's own copy.
        while popped < unread {
            match self.region.pop(consumer) {
                0 => thread::yield_now(),
                len => popped += len,
            }
        }
        popped
    }
}

/// Starts a thread that pushes records, each of a length and urgent or not.
fn pushing<const N: usize>(
    device: &Arc<Device>,
    mut producer: Producer,
    records: [(u64, bool); N],
) -> thread::JoinHandle<()> {
    let device = device.clone();
    thread::spawn(move || {
        for (len, urgent) in records {
            assert_eq!(device.push(&mut producer, len, urgent), Ok(()));
        }
    })
}

/// A sleeper that waits for one record after the other re-arms while the producer passes.
#[test]
fn no_wakeup_is_lost() {
    explore(None, || {
        let (device, producer, mut consumer) = Device::new();
        let push = pushing(&device, producer, [(1, false), (1, false)]);
        let mut popped = 0;
        while popped < 2 {
            popped += device.pop(&mut consumer, 1);
        }
        push.join().expect("it does not panic");
    });
}

/// A sleeper that waits for more than the first record brings is woken by the second.
#[test]
fn no_wakeup_is_lost_at_a_threshold() {
    explore(None, || {
        let (device, producer, mut consumer) = Device::new();
        let push = pushing(&device, producer, [(1, false), (2, false)]);
        assert_eq!(device.pop(&mut consumer, 3), 3);
        push.join().expect("it does not panic");
    });
}

/// An urgent record wakes a sleeper that waits for more than there is with it.
#[test]
fn no_urgent_wakeup_is_lost() {
    explore(None, || {
        let (device, producer, mut consumer) = Device::new();
        let push = pushing(&device, producer, [(1, false), (1, true)]);
        assert_eq!(device.pop(&mut consumer, 3), 2);
        push.join().expect("it does not panic");
    });
}

/// After an urgent record that woke it the sleeper waits for what comes next.
#[test]
fn no_wakeup_is_lost_after_an_urgent_one() {
    explore(Some(5), || {
        let (device, producer, mut consumer) = Device::new();
        let push = pushing(&device, producer, [(1, true), (2, false)]);
        let mut popped = 0;
        while popped < 3 {
            popped += device.pop(&mut consumer, 2);
        }
        push.join().expect("it does not panic");
    });
}

/// A sleeper arms at two words while the producer still passes for one, at which it had armed
/// before: the producer opens the gate that it has just armed, and wakes it for nothing, so that it
/// arms again.
#[test]
fn no_wakeup_is_lost_to_an_earlier_arming() {
    explore(None, || {
        let (device, producer, mut consumer) = Device::new();
        let push = pushing(&device, producer, [(1, false), (1, false)]);
        device.glance(0, START, 1);
        assert_eq!(device.pop(&mut consumer, 2), 2);
        push.join().expect("it does not panic");
    });
}

/// Two sleepers at the same threshold, as with `poll()` and `epoll_wait()` at once: both are woken,
/// although the gate holds one.
#[test]
fn no_wakeup_of_two_is_lost() {
    explore(Some(5), || {
        let (device, producer, _) = Device::new();
        let other = device.clone();
        let sleep = thread::spawn(move || {
            other.wait(1, START, 1);
        });
        let push = pushing(&device, producer, [(1, false)]);
        device.wait(0, START, 1);
        push.join().expect("it does not panic");
        sleep.join().expect("it does not panic");
    });
}

/// Those who arm and do not sleep take no wake-up from those who do.
#[test]
fn a_glance_takes_no_wakeup() {
    explore(Some(5), || {
        let (device, producer, _) = Device::new();
        let other = device.clone();
        let glance = thread::spawn(move || {
            other.glance(1, START, 1);
        });
        let push = pushing(&device, producer, [(1, false)]);
        device.wait(0, START, 1);
        push.join().expect("it does not panic");
        glance.join().expect("it does not panic");
    });
}
