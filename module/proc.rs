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
        info::{
            self,
            Text, //
        },
        pcm::SampleFormat, //
    },
    outlet::Outlet, //
};

/// Adds the files of a card that feeds `outlet`.
///
/// # Errors
///
/// `ENOMEM`.
pub fn add_files(card: &mut NewCard, outlet: &Arc<Outlet>) -> Result {
    info::add_text(card, c"ring", Ring(outlet.clone()))?;
    info::add_text(card, c"stream", Stream(outlet.clone()))
}

/// `ring`: the ring, and who reads it.
struct Ring(Arc<Outlet>);

/// `stream`: what the application plays, or played last.
struct Stream(Arc<Outlet>);

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
            Some(State::Stop) => "stopped",
            Some(State::Xrun) => "xrun",
            Some(State::Suspend) => "suspended",
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
