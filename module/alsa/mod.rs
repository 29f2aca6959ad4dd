// SPDX-License-Identifier: GPL-2.0

//! ALSA for drivers in safe Rust: cards, PCM devices and files in `/proc/asound`.
//!
//! C headers: [`include/sound/core.h`](srctree/include/sound/core.h),
//! [`include/sound/info.h`](srctree/include/sound/info.h),
//! [`include/sound/pcm.h`](srctree/include/sound/pcm.h)
//!
//! This layer knows nothing of rtshm. All unsafe code that ALSA needs is in here.

pub mod card;
pub mod info;
pub mod pcm;
pub mod substream;
pub mod sys;
pub mod timer;
