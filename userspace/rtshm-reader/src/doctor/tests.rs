// SPDX-License-Identifier: MIT OR GPL-2.0

//! On machines that are made up of files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

const RELEASE: &str = "7.3.4+test";

const HEADERS_CONFIG: &str =
    "CONFIG_RUST=y\nCONFIG_SND_PCM=m\nCONFIG_SND_PROC_FS=y\nCONFIG_RUSTC_VERSION_TEXT=\"rustc 1.85.1\"\n";

struct Machine(TempDir);

impl Machine {
    /// One that has nothing but its kernel.
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine
            .file("proc/sys/kernel/osrelease", RELEASE)
            .file(
                &format!("boot/config-{RELEASE}"),
                "CONFIG_RUST=y\nCONFIG_SND_PCM=m\nCONFIG_SND_PROC_FS=y\nCONFIG_RUST_IS_AVAILABLE=y\n",
            )
            .file(
                "proc/self/status",
                "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0\n",
            )
            .file("etc/group", "root:x:0:\naudio:x:29:somebody\n")
            .file("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
            .file("asound.conf", "pcm.default { type hw card 0 }\n")
            .limits("0", "8388608");
        for name in [
            "modinfo",
            "dkms",
            "pw-dump",
            "pactl",
            "apt-get",
            "apt-cache",
        ] {
            machine.program(name, "exit 1");
        }
        machine
    }

    /// One where all is well.
    fn well() -> Self {
        let machine = Self::new();
        machine
            .program("modinfo", &modinfo("7.3.4+test SMP", "A1B2"))
            .file("sys/module/rtshm/version", "0.1.0\n")
            .file("sys/module/rtshm/srcversion", "A1B2\n")
            .card(0, "PCH")
            .card(1, "RtShm")
            .ours(1, "none", [0, 0, 0], 0)
            .limits("95", "unlimited");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn without(&self, path: &str) -> &Self {
        fs::remove_file(self.path(path)).unwrap();
        self
    }

    fn program(&self, name: &str, script: &str) -> &Self {
        let path = format!("bin/{name}");
        self.file(&path, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path(&path), Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Headers, metadata and the rustc that made them.
    fn can_build(&self) -> &Self {
        let tree = format!("lib/modules/{RELEASE}/build");
        self.file(&format!("{tree}/Makefile"), "")
            .file(&format!("{tree}/.config"), HEADERS_CONFIG)
            .metadata()
            .program("bindgen", "echo bindgen 0.71.1")
            .program("rustc", "echo rustc 1.85.1")
    }

    fn metadata(&self) -> &Self {
        let rust = format!("lib/modules/{RELEASE}/build/rust");
        self.file(&format!("{rust}/libkernel.rmeta"), "")
            .file(&format!("{rust}/libcore.rmeta"), "\0rustc 1.85.1\0")
            .file(&format!("{rust}/libmacros.so"), "")
    }

    fn card(&self, index: u32, id: &str) -> &Self {
        self.file(&format!("proc/asound/card{index}/id"), id)
            .file(
                &format!("proc/asound/card{index}/pcm0p/sub0/status"),
                "closed\n",
            )
            .file(&format!("dev/snd/controlC{index}"), "")
            .file(&format!("dev/snd/pcmC{index}D0p"), "")
    }

    /// Makes a card one of the module's, with these counters: frames and places lost, faults; xruns.
    fn ours(&self, index: u32, pid: &str, [lost, places, faults]: [u64; 3], xruns: u64) -> &Self {
        let dir = format!("proc/asound/card{index}");
        self.file(
            &format!("{dir}/ring"),
            &format!(
                "capacity:     1048576 bytes\nconsumer_pid: {pid}\nlost_frames:  {lost} frames\n\
                 lost_records: {places}\nfaults:       {faults}\n"
            ),
        )
        .file(
            &format!("{dir}/stream"),
            &format!("xruns:        {xruns}\n"),
        )
        .file(&format!("{dir}/clock"), "source:       Consumer\n")
    }

    fn limits(&self, priority: &str, memory: &str) -> &Self {
        self.file(
            "proc/self/limits",
            &format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max locked memory         {memory}              unlimited            bytes     \n\
                 Max realtime priority     {priority}                    99                   \n"
            ),
        )
    }

    /// A check by its name, without the device's, which is no device here.
    fn check(&self, name: &str) -> Check {
        let checks = self.examine();
        let found = checks.iter().find(|check| check.check == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {checks:?}"))
            .clone()
    }

    fn examine(&self) -> Vec<Check> {
        let system = System::below(self.0.path());
        examine(&system, Path::new("/dev/rtshm"), "default")
    }

    /// Checks a verdict, and that finding and fix contain these texts.
    #[track_caller]
    fn expect(&self, name: &str, verdict: Verdict, finding: &str, fix: &str) -> &Self {
        let check = self.check(name);
        let said = check.fix.clone().unwrap_or_default();
        assert!(
            check.verdict == verdict && check.finding.contains(finding) && said.contains(fix),
            "{check:?}"
        );
        self
    }
}

/// A modinfo that knows the module of this vermagic and source.
fn modinfo(magic: &str, source: &str) -> String {
    format!(
        "case \"$*\" in\n\
         '-n rtshm') echo /lib/modules/{RELEASE}/updates/rtshm.ko ;;\n\
         '-F vermagic rtshm') echo '{magic} ' ;;\n\
         '-F vermagic snd-pcm') echo '7.3.4+test SMP ' ;;\n\
         '-F srcversion rtshm') echo {source} ;;\n\
         '-F signer rtshm') ;;\n\
         *) exit 1 ;;\nesac"
    )
}

/// But for the device, which no file can be.
#[test]
fn a_machine_where_all_is_well() {
    let machine = Machine::well();
    machine.file("dev/rtshm", "");
    for check in machine.examine() {
        let expected = match check.check.as_str() {
            "/dev/rtshm" => Verdict::Fail,
            "building" | "sound server" => Verdict::Skip,
            _ => Verdict::Ok,
        };
        assert_eq!(check.verdict, expected, "{check:?}");
    }
    machine.expect("/dev/rtshm", Verdict::Fail, "not our device", "--rtshm");
}

#[test]
fn a_kernel_has_a_version_and_options() {
    let machine = Machine::new();
    machine.expect("kernel", Verdict::Ok, RELEASE, "");
    machine.file("proc/sys/kernel/osrelease", "6.12.1");
    machine.expect("kernel", Verdict::Fail, "older than", "or newer");
    machine.expect("CONFIG_RUST", Verdict::Skip, "configuration", "");
    machine.file(
        "boot/config-6.12.1",
        "# CONFIG_RUST is not set\nCONFIG_SND_PCM=m\n",
    );
    machine.expect("CONFIG_RUST", Verdict::Fail, "not set", "CONFIG_RUST");
    machine.expect("CONFIG_SND_PCM", Verdict::Ok, "a module", "");
    machine.expect(
        "CONFIG_SND_PROC_FS",
        Verdict::Fail,
        "not set",
        "SND_PROC_FS",
    );
    machine.expect("building", Verdict::Skip, "not for this kernel", "");
}

/// By the script that `make` asks.
#[test]
fn a_module_is_built_from_headers_metadata_and_the_same_rustc() {
    let machine = Machine::new();
    let tree = format!("lib/modules/{RELEASE}/build");
    machine.expect(
        "building",
        Verdict::Fail,
        "headers are not in",
        "sudo apt install linux-headers-7.3.4+test",
    );
    machine
        .file(&format!("{tree}/Makefile"), "")
        .file(&format!("{tree}/.config"), HEADERS_CONFIG)
        .program("bindgen", "echo bindgen 0.71.1")
        .program("rustc", "echo rustc 1.95.0");
    machine.expect(
        "building",
        Verdict::Fail,
        "no Module.symvers",
        "kernel-rust-prep(8)",
    );
    machine.metadata();
    machine.expect(
        "building",
        Verdict::Fail,
        "built by rustc 1.85.1, and the rustc here is rustc 1.95.0",
        "sudo apt install libstd-rust-dev",
    );
    let finding = machine.check("building").finding;
    assert!(
        finding.starts_with("kernel 7.3.4+test: ") && !finding.contains("Run"),
        "{finding}"
    );
    machine.program("rustc", "echo rustc 1.85.1");
    machine.expect("building", Verdict::Ok, "fit", "");
}

/// The running kernel's own configuration may be another.
#[test]
fn headers_have_what_the_module_needs() {
    let machine = Machine::new();
    machine.can_build();
    let config = format!("lib/modules/{RELEASE}/build/.config");
    for option in ["SND_PCM", "SND_PROC_FS"] {
        let without = HEADERS_CONFIG.replace(&format!("CONFIG_{option}="), "# CONFIG_OTHER=");
        machine.file(&config, &without);
        machine.expect(
            "building",
            Verdict::Fail,
            &format!("built without CONFIG_{option}"),
            "kernel-rust-prep(8)",
        );
    }
}

/// What the module needs is written in one place, which all of them read.
#[test]
fn nobody_has_needs_of_their_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in ["Makefile", "scripts/packaging/dkms.conf"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains("module/needs"), "{file}");
        for word in ["--at-least", "--config"] {
            assert!(!text.contains(word), "{file}: {word}");
        }
    }
}

#[test]
fn a_module_is_for_this_kernel() {
    let machine = Machine::new();
    machine.expect("module file", Verdict::Skip, "none can be built", "");
    machine.can_build();
    machine.expect("module file", Verdict::Fail, "DKMS knows of none", "insmod");
    machine.expect("module loaded", Verdict::Skip, "no module file", "");
    machine.expect("/dev/rtshm", Verdict::Skip, "not loaded", "");
    machine.expect("virtual card", Verdict::Skip, "not loaded", "");
    machine.program("dkms", "echo 'rtshm/0.1.0, 7.3.1, x86_64: installed'");
    machine.expect(
        "module file",
        Verdict::Fail,
        "7.3.1",
        "dkms autoinstall -k 7.3.4+test",
    );
    machine.program("modinfo", &modinfo("7.3.1 SMP", "A1B2"));
    machine.expect(
        "module file",
        Verdict::Fail,
        "7.3.1 SMP",
        "dkms autoinstall",
    );
    machine.program("modinfo", &modinfo("7.3.4+test SMP", "A1B2"));
    machine.expect("module file", Verdict::Ok, "rtshm.ko", "");
    machine.expect("module loaded", Verdict::Fail, "no", "sudo modprobe rtshm");
    let machine = Machine::well();
    machine.file("sys/module/rtshm/srcversion", "0000\n");
    machine.expect(
        "module file",
        Verdict::Warn,
        "another than the loaded",
        "modprobe -r",
    );
}

#[test]
fn signatures_matter_where_they_are_enforced() {
    let secure_boot = "sys/firmware/efi/efivars/\
                       SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let machine = Machine::new();
    machine.program("modinfo", &modinfo("7.3.4+test SMP", "A1B2"));
    machine.expect("signature", Verdict::Ok, "no Secure Boot", "");
    machine.file(secure_boot, "\u{6}\0\0\0\u{1}");
    machine.expect("signature", Verdict::Ok, "Secure Boot is on", "");
    machine.file(
        "sys/kernel/security/lockdown",
        "[none] integrity confidentiality\n",
    );
    machine.expect("signature", Verdict::Ok, "not needed", "");
    machine.file(
        "sys/kernel/security/lockdown",
        "none [integrity] confidentiality\n",
    );
    machine.expect("signature", Verdict::Fail, "not signed", "mokutil");
    machine.without("sys/kernel/security/lockdown");
    machine.file("sys/module/module/parameters/sig_enforce", "Y\n");
    machine.expect("signature", Verdict::Fail, "not signed", "mokutil");
    machine.file("sys/module/rtshm/version", "0.1.0\n");
    machine.expect("signature", Verdict::Ok, "has taken it", "");
}

#[test]
fn cards_have_users_and_counters() {
    let machine = Machine::well();
    machine.expect("RtShm reader", Verdict::Ok, "free", "");
    machine.expect("RtShm player", Verdict::Ok, "none", "");
    machine
        .ours(1, "42", [480, 2, 0], 0)
        .file("proc/42/comm", "rtshm-reader\n")
        .file(
            "proc/asound/card1/pcm0p/sub0/status",
            "state: RUNNING\nowner_pid   : 43\n",
        );
    machine.expect("RtShm reader", Verdict::Ok, "rtshm-reader (pid 42)", "");
    machine.expect("RtShm player", Verdict::Ok, "pid 43", "");
    machine.file("proc/42/comm", "\x1b[2J\n");
    machine.expect("RtShm reader", Verdict::Ok, "\u{fffd}[2J (pid 42)", "");
    machine.expect(
        "RtShm counters",
        Verdict::Warn,
        "480 frames lost in 2 places",
        "ring_kib",
    );
    machine.ours(1, "none", [0, 0, 3], 0);
    machine.expect("RtShm counters", Verdict::Warn, "3 readers", "");
    machine.ours(1, "none", [0, 0, 0], 7);
    machine.expect("RtShm counters", Verdict::Warn, "7 streams", "buffer");
    machine
        .without("dev/snd/pcmC1D0p")
        .without("dev/snd/controlC1");
    machine.expect(
        "virtual card",
        Verdict::Fail,
        "no /dev/snd/controlC1",
        "udevadm",
    );
    for file in ["id", "ring", "stream", "clock"] {
        machine.without(&format!("proc/asound/card1/{file}"));
    }
    machine.expect("virtual card", Verdict::Fail, "taken away", "modprobe");
}

#[test]
fn the_reader_must_not_play_to_itself() {
    let machine = Machine::well();
    machine.expect("PCM default", Verdict::Ok, "card 0 (PCH)", "");
    for card in ["1", "RtShm"] {
        let config = format!("pcm.default {{ type plug slave.pcm {{ type hw card {card} }} }}\n");
        machine.file("asound.conf", &config);
        machine.expect(
            "PCM default",
            Verdict::Fail,
            "a loop",
            "--device plughw:PCH",
        );
    }
    machine.file("asound.conf", "pcm.default { type hw card 5 }\n");
    machine.expect("PCM default", Verdict::Fail, "card 5", "plughw:PCH");
    machine.file("asound.conf", "pcm.other { type hw card 0 }\n");
    machine.expect("PCM default", Verdict::Fail, "nowhere", "plughw:PCH");
    machine.without("dev/snd/controlC0");
    machine.expect(
        "sound card",
        Verdict::Fail,
        "no /dev/snd/controlC0",
        "udevadm",
    );
    machine.expect("PCM default", Verdict::Skip, "no card to play on", "");
    machine.without("dev/snd/pcmC0D0p");
    machine.expect("sound card", Verdict::Fail, "none", "aplay -l");
}

/// The parts of what `pw-dump` prints that matter.
fn pipewire(default: &str) -> String {
    format!(
        r#"cat <<'END'
[{{"id": 1, "type": "PipeWire:Interface:Core", "info": {{"props": {{}}}}}},
 {{"id": 40, "info": {{"props": {{"media.class": "Audio/Sink", "node.name": "pch",
   "api.alsa.pcm.card": "0"}}}}}},
 {{"id": 41, "info": {{"props": {{"media.class": "Audio/Sink", "node.name": "rtshm",
   "api.alsa.pcm.card": 1}}}}}},
 {{"id": 31, "props": {{"metadata.name": "default"}}, "metadata": [
   {{"key": "default.audio.sink", "value": {{"name": "{default}"}}}}]}}]
END"#
    )
}

#[test]
fn sound_servers_have_the_card_and_may_make_a_loop() {
    let machine = Machine::well();
    machine.expect("sound server", Verdict::Skip, "none runs", "");
    machine.file("asound.conf", "pcm.default { type pipewire }\n");
    machine.file("run/user/pipewire-0", "");
    machine.expect("sound server", Verdict::Skip, "no answer", "");
    machine.program("pw-dump", &pipewire("pch"));
    machine.expect("sound server", Verdict::Ok, "by default: pch", "");
    machine.expect("PCM default", Verdict::Ok, "pipewire", "");
    machine.program("pw-dump", &pipewire("rtshm"));
    machine.expect("sound server", Verdict::Ok, "into the card by default", "");
    machine.expect("PCM default", Verdict::Fail, "a loop", "plughw:PCH");
    machine.program("pw-dump", "echo '[]'");
    machine.expect(
        "sound server",
        Verdict::Warn,
        "does not have",
        "wireplumber",
    );
}

#[test]
fn real_time_has_limits() {
    let machine = Machine::well();
    machine.limits("9", "8388608");
    machine.expect("real time", Verdict::Warn, "not allowed", "rtprio");
    machine.expect("locked memory", Verdict::Warn, "8192 KiB", "memlock");
    machine.limits("10", "unlimited");
    machine.expect("real time", Verdict::Ok, "up to 10", "");
    machine.limits("0", "0").file(
        "proc/self/status",
        "Uid:\t1000\t0\t0\t0\nCapEff:\t0000000000800000\n",
    );
    machine.expect("real time", Verdict::Ok, "any", "");
    machine.expect("locked memory", Verdict::Ok, "any", "");
}

#[test]
fn text_fits_a_terminal() {
    let report = Report::new(vec![
        Check::ok("kernel", "7.3.4"),
        Check::fail(
            "module loaded",
            "a finding that is so long that it does not fit into what is left of the line",
        )
        .fix("sudo modprobe rtshm    # and wait"),
    ]);
    assert_eq!(
        report.text(),
        "\
ok    kernel        - 7.3.4
FAIL  module loaded - a finding that is so long that it does not fit into what
                      is left of the line
      mend: sudo modprobe rtshm
            # and wait
1 ok, 0 warnings, 1 failed, 0 skipped
"
    );
}

pub(crate) fn json() -> serde_json::Value {
    serde_json::to_value(Report::new(vec![Check::skip("a", "b")])).unwrap()
}

#[test]
fn json_says_the_same() {
    let expected = serde_json::json!({
        "checks": [{"check": "a", "verdict": "skip", "finding": "b", "fix": null}],
        "ok": 0, "warnings": 0, "failures": 0, "skipped": 1,
    });
    assert_eq!(json(), expected);
}
