// SPDX-License-Identifier: GPL-2.0

//! Eager delivery: what the application has committed goes out at once, with the time at which it is
//! due.
//!
//! ALSA tells by `ack` whenever the application moves its pointer, since the substream has
//! `SYNC_APPLPTR`, and with `NO_REWINDS` takes nothing back. Before the start no time is known, so that
//! all goes out at the start. What does not go out here, for want of room or of a consumer, is offered
//! again at every chunk's end, and goes out by the clock at the latest.

use core::num::NonZeroU64;

use super::{
    convert,
    Player, //
};
use crate::{
    alsa::substream::Locked,
    delivery::Mode, //
};

/// Most samples that one call sends, which takes a fraction of a millisecond with interrupts off.
const BURST: u64 = 1 << 15;

/// What is queued and not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    Nothing,
    /// Something that could be sent at once, were it not so much.
    More,
    /// Something that waits for room, for a consumer, or for the clock.
    Waits,
}

impl Locked<'_, Player> {
    /// Sends what is queued, where delivery is eager. The clock has consumed what it has passed.
    pub(super) fn send_ahead(&mut self) {
        let &mut Player {
            clock: Some(clock),
            delivery: Mode::Eager,
            grid,
            position,
            ..
        } = self.state()
        else {
            return;
        };
        let end = position.wrapping_add(self.left());
        let config = self.config();
        let (format, channels) = (config.layout.format, u64::from(config.layout.channels));
        let buffer = NonZeroU64::from(config.buffer_frames);
        let area = self.area();
        let rest = self.device().outlet().with_feed(|feed| {
            let mut samples = 0u64;
            loop {
                let sent = feed.sent();
                let left = grid.left(sent);
                let count = end.saturating_sub(sent).min(left.into());
                if count == 0 {
                    return Rest::Nothing;
                }
                if samples >= BURST {
                    return Rest::More;
                }
                // CAST: At most `left`, and below `buffer`.
                let (count, first) = (count as u32, (sent % buffer) as usize);
                let time = |position| clock.time_of(position);
                if !feed.ahead(count, left, time, |out| convert(format, &area, first, out)) {
                    return Rest::Waits;
                }
                samples = samples.wrapping_add(u64::from(count).wrapping_mul(channels));
            }
        });
        // A stream that goes on with nothing queued plays what the buffer has, by the clock.
        let is_free = rest == Rest::Nothing && end == position && !self.ends_when_empty();
        self.state().rest = if is_free { Rest::Waits } else { rest };
    }
}
