// SPDX-License-Identifier: MIT OR GPL-2.0

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rtshm_abi::layout::ABI_VERSION;
use rtshm_abi::record::Malformed;

/// What [`rtshm`](crate) functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong; each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such device: `ENOENT` or `ENXIO`.
    #[error("no {}: {}", path.display(), Remedy(others))]
    Missing {
        /// The device that was asked for.
        path: PathBuf,
        /// The devices that there are.
        others: Vec<PathBuf>,
    },

    /// The device may not be opened: `EACCES` or `EPERM`.
    #[error("not allowed to open {}: {}", path.display(), Access(path))]
    Permission {
        /// The device that was asked for.
        path: PathBuf,
    },

    /// The device has a consumer already: `EBUSY`.
    #[error("{} is in use by {}: stop that first", path.display(), HolderName(holder))]
    Busy {
        /// The device that was asked for.
        path: PathBuf,
        /// The process that has it, where that could be found out.
        holder: Option<Holder>,
    },

    /// What was opened is another kind of file.
    #[error("{} is not an rtshm device: name one such as /dev/rtshm", path.display())]
    NotADevice {
        /// The file.
        path: PathBuf,
    },

    /// The device could not be opened for another reason.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The device that was asked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// Module and library do not speak the same version of the contract.
    #[error(
        "the rtshm module{} speaks ABI version {module}, this program version {ABI_VERSION}: \
         install both from one release and reload the module",
        Release(module_version)
    )]
    Version {
        /// The version of the module.
        module: u32,
        /// The release of the module, empty where it is not known.
        module_version: String,
    },

    /// The region's description of itself makes no sense.
    #[error("unusable region: {what} is {value}: reinstall the rtshm module and this program")]
    Unusable {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },

    /// A window of the region could not be mapped.
    #[error("cannot map the {window} of the region: {source}")]
    Map {
        /// Which of the three.
        window: &'static str,
        /// Why.
        source: io::Error,
    },

    /// A system call on the open device failed.
    #[error("{call} failed on the device: {source}")]
    Call {
        /// The system call.
        call: &'static str,
        /// Why.
        source: io::Error,
    },

    /// A record makes no sense. The consumer stays where it is: every further pop says the same.
    #[error(
        "corrupt ring at byte {at}: {}: reopen the device, and report it if it happens again",
        Cause(what)
    )]
    Malformed {
        /// The record's start, in bytes ever read.
        at: u64,
        /// What is wrong with it.
        what: Malformed,
    },

    /// `write_count` went back or ran away.
    #[error(
        "corrupt ring: {unread} bytes unread where {bound} bound it: reopen the device, and report \
         it if it happens again"
    )]
    Counter {
        /// The impossible number of unread bytes.
        unread: u64,
        /// The capacity that it exceeds, or the number of bytes already seen that it undercuts.
        bound: u64,
    },

    /// The kernel no longer writes for this consumer: it has found its `read_count` impossible.
    #[error("the kernel has found this consumer faulty and stopped feeding it: reopen the device")]
    Faulty,

    /// Root has taken the card away, and all that it played has been popped.
    #[error(
        "the card was taken away: load the module anew with `modprobe -r rtshm` and `modprobe rtshm`"
    )]
    Gone,
}

/// A process that is a device's consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name by `/proc`, without control characters; `None` where it is gone or hidden.
    pub name: Option<String>,
}

impl Holder {
    /// The process `pid`, named by `/proc/PID/comm`.
    pub fn of_pid(pid: u32) -> Self {
        let name = std::fs::read(format!("/proc/{pid}/comm"))
            .ok()
            .map(|comm| printable(&comm));
        Self { pid, name }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (pid {})", self.pid),
            None => write!(f, "pid {}", self.pid),
        }
    }
}

/// `bytes` up to the first NUL or newline, fit for a terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| matches!(byte, 0 | b'\n'));
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())])
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// How to be allowed to open a file.
struct Access<'a>(&'a Path);

impl fmt::Display for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.display();
        match fs::metadata(self.0) {
            // Nobody shall join the group of root, which is for much else.
            Ok(node) if node.gid() == 0 || node.mode() & 0o060 != 0o060 => write!(
                f,
                "it is root's alone; run this by sudo, or, until the module is loaded anew, \
                 `sudo chgrp audio {path} && sudo chmod 660 {path}`"
            ),
            _ => f.write_str("join its group with `sudo usermod -aG audio $USER` and log in again"),
        }
    }
}

struct Remedy<'a>(&'a [PathBuf]);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0 else {
            return f.write_str("load the module with `modprobe rtshm`");
        };
        write!(f, "there is {}", first.display())?;
        rest.iter()
            .try_for_each(|path| write!(f, ", {}", path.display()))?;
        f.write_str("; for more `modprobe -r rtshm` and `modprobe rtshm devices=2`")
    }
}

struct HolderName<'a>(&'a Option<Holder>);

impl fmt::Display for HolderName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) => holder.fmt(f),
            None => f.write_str("another process"),
        }
    }
}

struct Release<'a>(&'a str);

impl fmt::Display for Release<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            version => write!(f, " {version}"),
        }
    }
}

struct Cause<'a>(&'a Malformed);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Malformed::Overlong { size, readable } => write!(
                f,
                "a record with a body of {size} bytes where {readable} bytes are readable"
            ),
            Malformed::Short { kind, size } => {
                write!(f, "a record of kind {kind} with a body of {size} bytes")
            }
            Malformed::Frames {
                frame_count,
                channels: 0,
                ..
            } => write!(f, "a chunk of {frame_count} frames before any format"),
            Malformed::Frames {
                frame_count,
                channels,
                size,
            } => write!(
                f,
                "a chunk of {frame_count} frames of {channels} channels in a body of {size} bytes"
            ),
            Malformed::Format { rate, channels } => {
                write!(f, "a format of {rate} Hz and {channels} channels")
            }
            Malformed::Volume { gain, on } => {
                write!(f, "a volume of {gain}/100 dB with its switch at {on}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_that_says_what_to_do() {
        let path = PathBuf::from("/dev/rtshm");
        let text = |error: Error| error.to_string();
        assert_eq!(
            text(Error::Missing {
                path: path.clone(),
                others: Vec::new(),
            }),
            "no /dev/rtshm: load the module with `modprobe rtshm`"
        );
        assert_eq!(
            text(Error::Missing {
                path: "/dev/rtshm3".into(),
                others: vec![path.clone(), "/dev/rtshm1".into()],
            }),
            "no /dev/rtshm3: there is /dev/rtshm, /dev/rtshm1; for more `modprobe -r rtshm` and \
             `modprobe rtshm devices=2`"
        );
        let holder = Holder {
            pid: 42,
            name: Some("recorder".into()),
        };
        assert_eq!(
            text(Error::Busy {
                path: path.clone(),
                holder: Some(holder),
            }),
            "/dev/rtshm is in use by recorder (pid 42): stop that first"
        );
        assert_eq!(
            text(Error::Busy { path, holder: None }),
            "/dev/rtshm is in use by another process: stop that first"
        );
        assert_eq!(
            text(Error::Version {
                module: 2,
                module_version: "0.9.0".into(),
            }),
            "the rtshm module 0.9.0 speaks ABI version 2, this program version 1: install both \
             from one release and reload the module"
        );
        assert_eq!(
            text(Error::Malformed {
                at: 128,
                what: Malformed::Frames {
                    frame_count: 3,
                    channels: 2,
                    size: 32,
                },
            }),
            "corrupt ring at byte 128: a chunk of 3 frames of 2 channels in a body of 32 bytes: \
             reopen the device, and report it if it happens again"
        );
    }

    #[test]
    fn names_of_processes_are_fit_for_a_terminal() {
        assert_eq!(printable(b"plain\nrest"), "plain");
        assert_eq!(printable(b"\x1b[31mred\0rest"), "\u{fffd}[31mred");
        assert_eq!(printable(b"\xff"), "\u{fffd}");
        assert_eq!(printable(b""), "");
    }

    #[test]
    fn holders_have_names() {
        let holder = Holder::of_pid(std::process::id());
        let name = holder.name.expect("this process has a name");
        assert!(!name.is_empty() && name.len() <= 15);
        assert_eq!(Holder::of_pid(u32::MAX).to_string(), "pid 4294967295");
    }
}
