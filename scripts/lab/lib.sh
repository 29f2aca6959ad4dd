# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the lab's scripts share: where things are, how they speak, the lock.

PATH=$PATH:/usr/sbin:/sbin
# What is made is for the guest's users, too, whatever root's own umask is.
umask 022

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Read by the scripts that source this file.
# shellcheck disable=SC2034
{
	repo=$(cd "$lab/../.." && pwd)
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/rtshm
	kselftest=$cache/stock/kselftest	# the stock kernel's own tests of ALSA
	guest_root=$cache/stock/guest		# Debian that the guest runs
}
# shellcheck source-path=SCRIPTDIR source=kernel.sh
. "$lab/kernel.sh"
choose_kernel "${KERNEL:-stock}"

say() {
	printf 'lab: %s\n' "$*" >&2
}

die() {
	say "$@"
	exit 125
}

need_root() {
	((EUID == 0)) || die "must be root: it mounts, and makes root file systems"
}

# need_rust: before anything is set up that would be of no use without.
need_rust() {
	local version oldest
	oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repo/Cargo.toml")
	version=$(cargo --version 2>/dev/null) ||
		die "no cargo for $(id -un): install Rust $oldest or newer for this user; sudo and su leave that of another one behind"
	version=$(cut -d' ' -f2 <<< "$version")
	[[ $(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1) == "$oldest" ]] ||
		die "$(type -P cargo) is $version: Rust $oldest or newer is needed, as rustup has it"
}

# step TEXT COMMAND...: say what takes so long; keep the noise in a log file.
# COMMAND may be a function: it runs under errexit, so not in a condition.
step() {
	step_start=$SECONDS
	step_log=$cache/log/$(basename "$0")-$(basename "$2").log
	mkdir -p "$cache/log"
	printf 'lab: %s ... ' "$1" >&2
	exec {step_stderr}>&2
	trap step_failed EXIT
	"${@:2}" >"$step_log" 2>&1
	trap - EXIT
	exec {step_stderr}>&-
	printf '%d s\n' $((SECONDS - step_start)) >&2
}

step_failed() {
	local status=$?
	exec 2>&"$step_stderr"
	printf 'failed (%d) after %d s\n' $status $((SECONDS - step_start)) >&2
	tail -n 20 "$step_log" | sed 's/^/    /' >&2
	die "the whole log is $step_log"
}

# Two locks.  Who uses the cache holds cache/lock shared, and so does what it
# starts; set-up holds it exclusively while it replaces what others may use.
# One set-up works at a time: cache/setup.lock.
take_lock() {
	flock --nonblock "$@" && return
	say "waiting for other lab commands to end"
	flock "$@"
}

# lab_ready [PACKAGE...]: set up what is missing, and keep it from changing
# for as long as this process and its children live.
lab_ready() {
	local lock
	[[ ! ${LAB_READY-} ]] || return 0
	mkdir -p "$cache"
	exec {lock}>"$cache/lock"
	take_lock --shared "$lock"
	until "$lab/setup" --check "$@"; do
		flock --unlock "$lock"
		"$lab/setup" "$@"
		take_lock --shared "$lock"
	done
	export LAB_READY=yes
}

# guest_with [PACKAGE...]: the guest's root directory that has these packages.
guest_with() {
	local packages
	packages=$(printf '+%s\n' "$@" | sort -u | tr -d '\n' | tr / _)
	echo "$guest_root${*:+$packages}"
}
