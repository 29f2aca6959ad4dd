// SPDX-License-Identifier: MIT OR GPL-2.0

//! What must be refused, and with which error: everything at and past its limits, by system calls that
//! no library would make.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::ptr;

use alsa::Direction;
use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc::{self, c_void};
use nix::sys::mman::{MapFlags, ProtFlags};
use rtshm_abi::ioctl::{Info, Status, INFO, MAGIC, STATUS};

use super::tests;
use crate::hw_params::{self, read_write, Device, HwParams, Interval, HW_PARAMS, HW_REFINE};
use crate::module;
use crate::raw::{Node, READ, WRITE};

tests!(bad_input: every_ioctl_number, every_window, parameters_at_their_limits, parameters_beyond, impossible_parameters, pcm_pointers, values_beyond);

/// Calls an ioctl with whatever number and pointer.
fn ioctl(file: &File, number: u64, pointer: *mut c_void) -> Result<i32, Errno> {
    // SAFETY: What these tests pass is no memory of ours, or as large as the number says.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), number as _, pointer) })
}

/// All numbers of our kind in all directions, with sizes right and wrong.
fn every_ioctl_number() -> Result<()> {
    module::ready()?;
    let ours = |number: u64| {
        let known = [(INFO, size_of::<Info>()), (STATUS, size_of::<Status>())];
        known.iter().any(|&(which, size)| {
            number == 2 << 30 | (size as u64) << 16 | u64::from(MAGIC) << 8 | u64::from(which)
        })
    };
    let mut buffer = vec![0xa5u8; 1 << 14];
    for node in [Node::consumer()?, Node::observer()?] {
        for direction in 0..4u64 {
            for size in [0, 1, 8, 56, 64, 72, 112, 120, 128, 136, 256, 4096, 0x3fff] {
                for which in 0..=0xff {
                    let number = direction << 30 | size << 16 | u64::from(MAGIC) << 8 | which;
                    if ours(number) {
                        continue;
                    }
                    let result = ioctl(node.file(), number, buffer.as_mut_ptr().cast());
                    ensure!(result == Err(Errno::ENOTTY), "{number:#x}: {result:?}");
                }
            }
        }
    }
    ensure!(
        buffer.iter().all(|byte| *byte == 0xa5),
        "something was written"
    );
    Ok(())
}

/// Every run of pages that begins in the region or behind it, with all rights: only the three windows
/// can be mapped, and only with theirs.
fn every_window() -> Result<()> {
    module::ready_with("ring_kib=64")?;
    let (consumer, observer) = (Node::consumer()?, Node::observer()?);
    let geometry = consumer.geometry()?;
    let page = geometry.page_size();
    let pages = geometry.region_len() / page;
    let exec = ProtFlags::PROT_EXEC;
    let all_rights = [
        ProtFlags::PROT_NONE,
        READ,
        WRITE,
        ProtFlags::PROT_WRITE,
        exec,
        READ | exec,
        WRITE | exec,
    ];
    for first in 0..=pages + 1 {
        for count in 1..=pages + 1 {
            let (offset, len) = (first * page, count * page);
            let writable = match (first, count) {
                (0, 1) => Some(false),
                (1, 1) => Some(true),
                (2, count) if count == pages - 2 => Some(false),
                _ => None,
            };
            for rights in all_rights {
                let more = rights.contains(exec)
                    || rights.contains(ProtFlags::PROT_WRITE) && writable == Some(false);
                let expected = match writable {
                    None => Some(Errno::EINVAL),
                    Some(_) if more => Some(Errno::EPERM),
                    Some(_) => None,
                };
                let shared = MapFlags::MAP_SHARED;
                let got = consumer.map(offset, len, rights, shared).err();
                ensure!(
                    got == expected,
                    "{count} pages from {first} on, {rights:?}: {got:?} instead of {expected:?}"
                );
                if count < 3 {
                    let got = observer.map(offset, len, rights, shared).err();
                    ensure!(got == Some(Errno::EACCES), "observer: {got:?}");
                    let got = consumer
                        .map(offset, len, rights, MapFlags::MAP_PRIVATE)
                        .err();
                    let refused = matches!(got, Some(Errno::EINVAL | Errno::EPERM));
                    ensure!(refused, "private: {got:?}");
                }
            }
        }
    }
    // Not at a page.
    for offset in [1, 8, page - 1, page + 64] {
        let got = consumer.map(offset, page, READ, MapFlags::MAP_SHARED).err();
        ensure!(got == Some(Errno::EINVAL), "at {offset}: {got:?}");
    }
    Ok(())
}

/// A configuration that is possible, and as small as can be told.
fn base() -> HwParams {
    let mut params = HwParams::any();
    params.set_value(hw_params::ACCESS, 3);
    params.set_value(hw_params::FORMAT, 2);
    params.set_value(hw_params::SUBFORMAT, 0);
    params.set_interval(hw_params::CHANNELS, Interval::exactly(2));
    params.set_interval(hw_params::RATE, Interval::exactly(48_000));
    params
}

/// Both directions, and refining as well as setting up.
fn outcomes(params: &HwParams) -> Result<[Result<(), Errno>; 4]> {
    let mut outcomes = [Ok(()); 4];
    for (index, direction) in [Direction::Playback, Direction::Capture].iter().enumerate() {
        let device = Device::open(*direction)?;
        outcomes[2 * index] = device.refine(&mut params.clone());
        outcomes[2 * index + 1] = device.set_up(&mut params.clone());
    }
    Ok(outcomes)
}

type Limit = (usize, u32);

/// Each limit by hand, and what is just beyond it.
const AT: [Limit; 12] = [
    (hw_params::CHANNELS, 1),
    (hw_params::CHANNELS, 64),
    (hw_params::RATE, 8_000),
    (hw_params::RATE, 768_000),
    (hw_params::PERIOD_SIZE, 16),
    (hw_params::PERIOD_SIZE, (2 << 20) / 4),
    (hw_params::PERIOD_BYTES, 64),
    (hw_params::PERIOD_BYTES, 2 << 20),
    (hw_params::PERIODS, 2),
    (hw_params::PERIODS, 1_024),
    (hw_params::BUFFER_BYTES, 4 << 20),
    (hw_params::SAMPLE_BITS, 16),
];

const BEYOND: [Limit; 22] = [
    (hw_params::CHANNELS, 0),
    (hw_params::CHANNELS, 65),
    (hw_params::CHANNELS, u32::MAX),
    (hw_params::RATE, 0),
    (hw_params::RATE, 7_999),
    (hw_params::RATE, 768_001),
    (hw_params::RATE, u32::MAX),
    (hw_params::PERIOD_SIZE, 0),
    (hw_params::PERIOD_SIZE, 15),
    (hw_params::PERIOD_SIZE, (2 << 20) / 4 + 1),
    (hw_params::PERIOD_SIZE, u32::MAX),
    (hw_params::PERIOD_BYTES, 60),
    (hw_params::PERIOD_BYTES, (2 << 20) + 4),
    (hw_params::PERIODS, 0),
    (hw_params::PERIODS, 1),
    (hw_params::PERIODS, 1_025),
    (hw_params::PERIODS, u32::MAX),
    (hw_params::BUFFER_SIZE, 31),
    (hw_params::BUFFER_SIZE, (4 << 20) / 4 + 1),
    (hw_params::BUFFER_BYTES, (4 << 20) + 4),
    (hw_params::BUFFER_BYTES, u32::MAX),
    (hw_params::SAMPLE_BITS, 17),
];

fn with((parameter, value): Limit) -> HwParams {
    let mut params = base();
    params.set_interval(parameter, Interval::exactly(value));
    params
}

fn parameters_at_their_limits() -> Result<()> {
    module::ready()?;
    for limit in AT {
        let outcomes = outcomes(&with(limit))?;
        ensure!(outcomes == [Ok(()); 4], "{limit:?}: {outcomes:?}");
    }
    Ok(())
}

fn parameters_beyond() -> Result<()> {
    module::ready()?;
    for limit in BEYOND {
        let outcomes = outcomes(&with(limit))?;
        ensure!(
            outcomes == [Err(Errno::EINVAL); 4],
            "{limit:?}: {outcomes:?}"
        );
    }
    Ok(())
}

/// No values, contradictory ones, and formats and accesses that there are not.
fn impossible_parameters() -> Result<()> {
    module::ready()?;
    let mut all = Vec::new();
    for format in (0..=63).filter(|format| ![1, 2, 6, 10, 14, 32].contains(format)) {
        let mut params = base();
        params.set_value(hw_params::FORMAT, format);
        all.push((format!("format {format}"), params));
    }
    for access in [2, 5, 31, 255] {
        let mut params = base();
        params.set_value(hw_params::ACCESS, access);
        all.push((format!("access {access}"), params));
    }
    for mask in [hw_params::ACCESS, hw_params::FORMAT, hw_params::SUBFORMAT] {
        let mut params = base();
        params.set_none(mask);
        all.push((format!("no value of {mask}"), params));
    }
    for interval in hw_params::SAMPLE_BITS..=hw_params::BUFFER_BYTES {
        for (name, interval_bits) in [("reversed", 0), ("open", 0b11)] {
            let mut params = base();
            let (min, max) = match name {
                "reversed" => (5, 4),
                _ => (48, 48),
            };
            let bits = interval_bits;
            params.set_interval(interval, Interval { min, max, bits });
            all.push((format!("{name} {interval}"), params));
        }
    }
    let mut params = base();
    params.set_interval(hw_params::PERIOD_SIZE, Interval::exactly(1_000));
    params.set_interval(hw_params::BUFFER_SIZE, Interval::exactly(2_500));
    all.push(("two and a half periods".into(), params));
    for (name, params) in all {
        let outcomes = outcomes(&params)?;
        ensure!(outcomes == [Err(Errno::EINVAL); 4], "{name}: {outcomes:?}");
    }
    Ok(())
}

/// The PCM's and the mixer's ioctls with pointers to nowhere.
fn pcm_pointers() -> Result<()> {
    module::ready()?;
    let card = module::device()?.info()?.card;
    let open = |path: &str| {
        let file = OpenOptions::new().read(true).write(true).open(path);
        file.with_context(|| path.to_string())
    };
    let node = Node::consumer()?;
    let read_only = node.producer_page()?;
    let pointers = [
        ptr::null_mut(),
        8 as *mut _,
        usize::MAX as *mut _,
        0xffff_8880_0000_0000_usize as *mut _,
        0xffff_ffff_8100_0000_usize as *mut _,
        0x7fff_ffff_f000_usize as *mut _,
    ];
    let control = |number: u64| number & !0xff00 | u64::from(b'U') << 8;
    let calls = [
        (
            hw_params::path(Direction::Playback)?,
            read_write::<HwParams>(HW_REFINE),
        ),
        (
            hw_params::path(Direction::Playback)?,
            read_write::<HwParams>(HW_PARAMS),
        ),
        (
            hw_params::path(Direction::Capture)?,
            read_write::<HwParams>(HW_REFINE),
        ),
        // ELEM_LIST, ELEM_INFO, ELEM_READ, ELEM_WRITE.
        (
            format!("/dev/snd/controlC{card}"),
            control(read_write::<[u64; 10]>(0x10)),
        ),
        (
            format!("/dev/snd/controlC{card}"),
            control(read_write::<[u64; 34]>(0x11)),
        ),
        (
            format!("/dev/snd/controlC{card}"),
            control(read_write::<[u64; 153]>(0x12)),
        ),
        (
            format!("/dev/snd/controlC{card}"),
            control(read_write::<[u64; 153]>(0x13)),
        ),
    ];
    for (path, number) in &calls {
        let file = open(path)?;
        for pointer in pointers {
            let result = ioctl(&file, *number, pointer);
            ensure!(
                result == Err(Errno::EFAULT),
                "{path}, {number:#x} to {pointer:?}: {result:?}"
            );
        }
    }
    // It can be read but not written.
    let file = open(&hw_params::path(Direction::Playback)?)?;
    let result = ioctl(
        &file,
        read_write::<HwParams>(HW_REFINE),
        read_only.address.as_ptr(),
    );
    ensure!(
        matches!(result, Err(Errno::EFAULT | Errno::EINVAL)),
        "{result:?}"
    );
    drop(file);
    // Our own numbers mean nothing to ALSA's devices.
    for (path, _) in &calls {
        let mut info = Info::default();
        let number = 2 << 30 | (size_of::<Info>() as u64) << 16 | u64::from(MAGIC) << 8;
        let result = ioctl(
            &open(path)?,
            number | u64::from(INFO),
            (&raw mut info).cast(),
        );
        ensure!(result == Err(Errno::ENOTTY), "{path}: {result:?}");
    }
    Ok(())
}

/// Values of mixer elements beyond what alsa-lib can say, such as those that lose bits in an `int`.
fn values_beyond() -> Result<()> {
    module::ready()?;
    let card = module::device()?.info()?.card;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/dev/snd/controlC{card}"))?;
    let number = read_write::<[u64; 153]>(0x13) & !0xff00 | u64::from(b'U') << 8;
    let write = |iface: u32, name: &str, number_of_value: i64| {
        // `struct snd_ctl_elem_value`: numid, iface, device, subdevice, name, index; a flag; values.
        let mut value = [0u8; 1224];
        value[4..8].copy_from_slice(&iface.to_le_bytes());
        value[16..16 + name.len()].copy_from_slice(name.as_bytes());
        value[72..80].copy_from_slice(&number_of_value.to_le_bytes());
        ioctl(&file, number, value.as_mut_ptr().cast())
    };
    // SNDRV_CTL_ELEM_IFACE_MIXER and _PCM.
    const MIXER: u32 = 2;
    const PCM: u32 = 3;
    for (iface, name, inside, beyond) in [
        (MIXER, "Master Playback Volume", 256, 257),
        (MIXER, "Master Playback Switch", 1, 2),
        (PCM, "Playback Pitch 1000000", 1_000_000, 1_005_001),
    ] {
        write(iface, name, inside).with_context(|| name.to_string())?;
        for value in [beyond, -1, 1 << 32 | inside, i64::MAX, i64::MIN, 1 << 31] {
            let result = write(iface, name, value);
            ensure!(
                result == Err(Errno::EINVAL),
                "{name} to {value}: {result:?}"
            );
        }
    }
    // An enumeration's value is 32 bits wide.
    for value in [3, 0x7fff_ffff, 0xffff_ffff] {
        let result = write(PCM, "Clock Source", value);
        ensure!(result == Err(Errno::EINVAL), "source {value}: {result:?}");
        let result = write(PCM, "Delivery", value - 1);
        ensure!(result == Err(Errno::EINVAL), "delivery {value}: {result:?}");
    }
    let result = write(MIXER, "No such element", 0);
    ensure!(result == Err(Errno::ENOENT), "no element: {result:?}");
    Ok(())
}
