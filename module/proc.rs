// SPDX-License-Identifier: GPL-2.0

//! What `/proc/asound/RtShm/` shows, in plain text: a key, a value and its unit in each line. Keys keep
//! their names; others may come.

use kernel::{
    fmt,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};

use crate::{
    abi::{
        ioctl::Status,
        record::State, //
    },
    alsa::{
        card::NewCard,
        hardware::SampleFormat, //
        info::{
            self,
            Text, //
        },
    },
    outlet::Outlet,
    steering::{
        Steering,
        SOURCES, //
    }, //
};

/// Adds the files of a card that feeds `outlet` at the speed that `steering` gives.
///
/// # Errors
///
/// `ENOMEM`.
pub fn add_files(card: &mut NewCard, outlet: &Arc<Outlet>, steering: &Arc<Steering>) -> Result {
    info::add_text(card, c"ring", Ring(outlet.clone()))?;
    info::add_text(card, c"stream", Stream(outlet.clone()))?;
    let (outlet, steering) = (outlet.clone(), steering.clone());
    info::add_text(card, c"clock", Clock { outlet, steering })
}

/// `ring`: the ring, and who reads it.
struct Ring(Arc<Outlet>);

/// `stream`: what the application plays, or played last.
struct Stream(Arc<Outlet>);

/// `clock`: how fast the card's clock goes, and who says so.
struct Clock {
    outlet: Arc<Outlet>,
    steering: Arc<Steering>,
}

/// Writes a line.
fn line(to: &SeqFile, key: &str, value: fmt::Arguments<'_>) {
    seq_print!(to, "{key:<14}{value}\n");
}

impl Text for Ring {
    fn show(&self, to: &SeqFile) {
        let Status {
            consumer_pid,
            write_count,
            read_count,
            lost_frames,
            lost_records,
            faults,
            wakeups,
            ..
        } = self.0.status();
        let capacity = self.0.geometry().capacity();
        line(to, "capacity:", fmt!("{capacity} bytes"));
        match consumer_pid {
            0 => line(to, "consumer_pid:", fmt!("none")),
            pid => line(to, "consumer_pid:", fmt!("{pid}")),
        }
        line(to, "write_count:", fmt!("{write_count} bytes"));
        line(to, "read_count:", fmt!("{read_count} bytes"));
        // The consumer says what it likes.
        match write_count.wrapping_sub(read_count) {
            fill if fill <= capacity => line(to, "fill:", fmt!("{fill} bytes")),
            _ => line(to, "fill:", fmt!("impossible")),
        }
        line(to, "lost_frames:", fmt!("{lost_frames} frames"));
        line(to, "lost_records:", fmt!("{lost_records}"));
        line(to, "faults:", fmt!("{faults}"));
        line(to, "wakeups:", fmt!("{wakeups}"));
    }
}

impl Text for Stream {
    fn show(&self, to: &SeqFile) {
        let Status {
            state,
            rate,
            channels,
            format,
            period_frames,
            buffer_frames,
            chunk_frames,
            chunks,
            frames,
            streams,
            xruns,
            ..
        } = self.0.status();
        let state = match State::from_raw(state) {
            None => "none",
            Some(State::Start | State::Resume) => "running",
            Some(State::Pause) => "paused",
            Some(State::Drain) => "draining",
            Some(State::Suspend) => "suspended",
            Some(State::Stop) => "stopped",
            Some(State::Xrun) => "xrun",
        };
        line(to, "state:", fmt!("{state}"));
        // Nothing is known before the first stream.
        match rate {
            0 => line(to, "format:", fmt!("none")),
            _ => line(to, "format:", fmt!("{}", SampleFormat(format).name())),
        }
        line(to, "rate:", fmt!("{rate} Hz"));
        line(to, "channels:", fmt!("{channels}"));
        line(to, "period:", fmt!("{period_frames} frames"));
        line(to, "buffer:", fmt!("{buffer_frames} frames"));
        line(to, "chunk:", fmt!("{chunk_frames} frames"));
        line(to, "streams:", fmt!("{streams}"));
        line(to, "xruns:", fmt!("{xruns}"));
        line(to, "chunks:", fmt!("{chunks}"));
        line(to, "frames:", fmt!("{frames}"));
    }
}

impl Text for Clock {
    fn show(&self, to: &SeqFile) {
        // CAST: A small number.
        let source = SOURCES.get(self.steering.source() as usize);
        line(to, "source:", fmt!("{}", source.unwrap_or(&c"none")));
        line(to, "pitch:", fmt!("{}", self.steering.pitch()));
        let request = self.outlet.with_feed(|feed| feed.rate_request());
        match request {
            0 => line(to, "request:", fmt!("none")),
            ratio => line(to, "request:", fmt!("{} ppb", off_nominal(ratio))),
        }
        match self.outlet.status().clock_ratio {
            0 => line(to, "speed:", fmt!("stands still")),
            ratio => line(to, "speed:", fmt!("{} ppb", off_nominal(ratio))),
        }
    }
}

/// How far a ratio, times 2^32, is from 1, in parts per billion.
fn off_nominal(ratio: u64) -> i64 {
    let parts = (u128::from(ratio).saturating_mul(1_000_000_000) >> 32).min(1 << 62);
    // CAST: Bounded above.
    (parts as i64).wrapping_sub(1_000_000_000)
}
