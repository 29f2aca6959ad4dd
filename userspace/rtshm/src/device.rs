// SPDX-License-Identifier: MIT OR GPL-2.0

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use rtshm_abi::ioctl;
use rtshm_abi::layout::{Geometry, ABI_VERSION};
use rtshm_abi::record::State;

use crate::clock::ClockRatio;
use crate::error::{printable, Error, Holder, Result};
use crate::format::{Format, SampleFormat};

/// The device of the first card.
pub const DEFAULT_PATH: &str = "/dev/rtshm";

/// Most cards that the module makes.
const DEVICES_MAX: u32 = 8;

/// The calls as nix makes them, with what they need to be safe.
mod sys {
    use super::ioctl::{Info, Status, INFO, MAGIC, STATUS};

    nix::ioctl_read!(
        /// Fills an [`Info`].
        info,
        MAGIC,
        INFO,
        Info
    );
    nix::ioctl_read!(
        /// Fills a [`Status`].
        status,
        MAGIC,
        STATUS,
        Status
    );
}

/// The device nodes that exist, in the order of their cards: `/dev/rtshm`, `/dev/rtshm1`, ...
pub fn paths() -> Vec<PathBuf> {
    (0..DEVICES_MAX)
        .map(|index| match index {
            0 => PathBuf::from(DEFAULT_PATH),
            _ => PathBuf::from(format!("{DEFAULT_PATH}{index}")),
        })
        .filter(|path| path.exists())
        .collect()
}

/// An open device to look at; any number of processes may have one.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    path: PathBuf,
}

/// What a device is: constant while the module is loaded. All zero by default, for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Version of the contract that the module speaks.
    pub abi_version: u32,
    /// Version of the module.
    pub module_version: String,
    /// Bytes in a page of this machine.
    pub page_size: u32,
    /// Bytes in the ring.
    pub capacity: u64,
    /// Index of the ALSA card, as in `hw:N`.
    pub card: u32,
    /// Id of the ALSA card, as in `hw:ID`.
    pub card_id: String,
}

/// How a device does. All zero by default, for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What happened to the stream last; `None` before the first.
    pub state: Option<State>,
    /// What the application plays, or played last; `None` before the first stream.
    pub format: Option<Format>,
    /// The process that is the consumer; `None` where there is none.
    pub consumer_pid: Option<u32>,
    /// Bytes ever written for this consumer.
    pub write_count: u64,
    /// Bytes it has read, as it says itself.
    pub read_count: u64,
    /// `AUDIO` records written since the module was loaded, as all that follows.
    pub chunks: u64,
    /// Frames inside them.
    pub frames: u64,
    /// Frames that did not fit.
    pub lost_frames: u64,
    /// `LOST` records written.
    pub lost_records: u64,
    /// Streams started by applications.
    pub streams: u64,
    /// Streams stopped because the application was late.
    pub xruns: u64,
    /// Consumers found faulty.
    pub faults: u64,
    /// Times those who wait in `poll()` or epoll were woken.
    pub wakeups: u64,
    /// The speed at which the card's clock runs; `None` while it stands still.
    pub clock_ratio: Option<ClockRatio>,
    /// The Master Playback Volume in hundredths of a decibel.
    pub volume_gain: i32,
    /// Whether the Master Playback Switch is on.
    pub volume_is_on: bool,
}

impl Status {
    /// Bytes written and not yet read.
    pub fn unread(&self) -> u64 {
        self.write_count.saturating_sub(self.read_count)
    }
}

impl Device {
    /// Opens the device at `path` to look at it.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::Gone`], [`Error::Permission`], [`Error::NotADevice`] or
    /// [`Error::Open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = Self::open_file(path, false).map_err(|source| refused(path, source))?;
        Self::from_file(file, path)
    }

    /// Opens the device at `path` as its consumer.
    pub(crate) fn open_exclusive(path: &Path) -> Result<Self> {
        match Self::open_file(path, true) {
            Ok(file) => Self::from_file(file, path),
            Err(error) if is(&error, Errno::EBUSY) => Err(Error::Busy {
                path: path.into(),
                holder: Self::open(path).ok().and_then(|device| device.holder()),
            }),
            Err(error) => Err(refused(path, error)),
        }
    }

    pub(crate) fn from_fd(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    fn open_file(path: &Path, write: bool) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(write)
            // Whatever the path leads to, opening it neither waits nor changes anything.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
    }

    fn from_file(file: File, path: &Path) -> Result<Self> {
        let is_device = file
            .metadata()
            .is_ok_and(|metadata| metadata.file_type().is_char_device());
        if !is_device {
            return Err(Error::NotADevice { path: path.into() });
        }
        Ok(Self::from_fd(file.into(), path.into()))
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the device is.
    ///
    /// # Errors
    ///
    /// [`Error::Version`] where the module speaks another version of the contract,
    /// [`Error::NotADevice`] where this is another driver's, or [`Error::Call`].
    pub fn info(&self) -> Result<Info> {
        let raw = self.raw_info()?;
        Ok(Info {
            abi_version: raw.abi_version,
            module_version: printable(&raw.module_version),
            page_size: raw.page_size,
            capacity: raw.capacity,
            card: raw.card,
            card_id: printable(&raw.card_id),
        })
    }

    /// Where the windows of the device's region lie.
    pub(crate) fn geometry(&self) -> Result<Geometry> {
        let raw = self.raw_info()?;
        let unusable = |what, value| Err(Error::Unusable { what, value });
        let page_size = u64::from(raw.page_size);
        match Geometry::new(page_size, raw.capacity) {
            _ if page_size != this_page_size() => unusable("the page size", page_size),
            None => unusable("the capacity", raw.capacity),
            Some(geometry) if geometry.region_len() != raw.region_len => {
                unusable("the length", raw.region_len)
            }
            Some(geometry) => Ok(geometry),
        }
    }

    /// How the device does.
    ///
    /// # Errors
    ///
    /// As [`info`](Self::info).
    pub fn status(&self) -> Result<Status> {
        // Another version might mean something else by the same number.
        self.raw_info()?;
        let mut raw = ioctl::Status::default();
        // SAFETY: The kernel writes one `Status` to `raw`, of which every bit pattern is a value.
        let done = unsafe { sys::status(self.fd.as_raw_fd(), &mut raw) };
        done.map_err(|errno| self.failed(errno))?;
        let format = Format {
            rate: raw.rate,
            channels: raw.channels,
            sample_format: SampleFormat(raw.format),
            period_frames: raw.period_frames,
            buffer_frames: raw.buffer_frames,
            chunk_frames: raw.chunk_frames,
        };
        Ok(Status {
            state: State::from_raw(raw.state),
            format: (raw.rate != 0).then_some(format),
            consumer_pid: (raw.consumer_pid != 0).then_some(raw.consumer_pid),
            write_count: raw.write_count,
            read_count: raw.read_count,
            chunks: raw.chunks,
            frames: raw.frames,
            lost_frames: raw.lost_frames,
            lost_records: raw.lost_records,
            streams: raw.streams,
            xruns: raw.xruns,
            faults: raw.faults,
            wakeups: raw.wakeups,
            clock_ratio: ClockRatio::from_raw(raw.clock_ratio),
            volume_gain: raw.volume_gain,
            volume_is_on: raw.volume_on != 0,
        })
    }

    /// The process that is the device's consumer; `None` where there is none or it cannot be known.
    pub fn holder(&self) -> Option<Holder> {
        let pid = self.status().ok()?.consumer_pid?;
        Some(Holder::of_pid(pid))
    }

    fn raw_info(&self) -> Result<ioctl::Info> {
        let mut raw = ioctl::Info::default();
        // SAFETY: The kernel writes one `Info` to `raw`, of which every bit pattern is a value.
        let done = unsafe { sys::info(self.fd.as_raw_fd(), &mut raw) };
        done.map_err(|errno| self.failed(errno))?;
        if raw.abi_version != ABI_VERSION {
            return Err(Error::Version {
                module: raw.abi_version,
                module_version: printable(&raw.module_version),
            });
        }
        Ok(raw)
    }

    fn failed(&self, errno: Errno) -> Error {
        match errno {
            Errno::ENOTTY | Errno::EINVAL => Error::NotADevice {
                path: self.path.clone(),
            },
            Errno::ENODEV => Error::Gone,
            _ => Error::Call {
                call: "ioctl",
                source: errno.into(),
            },
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

fn refused(path: &Path, source: io::Error) -> Error {
    let path = path.to_path_buf();
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENODEV) => Error::Gone,
        Some(Errno::ENOENT | Errno::ENXIO) => Error::Missing {
            others: paths().into_iter().filter(|other| *other != path).collect(),
            path,
        },
        Some(Errno::EISDIR) => Error::NotADevice { path },
        // Nobody shall be told to open up a file that is none of ours.
        Some(Errno::EACCES | Errno::EPERM) if is_another_file(&path) => Error::NotADevice { path },
        Some(Errno::EACCES | Errno::EPERM) => Error::Permission { path },
        _ => Error::Open { path, source },
    }
}

/// Whether this is no node of the kernel's misc devices, which ours are.
fn is_another_file(path: &Path) -> bool {
    // `MISC_MAJOR` of the kernel's include/uapi/linux/major.h.
    const MISC_MAJOR: libc::c_uint = 10;
    fs::metadata(path).is_ok_and(|node| {
        !node.file_type().is_char_device() || libc::major(node.rdev()) != MISC_MAJOR
    })
}

fn this_page_size() -> u64 {
    // SAFETY: `sysconf()` only reads its argument.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // A failure is no page size either.
    u64::try_from(size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who may not open a file is told how to be allowed to only where it may be a device of ours.
    #[test]
    fn nobody_is_told_to_open_up_another_file() {
        for errno in [Errno::EACCES, Errno::EPERM] {
            for path in ["/dev/full", "/etc/passwd", "/"] {
                let error = refused(Path::new(path), errno.into());
                assert!(matches!(error, Error::NotADevice { .. }), "{error}");
            }
            let error = refused(Path::new("/dev/rtshm-of-nobody"), errno.into());
            assert!(matches!(error, Error::Permission { .. }), "{error}");
        }
    }
}
