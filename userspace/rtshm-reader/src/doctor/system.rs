// SPDX-License-Identifier: MIT OR GPL-2.0

//! The machine that is looked at, and nothing is changed of.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{eaccess, AccessFlags};

/// Seconds after which a program that does not answer is ended.
const PATIENCE: &str = "60";

/// Where the machine's files and programs are, and who asks.
#[derive(Clone, Debug)]
pub(super) struct System {
    /// The directory that has `/proc`, `/sys`, `/dev`, ...
    root: PathBuf,
    /// Where programs are looked for, as in `$PATH`.
    path: OsString,
    /// alsa-lib's configuration; its own choice where `None`.
    pub(super) alsa_config: Option<PathBuf>,
    /// The user's `$XDG_RUNTIME_DIR`.
    pub(super) runtime_dir: Option<PathBuf>,
}

/// What a program said.
#[derive(Debug)]
pub(super) struct Said {
    /// Its exit status; `None` after a signal.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl System {
    /// This machine.
    pub(super) fn this() -> Self {
        let mut path = env::var_os("PATH").unwrap_or_default();
        // Not in the PATH of ordinary users.
        path.push(":/usr/sbin:/sbin");
        Self {
            root: "/".into(),
            path,
            alsa_config: None,
            runtime_dir: env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        }
    }

    /// A machine whose files are below `root`, for tests.
    #[cfg(test)]
    pub(super) fn below(root: &Path) -> Self {
        let mut path = root.join("bin").into_os_string();
        path.push(":/usr/bin:/bin");
        Self {
            root: root.into(),
            path,
            alsa_config: Some(root.join("asound.conf")),
            runtime_dir: Some("/run/user".into()),
        }
    }

    /// Where `path`, an absolute one, lies.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// The text of a file without space at its ends; `None` where it cannot be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.at(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_string())
    }

    /// The names in a directory, in order; none where it cannot be read.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Whether this user may read and write a file, by all that decides on that. It is not opened.
    pub(super) fn may_use(&self, path: &str) -> bool {
        eaccess(&self.at(path), AccessFlags::R_OK | AccessFlags::W_OK).is_ok()
    }

    /// The release of the running kernel.
    pub(super) fn release(&self) -> String {
        self.read("/proc/sys/kernel/osrelease").unwrap_or_default()
    }

    /// The name of a process, fit for a terminal: it may be anything; `None` where it is gone or
    /// hidden.
    pub(super) fn process_name(&self, pid: &str) -> Option<String> {
        let name = self.read(&format!("/proc/{pid}/comm"))?;
        let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Some(name.chars().map(printable).collect())
    }

    /// Where a program is; `None` where it is not installed.
    fn program(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(&self.path)
            .map(|dir| dir.join(name))
            .find(|file| file.is_file())
    }

    pub(super) fn has_program(&self, name: &str) -> bool {
        self.program(name).is_some()
    }

    /// Runs a program that only looks; `None` where it is not installed.
    pub(super) fn run(&self, name: &str, arguments: &[&str]) -> Option<Said> {
        let program = self.program(name)?;
        let mut command = match self.program("timeout") {
            None => Command::new(program),
            Some(timeout) => {
                let mut command = Command::new(timeout);
                command.arg(PATIENCE).arg(program);
                command
            }
        };
        // The user's, which a machine of tests has not.
        #[cfg(test)]
        command.env_remove("RUSTC").env_remove("BINDGEN");
        let output = command
            .args(arguments)
            .env("PATH", &self.path)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
        Some(Said {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }

    /// What a program printed, where it is installed and succeeded.
    pub(super) fn ask(&self, name: &str, arguments: &[&str]) -> Option<String> {
        let said = self.run(name, arguments)?;
        (said.code == Some(0)).then_some(said.stdout)
    }
}
