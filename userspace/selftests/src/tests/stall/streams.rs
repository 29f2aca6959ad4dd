// SPDX-License-Identifier: MIT OR GPL-2.0

//! Applications that a stall meets.

use alsa_sys as sys;
use anyhow::{bail, ensure, Context, Result};
use nix::errno::Errno;
use rtshm::State;

use super::account::{account, frame, Account};
use crate::material::Material;
use crate::raw_pcm::RawPcm;
use crate::recording::Microphone;
use crate::tape::Recorder;
use crate::time::{frames, nanos, now, sleep_ms};

/// A player that does not stop for want of sound.
pub(super) struct Nonstop {
    pub(super) pcm: RawPcm,
    pub(super) recorder: Recorder,
    /// What is written after the stall.
    pub(super) new: Material,
    /// Where the card's pointer was among the frames of the buffer: between two times.
    pub(super) pointer: Option<(u64, u64, u64)>,
    /// Frames that were written or passed over, up to the new ones.
    pub(super) ahead: u64,
}

impl Nonstop {
    pub(super) fn start(
        pcm: RawPcm,
        recorder: Recorder,
        old: &Material,
        new: Material,
    ) -> Result<Self> {
        let written = pcm.write(&old.bytes)?;
        ensure!(written as u64 == old.frames(), "{written} frames written");
        pcm.start()?;
        Ok(Self {
            pcm,
            recorder,
            new,
            pointer: None,
            ahead: written as u64,
        })
    }

    pub(super) fn buffer(&self) -> u64 {
        self.pcm.setup().buffer.into()
    }

    /// Looks where ALSA says it is; it is told a whole buffer in two looks.
    pub(super) fn look(&mut self) -> Result<()> {
        let state = self.pcm.state();
        ensure!(state == sys::SND_PCM_STATE_RUNNING, "state {state}");
        self.pcm.avail()?;
        let before = now();
        let avail = self.pcm.avail()? as u64;
        let pointer = (self.ahead + avail) % self.buffer();
        self.pointer = Some((before, pointer, now()));
        Ok(())
    }

    /// Writes the new sound half a buffer ahead of the card, and waits until it is played.
    pub(super) fn renew(&mut self) -> Result<()> {
        let half = self.buffer() / 2;
        let passed = self.pcm.avail()? - half as usize;
        ensure!(self.pcm.forward(passed)? == passed, "cannot go forward");
        self.ahead += passed as u64;
        let written = self.pcm.write(&self.new.bytes)?;
        ensure!(
            written as u64 == self.new.frames(),
            "{written} frames written"
        );
        let rate = self.pcm.setup().rate;
        sleep_ms(nanos(half + self.new.frames(), rate) / 1_000_000 + 500);
        Ok(())
    }

    /// Stops, and checks all but the sound. Returns the account, and where the new sound began.
    pub(super) fn stop(self) -> Result<(Account, u64)> {
        let buffer = self.buffer();
        self.pcm.stop()?;
        let account = account(&self.recorder.finish()?)?;
        account.check_states(&[State::Start, State::Stop])?;
        account.check_length()?;
        let start = account.changes[0].time;
        if let Some((before, pointer, after)) = self.pointer {
            let (least, most) = (
                frames(before - start, account.rate),
                frames(after - start, account.rate),
            );
            ensure!(
                (pointer + buffer - least % buffer) % buffer <= most - least,
                "ALSA's pointer at {pointer} of {buffer} between {least} and {most}"
            );
        }
        let resumed = account.lost.first().context("nothing is lost")?.end;
        // The first samples of all noise are the same.
        let begin = account
            .find(resumed, frame(&self.new, 20))
            .and_then(|position| position.checked_sub(20))
            .with_context(|| format!("the new sound did not come: {}", account.text))?;
        ensure!(
            begin % buffer == self.ahead % buffer,
            "the new sound at {begin}, which is not at {} of {buffer}",
            self.ahead
        );
        Ok((account, begin))
    }
}

/// A player that writes until it cannot, in a thread; returns what it wrote, in frames, and why it
/// ended.
pub(super) fn write_on(pcm: RawPcm, material: Material) -> Result<(RawPcm, u64, Errno)> {
    let setup = *pcm.setup();
    let mut written = 0;
    for piece in material
        .bytes
        .chunks(setup.period as usize * setup.frame_bytes())
    {
        let mut rest = piece;
        while !rest.is_empty() {
            match pcm.write(rest) {
                Ok(frames) => {
                    written += frames as u64;
                    rest = &rest[frames * setup.frame_bytes()..];
                }
                Err(errno) => return Ok((pcm, written, errno)),
            }
        }
    }
    bail!("all was written");
}

/// A recorder that reads until it cannot; returns what it read, and why it ended.
pub(super) fn read_on(pcm: RawPcm) -> (RawPcm, Vec<u8>, Errno) {
    let setup = *pcm.setup();
    let frame = setup.frame_bytes();
    let mut bytes = Vec::new();
    let mut piece = vec![0; setup.period as usize * frame];
    loop {
        match pcm.read(&mut piece) {
            Ok(frames) => bytes.extend_from_slice(&piece[..frames * frame]),
            Err(errno) => return (pcm, bytes, errno),
        }
    }
}

/// Checks that the application is told that it was late.
pub(super) fn check_xrun(pcm: &RawPcm, errno: Errno) -> Result<()> {
    let state = pcm.state();
    ensure!(errno == Errno::EPIPE, "{errno}");
    ensure!(state == sys::SND_PCM_STATE_XRUN, "state {state}");
    Ok(())
}

/// A recorder that does not stop when nobody reads.
pub(super) struct Follower {
    pub(super) pcm: RawPcm,
    pub(super) started: (u64, u64),
}

impl Follower {
    pub(super) fn start(pcm: RawPcm) -> Result<Self> {
        let before = now();
        pcm.start()?;
        Ok(Self {
            pcm,
            started: (before, now()),
        })
    }

    /// Checks that it is as long as it took, as far as ALSA can tell: modulo the buffer. Nothing was
    /// read yet. ALSA is told a whole buffer in two looks.
    pub(super) fn look(&mut self) -> Result<()> {
        let state = self.pcm.state();
        ensure!(state == sys::SND_PCM_STATE_RUNNING, "state {state}");
        let setup = self.pcm.setup();
        let (rate, buffer) = (setup.rate, u64::from(setup.buffer));
        self.pcm.avail()?;
        let before = now();
        let pointer = self.pcm.avail()? as u64 % buffer;
        let after = now();
        // A frame at each end of a silence.
        let least = frames(before - self.started.1, rate) - 2;
        let most = frames(after - self.started.0, rate) + 2;
        ensure!(
            (pointer + buffer - least % buffer) % buffer <= most - least,
            "{pointer} of {buffer} recorded in the time for {least} to {most}"
        );
        Ok(())
    }

    /// Reads what is recorded from now on.
    pub(super) fn listen(self) -> Result<Microphone> {
        let avail = self.pcm.avail()?;
        ensure!(self.pcm.forward(avail)? == avail, "cannot go forward");
        Ok(Microphone::listen(self.pcm, self.started))
    }
}
