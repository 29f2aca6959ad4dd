// SPDX-License-Identifier: MIT OR GPL-2.0

//! What is fit for a real-time thread neither allocates nor enters the kernel.
//!
//! Locks are not looked for by themselves: one that is contended is a system call, and one that is not
//! would be the only lock of a consumer that `&mut` keeps to one thread.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use common::{Fake, CAPACITY};
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult};
use rtshm::{ClockRatio, Consumer, Error, Kind, State};

/// The system's allocator, which counts the calls of each thread.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends is none that we ask about.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: All is passed on to the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: By this function's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: By this function's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: By this function's contract.
        unsafe { System.realloc(start, layout, len) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count();
        // SAFETY: By this function's contract.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread allocates or frees in `work`.
fn allocator_calls(work: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

/// How many events of each kind there were.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    formats: u64,
    states: u64,
    chunks: u64,
    lost: u64,
    volumes: u64,
}

/// A ring that has wrapped, with events of all kinds, and what it has.
fn full() -> (Fake, Consumer, Counts) {
    let mut fake = Fake::new();
    let mut consumer = fake.consumer().unwrap();
    assert!(fake.format(48_000, 2, 1000));
    // Three quarters of the ring, so that a chunk will lie over its end.
    while fake.write_count() < CAPACITY / 4 * 3 {
        assert!(fake.audio(2, 0, 0, &[0.5; 512]));
    }
    while consumer.pop().unwrap().is_some() {}

    let mut counts = Counts::default();
    for _ in 0..3 {
        assert!(fake.volume(-1250, 1));
        assert!(fake.format(44_100, 2, 1000));
        assert!(fake.state(State::Start, 0));
        // Of a kind that is skipped.
        assert!(fake.push(99, 0, 0, &[&[1; 300]]));
        assert!(fake.lost(300, 0, 0));
        counts.volumes += 1;
        counts.formats += 1;
        counts.states += 1;
        counts.lost += 1;
        for _ in 0..8 {
            assert!(fake.audio(2, 0, 0, &[0.5; 512]));
            counts.chunks += 1;
        }
    }
    assert!(fake.write_count() > CAPACITY + 4096, "it has not wrapped");
    (fake, consumer, counts)
}

/// All that a real-time thread may do, until there is nothing to pop.
fn work(consumer: &mut Consumer) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    let mut peak = 0.0f32;
    loop {
        consumer.unread()?;
        consumer.request_rate(ClockRatio::MAX);
        consumer.clear_rate_request();
        consumer.set_wake_threshold(4096);
        std::hint::black_box((consumer.clock_ratio(), consumer.capacity()));
        let Some(event) = consumer.pop()? else {
            break;
        };
        event.put_back();
        let Some(event) = consumer.pop()? else {
            break;
        };
        std::hint::black_box((event.position(), event.is_resync()));
        match event.kind() {
            Kind::Format(_) => counts.formats += 1,
            Kind::State(_) => counts.states += 1,
            Kind::Audio(chunk) => {
                peak = chunk.samples.iter().fold(peak, |peak, s| peak.max(*s));
                counts.chunks += 1;
            }
            Kind::Lost(_) => counts.lost += 1,
            Kind::Volume(_) => counts.volumes += 1,
            _ => {}
        }
    }
    std::hint::black_box(peak);
    Ok(counts)
}

type Expected = fn(&Error) -> bool;

/// Rings of which nothing can be popped, and what is said then.
fn broken() -> [(Fake, Consumer, Expected); 2] {
    let broken = |fill: fn(&mut Fake), expected: Expected| {
        let mut fake = Fake::new();
        let consumer = fake.consumer().unwrap();
        fill(&mut fake);
        (fake, consumer, expected)
    };
    [
        broken(
            |fake| fake.publish_raw(&[0xff; 64], 64),
            |error| matches!(error, Error::Malformed { .. }),
        ),
        broken(
            |fake| fake.publish_raw(&[], CAPACITY + 64),
            |error| matches!(error, Error::Counter { .. }),
        ),
    ]
}

#[test]
fn nothing_is_allocated() {
    assert_ne!(
        allocator_calls(|| drop(std::hint::black_box(Box::new(1)))),
        0,
        "an allocation that is not counted"
    );
    let (_fake, mut consumer, expected) = full();
    let calls = allocator_calls(|| assert_eq!(work(&mut consumer).unwrap(), expected));
    assert_eq!(calls, 0);
    for (_fake, mut consumer, is_expected) in broken() {
        let calls = allocator_calls(|| assert!(is_expected(&work(&mut consumer).unwrap_err())));
        assert_eq!(calls, 0);
    }
}

/// Kills this process at its next system call but the one that ends it.
fn forbid_system_calls() -> nix::Result<()> {
    // CAST: The constants are small, and have the types of other places that use them.
    let statement = |code: u32, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut filter = [
        // The number of the system call: the first word of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                libc::SYS_exit_group as u32,
            )
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    let (zero, one) = (0 as libc::c_ulong, 1 as libc::c_ulong);
    // Its end is no crash to keep.
    // SAFETY: It takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, zero, zero, zero, zero) };
    nix::errno::Errno::result(result)?;
    // SAFETY: As above.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) };
    nix::errno::Errno::result(result)?;
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: The program and its filter are there, as long as it says.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &program) };
    nix::errno::Errno::result(result).map(drop)
}

/// How a process ends that makes no system call but in `work`, which returns whether all was well.
fn without_system_calls(work: impl FnOnce() -> bool) -> WaitStatus {
    // SAFETY: The child, which has the one thread only, does not allocate (see the test above) and
    // ends without any destructor.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        ForkResult::Child => {
            let code = match forbid_system_calls() {
                Err(_) => 2,
                Ok(()) if work() => 0,
                Ok(()) => 1,
            };
            // SAFETY: Ends this process.
            unsafe { libc::_exit(code) }
        }
    }
}

fn killed(status: WaitStatus) -> bool {
    matches!(status, WaitStatus::Signaled(_, Signal::SIGSYS, _))
}

fn well(status: WaitStatus) -> bool {
    matches!(status, WaitStatus::Exited(_, 0))
}

#[test]
fn no_system_call_is_made() {
    let (_fake, mut consumer, expected) = full();
    let status =
        without_system_calls(|| work(&mut consumer).is_ok_and(|counts| counts == expected));
    assert!(well(status), "{status:?}");
    for (_fake, mut consumer, is_expected) in broken() {
        let status = without_system_calls(|| work(&mut consumer).is_err_and(|e| is_expected(&e)));
        assert!(well(status), "{status:?}");
    }
}

#[test]
fn a_system_call_would_be_seen() {
    assert!(well(without_system_calls(|| true)));
    assert!(killed(without_system_calls(|| nix::unistd::getppid()
        .as_raw()
        != 0)));
    let fake = Fake::new();
    let consumer = fake.consumer().unwrap();
    assert!(killed(without_system_calls(|| {
        consumer.wait(Some(Duration::ZERO)).is_ok()
    })));
}
