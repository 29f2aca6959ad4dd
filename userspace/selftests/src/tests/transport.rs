// SPDX-License-Identifier: MIT OR GPL-2.0

//! Start, pause, stop, drain, xrun: what the consumer is told, and at which frame.

use std::fs;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::NonNull;

use alsa::pcm::{Access, Format, HwParams, State as PcmState, PCM};
use alsa::poll::Descriptors;
use alsa::{Direction, ValueOr};
use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::libc::{c_ulong, c_void};
use nix::sys::mman::{mmap, munmap, MapFlags, ProtFlags};
use rtshm::State;

use super::tests;
use crate::app::{App, Setup};
use crate::material::noise;
use crate::module;
use crate::recording::Microphone;
use crate::tape::{only_take, takes, Recorder};
use crate::time::{sleep_ms, wait_until};

tests!(transport: pause_and_resume, pause_and_drop, drain_while_running, drain_of_nothing, xrun, play_after_xrun, drop_at_once, close_without_drain, nonstop, reset_while_playing, drain_behind_the_end, rewind_everything, linked, impossible_pointer,);

/// A pause splits the stream at a frame; nothing moves until it goes on.
fn pause_and_resume() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 14_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    for _ in 0..2 {
        sleep_ms(60);
        app.pcm.pause(true)?;
        ensure!(app.pcm.state() == PcmState::Paused);
        let delay = app.pcm.delay()?;
        sleep_ms(60);
        ensure!(app.pcm.delay()? == delay, "it moves while it pauses");
        app.pcm.pause(false)?;
    }
    app.pcm.drain()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[
        State::Start,
        State::Pause,
        State::Resume,
        State::Pause,
        State::Resume,
        State::Drain,
        State::Stop,
    ])?;
    for (pause, resume) in [(1, 2), (3, 4)] {
        let (pause, resume) = (take.changes[pause], take.changes[resume]);
        ensure!(pause.position == resume.position, "{pause:?}, {resume:?}");
        ensure!(
            resume.time >= pause.time + 60_000_000,
            "{pause:?}, {resume:?}"
        );
    }
    take.check_all_of(&material)
}

/// A stream that is dropped while it pauses. ALSA lets it go on for that moment.
fn pause_and_drop() -> Result<()> {
    module::ready()?;
    let material = noise(Format::FloatLE, 1, 14_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::of(&material))?;
    app.write(&material)?;
    sleep_ms(50);
    app.pcm.pause(true)?;
    sleep_ms(20);
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Pause, State::Resume, State::Stop])?;
    ensure!(take.changes[1].position == take.changes[2].position);
    take.check_part_of(&material)
}

/// A drain in the middle of a period, of a stream that has been running for a while.
fn drain_while_running() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 10 * 1024 + 300, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    sleep_ms(40);
    app.pcm.drain()?;
    ensure!(app.pcm.state() == PcmState::Setup);
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Drain, State::Stop])?;
    ensure!(take.changes[1].position > 0, "it was drained before it ran");
    take.check_all_of(&material)
}

/// To drain a stream that has nothing to play is no stream at all.
fn drain_of_nothing() -> Result<()> {
    module::ready()?;
    let streams = module::status()?.streams;
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.pcm.drain()?;
    drop(app);
    ensure!(module::status()?.streams == streams);
    let (_, tape) = recorder.stop()?;
    ensure!(tape.is_empty(), "{tape:?}");
    Ok(())
}

/// An application that stops writing: its frames are played, all of them and no others, then the
/// stream ends by an xrun.
fn xrun() -> Result<()> {
    module::ready()?;
    let before = module::status()?.xruns;
    for frames in [5_000, 4_096, 4_097] {
        let material = noise(Format::S16LE, 2, frames, frames);
        let recorder = Recorder::open(1)?;
        let app = App::open(&Setup::default())?;
        app.write(&material)?;
        let take = only_take(&recorder.finish()?)?;
        take.check_states(&[State::Start, State::Xrun])?;
        take.check_all_of(&material)?;
        ensure!(app.pcm.state() == PcmState::XRun);
        let late = app.pcm.avail().err().map(|error| error.errno());
        ensure!(late == Some(Errno::EPIPE as i32), "avail() says {late:?}");
    }
    ensure!(module::status()?.xruns == before + 3);
    Ok(())
}

/// After an xrun the next stream is like any other.
fn play_after_xrun() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(2)?;
    let material = noise(Format::S16LE, 2, 3_000, 1);
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    wait_until("the xrun", || Ok(app.pcm.avail().is_err()))?;
    app.pcm.prepare()?;
    let second = noise(Format::S16LE, 2, 3_000, 2);
    app.play(&second)?;
    let takes = takes(&recorder.finish()?)?;
    takes[0].check_states(&[State::Start, State::Xrun])?;
    takes[0].check_all_of(&material)?;
    takes[1].check_states(&[State::Start, State::Drain, State::Stop])?;
    takes[1].check_all_of(&second)
}

/// `snd_pcm_drop()` stops at once: what was played is there, what was not is not.
fn drop_at_once() -> Result<()> {
    module::ready()?;
    let material = noise(Format::S16LE, 2, 16_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.write(&material)?;
    sleep_ms(70);
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Stop])?;
    let (start, stop) = (take.changes[0], take.changes[1]);
    let played = crate::time::frames(stop.time - start.time, take.format.rate);
    ensure!(
        take.frames() == stop.position,
        "{} frames, {stop:?}",
        take.frames()
    );
    ensure!(
        stop.position == played.min(16_000),
        "{stop:?}, but time for {played} frames"
    );
    take.check_part_of(&material)
}

/// An application that is killed, or closes without a drain, stops the stream.
fn close_without_drain() -> Result<()> {
    module::ready()?;
    let setup = Setup {
        buffer: 131_072,
        ..Setup::default()
    };
    let material = noise(Format::S16LE, 2, 128_000, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    sleep_ms(40);
    drop(app);
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Stop])?;
    ensure!(
        (1..128_000).contains(&take.frames()),
        "{} frames",
        take.frames()
    );
    take.check_part_of(&material)
}

/// A stream that does not stop for want of sound (a mixer's) goes round its buffer: what is in it
/// is played again, as hardware does.
fn nonstop() -> Result<()> {
    module::ready()?;
    let setup = Setup::round();
    let material = noise(Format::S16LE, 2, 4_096, 1);
    let recorder = Recorder::open(1)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    // The buffer is 85 ms long.
    sleep_ms(200);
    ensure!(app.pcm.state() == PcmState::Running);
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Stop])?;
    ensure!(take.frames() > 8_192, "{} frames", take.frames());
    take.check_part_of(&material.repeated(take.frames()))
}

/// A reset asks for the position while the stream counts as being configured; nothing that is played
/// then is missing or another, for the consumer or for a recorder.
fn reset_while_playing() -> Result<()> {
    module::ready()?;
    let setup = Setup::round();
    let material = noise(Format::S16LE, 2, 4_096, 1);
    let microphone = Microphone::start(&Setup {
        buffer: 65_536,
        ..setup
    })?;
    let recorder = Recorder::open(1)?;
    let app = App::open(&setup)?;
    app.write(&material)?;
    for _ in 0..40 {
        sleep_ms(5);
        app.pcm.reset()?;
    }
    app.pcm.drop()?;
    let take = only_take(&recorder.finish()?)?;
    ensure!(take.frames() > 8_192, "{} frames", take.frames());
    let material = material.repeated(take.frames());
    take.check_part_of(&material)?;
    // It lags by a chunk and 2 ms.
    sleep_ms(100);
    let played = material.part(0, take.frames());
    microphone.stop()?.check_only(&played)
}

/// Draining a stream that has run past its data ends at once, though its pointer has gone beyond
/// what would still move it.
fn drain_behind_the_end() -> Result<()> {
    module::ready()?;
    let setup = Setup::round();
    let recorder = Recorder::open(1)?;
    let app = App::open(&setup)?;
    app.write(&noise(Format::S16LE, 2, 4_096, 1))?;
    // The buffer is 85 ms long. The query has ALSA see where the pointer is.
    sleep_ms(200);
    app.pcm.status()?;
    app.pcm.drain()?;
    ensure!(app.pcm.state() == PcmState::Setup);
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Drain, State::Stop])
}

/// An application that takes back all that it has queued is late.
fn rewind_everything() -> Result<()> {
    module::ready()?;
    let recorder = Recorder::open(1)?;
    let app = App::open(&Setup::default())?;
    app.write(&noise(Format::S16LE, 2, 4_096, 1))?;
    if app.pcm.state() == PcmState::Prepared {
        app.pcm.start()?;
    }
    sleep_ms(20);
    loop {
        let mut frames = 4_096;
        // SAFETY: The kernel reads and writes this number.
        match unsafe { rewind(descriptor(&app.pcm)?, &raw mut frames) } {
            Ok(_) if frames != 0 => {}
            // Nothing is left, or the card has found so.
            Ok(_) | Err(Errno::EPIPE) => break,
            Err(errno) => bail!("rewind: {errno}"),
        }
    }
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Xrun])?;
    ensure!(take.frames() < 4_096, "{} frames", take.frames());
    ensure!(app.pcm.state() == PcmState::XRun);
    Ok(())
}

/// Linked with another card's stream, it starts and stops with that.
fn linked() -> Result<()> {
    module::ready()?;
    let setup = Setup {
        start_threshold: Some(16_384),
        ..Setup::default()
    };
    let material = noise(Format::S16LE, 2, 12_000, 1);
    let recorder = Recorder::open(1)?;
    let other = PCM::new("hw:HDA", Direction::Playback, false)?;
    let hw = HwParams::any(&other)?;
    hw.set_access(Access::RWInterleaved)?;
    hw.set_format(Format::S16LE)?;
    hw.set_channels(2)?;
    hw.set_rate(48_000, ValueOr::Nearest)?;
    hw.set_buffer_size(24_000)?;
    other.hw_params(&hw)?;
    let sw = other.sw_params_current()?;
    sw.set_start_threshold(24_000)?;
    other.sw_params(&sw)?;
    let app = App::open(&setup)?;
    app.pcm.link(&other)?;
    other.io_bytes().writei(&material.bytes)?;
    app.write(&material)?;
    ensure!(app.pcm.state() == PcmState::Prepared);
    other.start()?;
    ensure!(
        app.pcm.state() == PcmState::Running,
        "it does not start with the other"
    );
    sleep_ms(50);
    other.drop()?;
    ensure!(
        app.pcm.state() == PcmState::Setup,
        "it does not stop with the other"
    );
    drop(app);
    let take = only_take(&recorder.finish()?)?;
    take.check_states(&[State::Start, State::Stop])?;
    take.check_part_of(&material)
}

/// An application that writes nonsense where it says how far it has written, in the page that it
/// shares with the kernel: the stream may stand still or end, and nothing spins or breaks.
fn impossible_pointer() -> Result<()> {
    module::ready()?;
    let setup = Setup::default();
    let boundary = |app: &App| -> Result<u64> {
        Ok(u64::try_from(app.pcm.sw_params_current()?.get_boundary()?)?)
    };
    for which in 0..6u64 {
        let app = App::open(&setup)?;
        app.write(&noise(Format::S16LE, 2, 8_000, 1))?;
        let boundary = boundary(&app)?;
        let value = match which {
            0 => boundary + 9_000,
            1 => boundary * 2 + 9_000,
            2 => u64::MAX,
            3 => 1 << 63,
            4 => boundary - 1,
            _ => 30_000,
        };
        let control = control_page(&app.pcm)?;
        // SAFETY: The page begins with the application's pointer.
        unsafe { control.cast::<u64>().write_volatile(value) };
        let before = interrupt_millis()?;
        sleep_ms(300);
        let busy = interrupt_millis()? - before;
        ensure!(
            busy < 150,
            "pointer {value:#x}: {busy} of 300 ms in soft interrupts"
        );
        // It would keep the card open.
        // SAFETY: It is not used any more.
        unsafe { munmap(control, 4096) }?;
        drop(app);
    }
    let recorder = Recorder::open(1)?;
    let material = noise(Format::S16LE, 2, 3_000, 1);
    App::open(&setup)?.play(&material)?;
    only_take(&recorder.finish()?)?.check_all_of(&material)
}

// The kernel writes the number, too, whatever the ioctl's number says.
nix::ioctl_write_ptr!(rewind, b'A', 0x46, c_ulong);

/// The descriptor of a PCM of the kernel's.
fn descriptor(pcm: &PCM) -> Result<RawFd> {
    Ok(pcm.get()?.first().context("no descriptor")?.fd)
}

/// The page that an application shares with the kernel.
fn control_page(pcm: &PCM) -> Result<NonNull<c_void>> {
    /// `SNDRV_PCM_MMAP_OFFSET_CONTROL_OLD` and `_NEW` of `<sound/asound.h>`.
    const OFFSETS: [i64; 2] = [0x8300_0000, 0x8100_0000];
    // SAFETY: alsa-lib keeps the descriptor open as long as the PCM.
    let fd = unsafe { BorrowedFd::borrow_raw(descriptor(pcm)?) };
    let size = NonZeroUsize::new(4096).context("empty")?;
    let rights = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let map = |offset| {
        // SAFETY: The kernel chooses the place.
        unsafe { mmap(None, size, rights, MapFlags::MAP_SHARED, fd, offset) }
    };
    OFFSETS
        .into_iter()
        .find_map(|offset| map(offset).ok())
        .context("the control page cannot be mapped")
}

/// Milliseconds that the CPUs have spent in soft interrupts.
fn interrupt_millis() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    // user nice system idle iowait irq softirq, in hundredths of a second
    let field = text.split_whitespace().nth(7).context("no softirq")?;
    Ok(field.parse::<u64>()? * 10)
}
