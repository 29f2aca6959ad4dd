// SPDX-License-Identifier: MIT OR GPL-2.0

//! What opening a device says where there is none.

use rtshm::{Consumer, Device, Error};

#[test]
fn a_missing_device_says_how_to_get_it() {
    let error = Consumer::open("/dev/rtshm-of-nobody").unwrap_err();
    assert!(matches!(error, Error::Missing { .. }));
    if rtshm::paths().is_empty() {
        assert_eq!(
            error.to_string(),
            "no /dev/rtshm-of-nobody: load the module with `modprobe rtshm`"
        );
    }
}

#[test]
fn other_files_are_no_devices() {
    for path in ["/dev/null", "/dev/zero"] {
        let error = Device::open(path).unwrap().info().unwrap_err();
        assert!(matches!(error, Error::NotADevice { .. }), "{error}");
        assert!(matches!(
            Consumer::open(path),
            Err(Error::NotADevice { .. })
        ));
    }
    assert!(matches!(
        Device::open("/proc/self/comm"),
        Err(Error::NotADevice { .. })
    ));
    assert!(matches!(
        Device::open("/dev"),
        Err(Error::NotADevice { .. })
    ));
    assert!(matches!(
        Consumer::open("/dev"),
        Err(Error::NotADevice { .. })
    ));
}

#[test]
fn a_pipe_does_not_make_it_wait() {
    let path = std::env::temp_dir().join(format!("rtshm-fifo-{}", std::process::id()));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let opened = Device::open(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(opened, Err(Error::NotADevice { .. })));
}
