// SPDX-License-Identifier: MIT OR GPL-2.0

//! 32-bit programs: the device has the same layouts and errors for them, and ALSA's own calls work.

use alsa::ctl::ElemType;
use alsa::pcm::Format;
use alsa::{Ctl, Direction};
use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;
use rtshm_abi::ioctl::{Info, Status, INFO, MAGIC, STATUS};
use rtshm_abi::layout::ABI_VERSION;

use super::tests;
use crate::compat::{check_supported, File, Low};
use crate::controls::Element;
use crate::hw_params::{self, read_write, HwParams, Interval};
use crate::material::noise;
use crate::module::{self, CARD, NODE};
use crate::raw::{Node, READ, WRITE};
use crate::tape::{only_take, Recorder};
use crate::time::wait_until;

tests!(callers_32_bit: device_ioctls, device_windows, device_poll, pcm_info, pcm_refine, pcm_plays, mixer);

fn ready() -> Result<()> {
    check_supported()?;
    module::ready()
}

fn device(mode: i32) -> Result<File> {
    File::open(NODE, mode)
}

fn ior(kind: u8, number: u8, size: usize) -> u64 {
    2 << 30 | (size as u64) << 16 | u64::from(kind) << 8 | u64::from(number)
}

fn device_ioctls() -> Result<()> {
    ready()?;
    let (info, status) = (
        ior(MAGIC, INFO, size_of::<Info>()),
        ior(MAGIC, STATUS, size_of::<Status>()),
    );
    let file = device(libc::O_RDWR)?;
    let place = Low::new(4096)?;
    file.ioctl(info, place.at(0))?;
    let observer = Node::observer()?;
    ensure!(place.get::<Info>() == observer.info()?);
    file.ioctl(status, place.at(0))?;
    ensure!(place.get::<Status>() == observer.status()?);
    ensure!(place.get::<Status>().consumer_pid == std::process::id());
    for number in [ior(MAGIC, 0xff, 64), ior(MAGIC, INFO, 32), 0, 0xffff_ffff] {
        let result = file.ioctl(number, place.at(0));
        ensure!(result == Err(Errno::ENOTTY), "{number:#x}: {result:?}");
    }
    for pointer in [0, 8, 0xffff_f000, 0xffff_ffff] {
        let result = file.ioctl(info, pointer);
        ensure!(result == Err(Errno::EFAULT), "{pointer:#x}: {result:?}");
    }
    Ok(())
}

fn device_windows() -> Result<()> {
    ready()?;
    let file = device(libc::O_RDWR)?;
    let capacity = module::device()?.info()?.capacity as u32;
    let producer = file.map(0, 4096, READ)?;
    ensure!(producer[0] == ABI_VERSION, "{producer:?}");
    ensure!((producer[2], producer[3]) == (capacity, 0), "{producer:?}");
    file.map(1, 4096, WRITE)?;
    file.map(2, 2 * capacity, READ)?;
    for (page, len) in [(0, 8192), (2, 4096), (2, capacity), (3, 2 * capacity)] {
        let result = file.map(page, len, READ);
        ensure!(result == Err(Errno::EINVAL), "{page}, {len}: {result:?}");
    }
    // As far as 32 bits reach, in pages.
    let result = file.map(u32::MAX, 4096, READ);
    ensure!(result == Err(Errno::EINVAL), "{result:?}");
    for (page, len) in [(0, 4096), (2, 2 * capacity)] {
        let result = file.map(page, len, WRITE);
        ensure!(result == Err(Errno::EPERM), "{page}: {result:?}");
    }
    let result = device(libc::O_RDONLY)?.map(0, 4096, READ);
    ensure!(result == Err(Errno::EACCES), "observer: {result:?}");
    Ok(())
}

fn device_poll() -> Result<()> {
    ready()?;
    let observer = device(libc::O_RDONLY)?;
    ensure!(observer.poll(0)? == libc::POLLERR);
    // The volume is told at once.
    let consumer = device(libc::O_RDWR)?;
    ensure!(consumer.poll(0)? == libc::POLLIN);
    Ok(())
}

fn pcm() -> Result<File> {
    File::open(&hw_params::path(Direction::Playback)?, libc::O_RDWR)
}

fn pcm_info() -> Result<()> {
    ready()?;
    // `struct snd_pcm_info`, the same for all: device, subdevice, stream, card, id.
    const LEN: usize = 288;
    let place = Low::new(LEN)?;
    pcm()?.ioctl(ior(b'A', 0x01, LEN), place.at(0))?;
    let words: [u32; 4] = place.get();
    ensure!(words[..3] == [0, 0, 0], "{words:?}");
    ensure!(words[3] == module::device()?.info()?.card, "{words:?}");
    let result = pcm()?.ioctl(ior(b'A', 0x01, LEN), 0);
    ensure!(result == Err(Errno::EFAULT), "{result:?}");
    Ok(())
}

/// A refinement has the results that a 64-bit program gets.
fn pcm_refine() -> Result<()> {
    ready()?;
    let number = read_write::<HwParams<u32>>(hw_params::HW_REFINE);
    let params = Low::holding(&HwParams::<u32>::any())?;
    pcm()?.ioctl(number, params.at(0))?;
    let params: HwParams<u32> = params.get();
    let mut native = HwParams::any();
    hw_params::Device::open(Direction::Playback)?.refine(&mut native)?;
    for mask in [hw_params::ACCESS, hw_params::FORMAT, hw_params::SUBFORMAT] {
        ensure!(params.mask(mask) == native.mask(mask), "mask {mask}");
    }
    for interval in hw_params::SAMPLE_BITS..=hw_params::BUFFER_BYTES {
        ensure!(
            params.interval(interval) == native.interval(interval),
            "interval {interval}: {:?}, {:?}",
            params.interval(interval),
            native.interval(interval)
        );
    }
    ensure!(params.info == native.info);
    let mut beyond = HwParams::<u32>::any();
    beyond.set_interval(hw_params::RATE, Interval::exactly(768_001));
    let result = pcm()?.ioctl(number, Low::holding(&beyond)?.at(0));
    ensure!(result == Err(Errno::EINVAL), "{result:?}");
    Ok(())
}

/// Sets the PCM up, writes and drains, without a call of a 64-bit program.
fn pcm_plays() -> Result<()> {
    ready()?;
    let material = noise(Format::S16LE, 2, 9_000, 32);
    let recorder = Recorder::open(1)?;
    let pcm = pcm()?;
    let mut params = HwParams::<u32>::any();
    params.set_value(hw_params::ACCESS, 3);
    params.set_value(hw_params::FORMAT, 2);
    for (parameter, value) in [
        (hw_params::CHANNELS, 2),
        (hw_params::RATE, 48_000),
        (hw_params::PERIOD_SIZE, 4_800),
        (hw_params::BUFFER_SIZE, 48_000),
    ] {
        params.set_interval(parameter, Interval::exactly(value));
    }
    let params = Low::holding(&params)?;
    let number = read_write::<HwParams<u32>>(hw_params::HW_PARAMS);
    pcm.ioctl(number, params.at(0)).context("HW_PARAMS")?;
    // `_IO('A', 0x40)`.
    pcm.ioctl(0x4140, 0).context("PREPARE")?;
    let sound = Low::new(material.bytes.len())?;
    sound.put(&material.bytes);
    // `struct snd_xferi`: the result, a pointer, a number of frames.
    let transfer = Low::holding(&[0u32, sound.at(0), 9_000])?;
    let write = 1 << 30 | 12 << 16 | 0x4150;
    pcm.ioctl(write, transfer.at(0)).context("WRITEI_FRAMES")?;
    ensure!(
        transfer.get::<[u32; 3]>()[0] == 9_000,
        "not all was written"
    );
    pcm.ioctl(0x4144, 0).context("DRAIN")?;
    let take = only_take(&recorder.finish()?)?;
    take.check_all_of(&material)?;
    // A pointer to nowhere.
    pcm.ioctl(0x4140, 0).context("PREPARE")?;
    let nowhere = Low::holding(&[0u32, 0xffff_0000, 100])?;
    let result = pcm.ioctl(write, nowhere.at(0));
    ensure!(result == Err(Errno::EFAULT), "{result:?}");
    Ok(())
}

fn mixer() -> Result<()> {
    ready()?;
    let card = module::device()?.info()?.card;
    let control = File::open(&format!("/dev/snd/controlC{card}"), libc::O_RDWR)?;
    // `struct snd_ctl_elem_list`: offset, space, used, count, a pointer, 50 bytes.
    let ids = Low::new(64 * 64)?;
    let mut list = [0u32; 18];
    (list[1], list[4]) = (64, ids.at(0));
    let place = Low::holding(&list)?;
    let number = read_write::<[u32; 18]>(0x10) & !0xff00 | u64::from(b'U') << 8;
    control.ioctl(number, place.at(0)).context("ELEM_LIST")?;
    let list: [u32; 18] = place.get();
    let native = Ctl::new(&format!("hw:{CARD}"), false)?
        .elem_list()?
        .get_used();
    ensure!(list[2] == native && list[3] == native, "{list:?}, {native}");
    // `struct snd_ctl_elem_value`: the id, which is a number and names; a flag; the values.
    let volume = Element::mixer(c"Master Playback Volume", ElemType::Integer)?;
    let mut value = [0u8; 708];
    let name = b"Master Playback Volume";
    value[4..8].copy_from_slice(&2u32.to_le_bytes());
    value[16..16 + name.len()].copy_from_slice(name);
    let number = read_write::<[u8; 708]>(0x13) & !0xff00 | u64::from(b'U') << 8;
    for (wanted, expected) in [
        (100i32, Ok(())),
        (257, Err(Errno::EINVAL)),
        (-1, Err(Errno::EINVAL)),
    ] {
        value[68..72].copy_from_slice(&wanted.to_le_bytes());
        let result = control.ioctl(number, Low::holding(&value)?.at(0)).map(drop);
        ensure!(result == expected, "{wanted}: {result:?}");
    }
    ensure!(volume.get()? == 100);
    volume.set(256)?;
    drop(control);
    wait_until("the card to be unused", || Ok(volume.get()? == 256))
}
