// SPDX-License-Identifier: GPL-2.0

//! ALSA for drivers in safe Rust: cards and PCM devices.
//!
//! C headers: [`include/sound/core.h`](srctree/include/sound/core.h),
//! [`include/sound/pcm.h`](srctree/include/sound/pcm.h)
//!
//! This layer knows nothing of rtshm. All unsafe code that ALSA needs is in here.

pub mod card;
pub mod pcm;
pub mod substream;
pub mod sys;
pub mod timer;
