// SPDX-License-Identifier: MIT OR GPL-2.0

//! Where a PCM's name leads, by alsa-lib's configuration. No PCM is opened.

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::{self, NonNull};

use alsa_sys as sys;

/// Definitions that may lead to one another.
const DEPTH: usize = 32;

/// What plays in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A card, by its index or id.
    Card(String),
    /// Another kind of plugin, such as `pipewire` or `null`.
    Plugin(String),
    /// There is no such PCM.
    Missing,
}

/// A tree that is ours to free.
struct Tree(NonNull<sys::snd_config_t>);

/// A part of a tree, which it borrows.
struct Node<'tree> {
    config: NonNull<sys::snd_config_t>,
    tree: PhantomData<&'tree Tree>,
}

impl Drop for Tree {
    fn drop(&mut self) {
        // SAFETY: The root of a tree that alsa-lib gave to us, and no part of it is used any more:
        // they borrow it.
        unsafe { sys::snd_config_delete(self.0.as_ptr()) };
    }
}

impl Tree {
    /// Reads `file`, or what alsa-lib reads by itself.
    fn read(file: Option<&Path>) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        let file = match file {
            None => None,
            Some(file) => Some(CString::new(file.as_os_str().as_bytes()).ok()?),
        };
        let path = file.as_ref().map_or(ptr::null(), |file| file.as_ptr());
        let mut top = ptr::null_mut();
        let mut update = ptr::null_mut();
        // SAFETY: The pointers are to variables of ours, and the path is a string or null.
        let done = unsafe { sys::snd_config_update_r(&mut top, &mut update, path) };
        if !update.is_null() {
            // SAFETY: It was given to us by the call above, and is used no more.
            unsafe { sys::snd_config_update_free(update) };
        }
        let tree = Self(NonNull::new(top)?);
        (done >= 0).then_some(tree)
    }

    fn root(&self) -> Node<'_> {
        Node {
            config: self.0,
            tree: PhantomData,
        }
    }

    /// The definition of `name` in `section`, with its arguments put in.
    fn definition(&self, section: &CStr, name: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        let mut found = ptr::null_mut();
        // SAFETY: Our own tree, two strings, and a variable of ours for the result.
        let done = unsafe {
            sys::snd_config_search_definition(
                self.0.as_ptr(),
                section.as_ptr(),
                name.as_ptr(),
                &mut found,
            )
        };
        (done >= 0).then_some(Self(NonNull::new(found)?))
    }
}

impl Node<'_> {
    /// The part of this name, dots between levels.
    fn get(&self, key: &CStr) -> Option<Self> {
        let mut found = ptr::null_mut();
        // SAFETY: A part of a tree that is alive, as it is borrowed, a string, and a variable of ours.
        let done =
            unsafe { sys::snd_config_search(self.config.as_ptr(), key.as_ptr(), &mut found) };
        let config = NonNull::new(found)?;
        (done >= 0).then_some(Self { config, ..*self })
    }

    /// Its value as text, where it is a text or a number.
    fn text(&self) -> Option<String> {
        let mut text = ptr::null();
        // SAFETY: A part of a tree that is alive, as it is borrowed, and a variable of ours.
        if unsafe { sys::snd_config_get_string(self.config.as_ptr(), &mut text) } >= 0 {
            let text = NonNull::new(text.cast_mut())?;
            // SAFETY: The call succeeded, so it is a string, which lives as long as its node.
            return Some(
                unsafe { CStr::from_ptr(text.as_ptr()) }
                    .to_string_lossy()
                    .into(),
            );
        }
        let mut number = 0;
        // SAFETY: As above.
        let done = unsafe { sys::snd_config_get_integer(self.config.as_ptr(), &mut number) };
        (done >= 0).then(|| number.to_string())
    }
}

/// Where the PCM `name` leads for playback, by the configuration in `file` or alsa-lib's own.
pub(super) fn target(file: Option<&Path>, name: &str) -> Target {
    // What alsa-lib would print of a name that leads nowhere.
    let _messages = alsa::Output::local_error_handler();
    let walk = || {
        let tree = Tree::read(file)?;
        let definition = tree.definition(c"pcm", name)?;
        follow(&tree, &definition.root(), DEPTH)
    };
    walk().unwrap_or(Target::Missing)
}

fn follow(tree: &Tree, node: &Node<'_>, depth: usize) -> Option<Target> {
    let depth = depth.checked_sub(1)?;
    if let Some(name) = node.text() {
        return follow(tree, &tree.definition(c"pcm", &name)?.root(), depth);
    }
    let kind = node.get(c"type")?.text()?;
    if kind == "hw" {
        return Some(Target::Card(node.get(c"card")?.text()?));
    }
    // `asym` has one for each direction.
    let Some(slave) = [c"playback", c"slave"].iter().find_map(|key| node.get(key)) else {
        return Some(Target::Plugin(kind));
    };
    // One that has a name is a section by itself.
    if let Some(name) = slave.text() {
        let slave = tree.definition(c"pcm_slave", &name)?;
        return follow(tree, &slave.root().get(c"pcm")?, depth);
    }
    match slave.get(c"pcm") {
        Some(next) => follow(tree, &next, depth),
        None => Some(Target::Plugin(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
        pcm.hw { @args [ CARD ]  @args.CARD { type string }  type hw  card $CARD }
        pcm.!default { type plug  slave.pcm \"mixed\" }
        pcm.mixed { type asym  playback.pcm { type dmix  slave { pcm \"hw:1\" } }  capture.pcm \"hw:7\" }
        pcm.server { type pulse }
        pcm_slave.card { pcm \"hw:3\"  rate 48000 }
        pcm.named { type plug  slave \"card\" }
        pcm.nameless { type plug  slave \"none\" }
        pcm.circle { type plug  slave.pcm \"circle\" }
        pcm.broken { type plug  slave.pcm \"nowhere\" }
    ";

    #[test]
    fn names_are_followed_to_their_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("asound.conf");
        std::fs::write(&file, CONFIG).unwrap();
        let target = |name| target(Some(&file), name);
        assert_eq!(target("default"), Target::Card("1".into()));
        assert_eq!(target("hw:RtShm"), Target::Card("RtShm".into()));
        assert_eq!(target("server"), Target::Plugin("pulse".into()));
        assert_eq!(target("named"), Target::Card("3".into()));
        for missing in ["nameless", "circle", "broken", "nothing", "", "nul\0"] {
            assert_eq!(target(missing), Target::Missing, "{missing:?}");
        }
    }
}
