// SPDX-License-Identifier: GPL-2.0

//! Which channel is which loudspeaker.
//!
//! C header: [`include/sound/pcm.h`](srctree/include/sound/pcm.h)

use core::ptr;

use kernel::{
    error::{
        from_result,
        to_result, //
    },
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
    let mut info = ptr::null_mut();
    // SAFETY: The PCM is valid, and the table lives for ever; `info` is valid for a write.
    to_result(unsafe {
        let maps = MAPS.as_ptr();
        sys::snd_pcm_add_chmap_ctls(pcm, direction.to_c(), maps, channels, 0, &mut info)
    })?;
    // SAFETY: ALSA has made the control, and nobody calls it before the card is registered.
    unsafe { (*(*info).kctl).get = Some(get) };
    Ok(())
}

/// Tells the map of a substream; without positions where it is not configured.
///
/// ALSA's own (7.3) looks at a runtime that another thread may be taking away.
///
/// # Safety
///
/// Called by ALSA for an element that [`add_maps`] made.
unsafe extern "C" fn get(
    control: *mut sys::snd_kcontrol,
    value: *mut sys::snd_ctl_elem_value,
) -> ffi::c_int {
    // SAFETY: By the contract of this function.
    let channels = unsafe { sys::rtshm_chmap_channels(control, value) };
    // SAFETY: As above: the control's data are ALSA's description of the maps.
    let count = unsafe { (*(*control).private_data.cast::<sys::snd_pcm_chmap>()).max_channels };
    // SAFETY: The value is ALSA's own copy, and integers are what the element has.
    let places = unsafe { &mut (*value).value.integer.value };
    // CAST: Widening. Those behind are not the element's.
    let places = places.iter_mut().take(count as usize);
    from_result(|| {
        let channels = usize::try_from(channels).map_err(|_| ENODEV)?;
        let map = match channels.checked_sub(1) {
            // The empty one.
            None => MAPS.last(),
            Some(index) => MAPS.get(index).filter(|map| map.channels != 0),
        };
        let positions = map.ok_or(EINVAL)?.map.get(..channels).ok_or(EINVAL)?;
        for (index, place) in places.enumerate() {
            *place = positions.get(index).map_or(0, |&position| position.into());
        }
        Ok(0)
    })
}
