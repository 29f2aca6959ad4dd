// SPDX-License-Identifier: GPL-2.0

//! Which channel is which loudspeaker.
//!
//! C header: [`include/sound/pcm.h`](srctree/include/sound/pcm.h)

use core::ptr;

use kernel::{
    error::to_result,
    ffi,
    prelude::*, //
};

use super::{
    pcm::Direction,
    sys, //
};

/// Most channels that ALSA's table of maps has room for (7.3); with more there is no map.
const CHANNELS_MAX: usize = 15;

/// The positions in ALSA's order, that of `speaker-test`: pairs in front, behind, and so on.
const POSITIONS: [u32; CHANNELS_MAX] = [
    sys::SNDRV_CHMAP_FL,
    sys::SNDRV_CHMAP_FR,
    sys::SNDRV_CHMAP_RL,
    sys::SNDRV_CHMAP_RR,
    sys::SNDRV_CHMAP_FC,
    sys::SNDRV_CHMAP_LFE,
    sys::SNDRV_CHMAP_SL,
    sys::SNDRV_CHMAP_SR,
    sys::SNDRV_CHMAP_FLC,
    sys::SNDRV_CHMAP_FRC,
    sys::SNDRV_CHMAP_TFL,
    sys::SNDRV_CHMAP_TFR,
    sys::SNDRV_CHMAP_TRL,
    sys::SNDRV_CHMAP_TRR,
    sys::SNDRV_CHMAP_RC,
];

/// A map for each number of channels, and an empty one at the end.
static MAPS: [sys::snd_pcm_chmap_elem; CHANNELS_MAX + 1] = maps();

const fn maps() -> [sys::snd_pcm_chmap_elem; CHANNELS_MAX + 1] {
    const EMPTY: sys::snd_pcm_chmap_elem = sys::snd_pcm_chmap_elem {
        channels: 0,
        map: [0; CHANNELS_MAX],
    };
    let mut maps = [EMPTY; CHANNELS_MAX + 1];
    let mut count = 1;
    while count <= CHANNELS_MAX {
        let map = &mut maps[count - 1];
        // CAST: Small constants, here and below.
        map.channels = count as u8;
        let mut channel = 0;
        while channel < count {
            map.map[channel] = POSITIONS[channel] as u8;
            channel += 1;
        }
        count += 1;
    }
    maps[0].map[0] = sys::SNDRV_CHMAP_MONO as u8;
    // With an odd number the last is no half of a pair.
    maps[2].map[2] = sys::SNDRV_CHMAP_LFE as u8;
    maps[4].map[4] = sys::SNDRV_CHMAP_FC as u8;
    maps[6].map[6] = sys::SNDRV_CHMAP_RC as u8;
    maps
}

/// Adds the control that tells applications the map of a running stream of up to `channels`
/// channels, and lists all maps.
///
/// # Errors
///
/// `ENOMEM`.
///
/// # Safety
///
/// The PCM is valid, its card is not registered, and it has no maps in this direction.
pub(super) unsafe fn add_maps(
    pcm: *mut sys::snd_pcm,
    direction: Direction,
    channels: u32,
) -> Result {
    // CAST: Small.
    let channels = channels as ffi::c_int;
    // SAFETY: The PCM is valid, and the table lives for ever.
    to_result(unsafe {
        sys::snd_pcm_add_chmap_ctls(
            pcm,
            direction.to_c(),
            MAPS.as_ptr(),
            channels,
            0,
            ptr::null_mut(),
        )
    })
}
