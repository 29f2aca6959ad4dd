// SPDX-License-Identifier: MIT OR GPL-2.0

//! Where takes go: numbered files, or standard output.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::unistd::{access, AccessFlags};

/// Why a recording cannot be written.
#[derive(Debug)]
pub(crate) struct WriteError {
    /// What cannot be written.
    pub(crate) name: String,
    pub(crate) source: io::Error,
    /// What is safe of it.
    pub(crate) safe: Option<String>,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, source, safe } = self;
        write!(f, "cannot write {name}: {}", reason(source))?;
        match safe {
            Some(safe) => write!(f, "; {safe}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for WriteError {}

/// What went wrong, without the number.
fn reason(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::AlreadyExists, _) => "it exists; --force overwrites".into(),
        (_, Some(number)) => nix::errno::Errno::from_raw(number).desc().into(),
        _ => error.to_string(),
    }
}

/// Where takes go.
#[derive(Debug)]
pub(crate) enum Target {
    /// The path of the first file, how many there were, and whether others are overwritten.
    Files {
        path: PathBuf,
        count: u64,
        force: bool,
    },
    /// Standard output, and whether it was begun.
    Output { begun: bool },
}

/// A place for a take.
pub(crate) struct Place {
    pub(crate) file: File,
    pub(crate) name: String,
    /// Whether there can be sought: it is neither a device nor a pipe.
    pub(crate) is_file: bool,
}

impl Target {
    /// For the name on the command line, of which `-` is standard output. Says early what can be
    /// said early.
    pub(crate) fn new(path: &Path, force: bool) -> Result<Self, WriteError> {
        if path == Path::new("-") {
            return Ok(Self::Output { begun: false });
        }
        let failed = |source| WriteError {
            name: path.display().to_string(),
            source,
            safe: None,
        };
        if path.is_dir() {
            return Err(failed(ErrorKind::IsADirectory.into()));
        }
        if !force && path.symlink_metadata().is_ok() {
            return Err(failed(ErrorKind::AlreadyExists.into()));
        }
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        access(directory, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|errno| failed(errno.into()))?;
        Ok(Self::Files {
            path: path.into(),
            count: 0,
            force,
        })
    }

    /// Whether there can be another take.
    pub(crate) fn has_next(&self) -> bool {
        !matches!(self, Self::Output { begun: true })
    }

    /// Whether a reader waits for what is written.
    pub(crate) fn is_output(&self) -> bool {
        matches!(self, Self::Output { .. })
    }

    /// Opens the next place.
    pub(crate) fn next(&mut self) -> Result<Place, WriteError> {
        match self {
            Self::Output { begun } => {
                *begun = true;
                let name = "standard output".to_string();
                match io::stdout().as_fd().try_clone_to_owned() {
                    Ok(fd) => Ok(Place {
                        file: fd.into(),
                        name,
                        is_file: false,
                    }),
                    Err(source) => Err(WriteError {
                        name,
                        source,
                        safe: None,
                    }),
                }
            }
            Self::Files { path, count, force } => loop {
                *count += 1;
                let path = numbered(path, *count);
                match create(&path, *force) {
                    // Somebody else's: what is being played has to go somewhere.
                    Err(error) if *count > 1 && error.kind() == ErrorKind::AlreadyExists => {}
                    Err(source) => {
                        return Err(WriteError {
                            name: path.display().to_string(),
                            source,
                            safe: None,
                        })
                    }
                    Ok((file, is_file)) => {
                        return Ok(Place {
                            file,
                            name: path.display().to_string(),
                            is_file,
                        })
                    }
                }
            },
        }
    }
}

fn create(path: &Path, force: bool) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let file = options.open(path)?;
    let is_file = file.metadata()?.is_file();
    Ok((file, is_file))
}

/// The name of the file of this number: `song.wav`, `song-2.wav`, ...
fn numbered(path: &Path, number: u64) -> PathBuf {
    if number == 1 {
        return path.into();
    }
    let mut name: OsString = path.file_stem().unwrap_or_default().into();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_before_the_extension() {
        let name = |path: &str, number| numbered(Path::new(path), number).display().to_string();
        assert_eq!(name("a/song.wav", 1), "a/song.wav");
        assert_eq!(name("a/song.wav", 2), "a/song-2.wav");
        assert_eq!(name("song.v1.wav", 10), "song.v1-10.wav");
        assert_eq!(name("song", 3), "song-3");
        assert_eq!(name(".wav", 2), ".wav-2");
    }

    #[test]
    fn nothing_is_overwritten_unless_forced() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("song-2.wav"), "precious").unwrap();
        let mut target = Target::new(&file("song.wav"), false).unwrap();
        let names = [target.next().unwrap().name, target.next().unwrap().name];
        let expected = ["song.wav", "song-3.wav"].map(|name| file(name).display().to_string());
        assert_eq!(names, expected);

        // The first is what was asked for: another name would be a surprise.
        let error = Target::new(&file("song.wav"), false).unwrap_err();
        assert!(error
            .to_string()
            .ends_with("song.wav: it exists; --force overwrites"));
        // Also where it came between the look and the start.
        let mut target = Target::new(&file("late.wav"), false).unwrap();
        std::fs::write(file("late.wav"), "precious").unwrap();
        assert!(target.next().is_err());
        assert_eq!(std::fs::read(file("late.wav")).unwrap(), b"precious");

        let mut target = Target::new(&file("song.wav"), true).unwrap();
        target.next().unwrap();
        target.next().unwrap();
        assert_eq!(std::fs::read(file("song-2.wav")).unwrap(), b"");
    }

    #[test]
    fn no_directory_is_told_at_once() {
        let error = Target::new(Path::new("/nowhere/song.wav"), false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write /nowhere/song.wav: No such file or directory"
        );
    }
}
