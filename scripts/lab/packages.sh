# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The root file systems that packages are tested in: layers for in-layers, kept in the
# cache.  Sourced after lib.sh and apt.sh.
#
# shellcheck disable=SC2154 # lib.sh, kernel.sh and who sources this share variables

layers=$cache/packages
old_dkms_suite=bookworm

# Debian with DKMS and the headers of four kernels: the lab's, another flavour of it,
# one without sound, and the base suite's, which is built without Rust.
headers_layer() {
	bootstrap "$1" dkms linux-headers-{"$release","$other_flavour","${release%amd64}cloud-amd64",amd64}
}

# What kernel-rust-prep says is missing there, in its own words.
prep_command() {
	"$lab/in-layers" "$layers/new.probe" "$layers/headers" "$repo:$repo" -- \
		"$repo/scripts/kernel-rust-prep" "$release" 2>&1 | sed -n 's/.*Run: //p'
	rm -rf "$layers"/new.probe{,.work,.root}
}

# apt_layer DIR LOWER... -- SUITE... -- COMMAND: what this command of apt adds.
apt_layer() {
	local dir=$1 lower=() suites=()
	shift
	while [[ $1 != -- ]]; do
		lower+=("$1")
		shift
	done
	shift
	while [[ $1 != -- ]]; do
		suites+=("$1")
		shift
	done
	shift
	mkdir -p "$dir/etc/apt/apt.conf.d"
	apt_acquire_options > "$dir/etc/apt/apt.conf.d/zz-host"
	debian_sources "${suites[@]}" > "$dir/etc/apt/sources.list"
	# shellcheck disable=SC2016 # expands in there
	"$lab/in-layers" "$dir" "${lower[@]}" -- sh -euc '
		export DEBIAN_FRONTEND=noninteractive
		apt-get -o APT::Sandbox::User=root update
		$1 -y -o APT::Sandbox::User=root -o DPkg::Options::=--force-unsafe-io
		apt-get clean
		rm -rf /var/lib/apt/lists/* /usr/src/rustc-*/compiler /usr/src/rustc-*/src
	' sh "$1" || return
	rm -rf "$dir".work "$dir".root
}

old_dkms_layer() {
	apt_layer "$1" "$layers/tools" "$layers/headers" -- "$kernel_base_suite" "$old_dkms_suite" -- \
		"apt-get install --allow-downgrades dkms/$old_dkms_suite"
}

# layer NAME TEXT STAMP COMMAND [ARG...]: run COMMAND with a directory and ARG..., unless
# it is there from the same stamp.
layer() {
	local dir=$layers/$1 text=$2 stamp=$3 new=$layers/new
	shift 3
	if [[ -e $dir.stamp && $(< "$dir.stamp") == "$stamp" ]]; then
		return
	fi
	rm -rf --one-file-system "$dir" "$dir.stamp" "$new"{,.work,.root}
	step "$text" "$1" "$new" "${@:2}"
	mv -T "$new" "$dir"
	echo "$stamp" > "$dir.stamp"
}

# make_layers: those that are missing.
make_layers() {
	local command lock
	mkdir -p "$layers"
	exec {lock}>"$layers/lock"
	take_lock "$lock"
	layer headers "packages: $kernel_base_suite with DKMS and headers of $release" \
		"2 $release" headers_layer
	command=$(prep_command)
	[[ $command == "apt install "* ]] || die "kernel-rust-prep names no command: $command"
	layer tools "packages: $command" "2 $release $command" apt_layer \
		"$layers/headers" -- "$kernel_base_suite" "$kernel_suite" -- "$command"
	layer old-dkms "packages: the DKMS of $old_dkms_suite" "2 $release $command" old_dkms_layer
	exec {lock}>&-
}
