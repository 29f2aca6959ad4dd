// SPDX-License-Identifier: MIT OR GPL-2.0

//! What appears when the module is loaded, and how it presents itself.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use alsa::Ctl;
use anyhow::{ensure, Result};
use rtshm_abi::layout::ABI_VERSION;

use super::tests;
use crate::module::{self, CARD, NODE};
use crate::process::run;
use crate::raw::Node;

tests!(appearance: card_is_listed, aplay_lists_pcm, control_device, node_is_for_root, info_is_true);

fn card_is_listed() -> Result<()> {
    module::ready()?;
    let cards = fs::read_to_string("/proc/asound/cards")?;
    ensure!(cards.contains("[RtShm          ]: RtShm - "), "{cards}");
    let number = module::device()?.info()?.card;
    let link = fs::read_link(format!("/proc/asound/{CARD}"))?;
    ensure!(
        link.as_os_str() == format!("card{number}").as_str(),
        "{link:?}"
    );
    let id = fs::read_to_string(format!("/sys/class/sound/card{number}/id"))?;
    ensure!(id.trim() == CARD, "{id}");
    Ok(())
}

fn aplay_lists_pcm() -> Result<()> {
    module::ready()?;
    let listed = run("aplay", &["-l"])?;
    let number = module::device()?.info()?.card;
    let line = format!("card {number}: RtShm [RtShm Virtual Sound Card], device 0: RtShm [RtShm]");
    ensure!(
        listed.code == Some(0) && listed.stdout.contains(&line),
        "{listed}"
    );
    Ok(())
}

fn control_device() -> Result<()> {
    module::ready()?;
    let number = module::device()?.info()?.card;
    let metadata = fs::metadata(format!("/dev/snd/controlC{number}"))?;
    ensure!(metadata.file_type().is_char_device());
    let ctl = Ctl::new(&format!("hw:{CARD}"), false)?;
    let info = ctl.card_info()?;
    let names = [
        info.get_id()?,
        info.get_driver()?,
        info.get_name()?,
        info.get_longname()?,
        info.get_mixername()?,
    ];
    let expected = [
        CARD,
        "RtShm",
        "RtShm Virtual Sound Card",
        "RtShm Virtual Sound Card at /dev/rtshm",
        "RtShm Mixer",
    ];
    ensure!(names == expected, "{names:?}");
    ensure!(info.get_card().get_index() == i32::try_from(number)?);
    Ok(())
}

fn node_is_for_root() -> Result<()> {
    module::ready()?;
    let metadata = fs::metadata(NODE)?;
    ensure!(metadata.file_type().is_char_device());
    let rights = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    ensure!(rights == (0o600, 0, 0), "mode, user, group: {rights:?}");
    let dev = fs::read_to_string("/sys/class/misc/rtshm/dev")?;
    let (major, minor) = (
        metadata.rdev() >> 8 & 0xfff,
        metadata.rdev() & 0xff | metadata.rdev() >> 12 & 0xf_ff00,
    );
    ensure!(dev.trim() == format!("{major}:{minor}"), "{dev}");
    Ok(())
}

fn info_is_true() -> Result<()> {
    module::ready()?;
    let info = Node::observer()?.info()?;
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .trim_end_matches('\0')
            .to_string()
    };
    ensure!(info.abi_version == ABI_VERSION);
    ensure!(
        info.page_size == 4096 && info.capacity == 1 << 20,
        "{info:?}"
    );
    ensure!(info.region_len == 2 * 4096 + (2 << 20), "{info:?}");
    ensure!(text(&info.card_id) == CARD, "{info:?}");
    let version = run("modinfo", &["-F", "version", "rtshm"])?;
    ensure!(
        text(&info.module_version) == version.stdout.trim(),
        "{version}"
    );
    Ok(())
}
