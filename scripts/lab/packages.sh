# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The root file systems that packages are tested in: layers for in-layers, kept in the
# cache.  Sourced after lib.sh and apt.sh.
#
# shellcheck disable=SC2154 # lib.sh, kernel.sh and who sources this share variables

layers=$cache/packages
old_dkms_suite=bookworm

# headers_layer DIR: Debian with DKMS and the headers of the lab's kernel; and of three
# more beside the stock one: another flavour of it, one without sound, and the base
# suite's, which is built without Rust.
headers_layer() {
	local headers=("linux-headers-$release")
	[[ $KERNEL != stock ]] ||
		headers+=(linux-headers-{"$other_flavour","${release%amd64}cloud-amd64",amd64})
	bootstrap "$1" "${suites[@]}" -- dkms "${headers[@]}"
}

# prep_command LAYER: what kernel-rust-prep says is missing there, in its own words.
prep_command() {
	"$lab/in-layers" "$layers/new.probe" "$layers/$1" "$repo:$repo" -- \
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

# A Debian that boots, with the lab's kernel and its headers, as it comes.
machine_layer() {
	bootstrap "$1" "${suites[@]}" -- alsa-utils dbus-user-session kmod libpam-systemd passwd \
		"linux-base/${suites[-1]}" linux-{image,headers}-"$release" procps systemd-sysv udev || return
	# What a bootstrap leaves out is not left out from now on.
	rm "$1"/etc/{apt/apt.conf.d,dpkg/dpkg.cfg.d}/99mmdebstrap
	# Who are not allowed, and who are allowed, to use sound.
	chroot "$1" useradd --create-home --shell /bin/bash visitor
	chroot "$1" useradd --create-home --shell /bin/bash --groups audio listener
	echo machine > "$1/etc/hostname"
}

# archives_layer DIR DEB...: what apt downloads to install these on the machine, as the
# README has it, and a compiler; and apt's lists.
archives_layer() {
	local dir=$1
	shift
	mkdir -p "$dir/etc/apt/apt.conf.d" "$dir/root"
	apt_acquire_options > "$dir/etc/apt/apt.conf.d/zz-host"
	debian_sources "${suites[@]}" > "$dir/etc/apt/sources.list"
	cp "$@" "$dir/root/"
	# shellcheck disable=SC2016 # expands in there
	"$lab/in-layers" "$dir" "$layers/machine" -- sh -euc '
		apt-get -o APT::Sandbox::User=root update
		apt-get -y -o APT::Sandbox::User=root \
			--download-only install linux-image-amd64/"$1" linux-headers-amd64/"$1" linux-source/"$1" \
			/root/*.deb gcc libc6-dev pkgconf
	' archives "${suites[-1]}" || return
	rm -rf "$dir"/root/*.deb "$dir".work "$dir".root
}

old_dkms_layer() {
	apt_layer "$1" "$layers/tools" "$layers/headers" -- "${suites[0]}" "$old_dkms_suite" -- \
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

# make_machine DEB...: the machine's layers, as far as they are missing.
make_machine() {
	local lock
	mkdir -p "$layers"
	exec {lock}>"$layers/lock"
	take_lock "$lock"
	layer machine "packages: ${suites[0]} that boots $release" "2 $release" machine_layer
	layer archives "packages: what apt gets to install ours" \
		"4 $release $(sha256sum < "$repo/scripts/packaging/debian/control")" \
		archives_layer "$@"
	exec {lock}>&-
}

# make_disk FILE LOWER...: a disk with the root file system that these directories make.
make_disk() {
	local disk=$1
	shift
	rm -f "$disk"
	truncate -s 8G "$disk"
	# shellcheck disable=SC2016 # expands in the namespace's own shell
	unshare --mount --propagation private bash -euc '
		mkdir -p "$1.root"
		mount -t overlay -o "lowerdir=$2" overlay "$1.root"
		mkfs.ext4 -q -d "$1.root" "$1"
	' make-disk "$disk" "$(IFS=:; echo "$*")"
	rmdir "$disk.root"
}

# make_layers: those for the lab's kernel that are missing.
make_layers() {
	local command lock prefix=
	[[ $KERNEL == stock ]] || prefix=$KERNEL-
	mkdir -p "$layers"
	exec {lock}>"$layers/lock"
	take_lock "$lock"
	layer "${prefix}headers" "packages: ${suites[0]} with DKMS and headers of $release" \
		"2 $release" headers_layer
	command=$(prep_command "${prefix}headers")
	[[ $command == "apt install "* ]] || die "kernel-rust-prep names no command: $command"
	layer "${prefix}tools" "packages: $command" "2 $release $command" apt_layer \
		"$layers/${prefix}headers" -- "${suites[@]}" -- "$command"
	[[ $KERNEL != stock ]] ||
		layer old-dkms "packages: the DKMS of $old_dkms_suite" "2 $release $command" old_dkms_layer
	exec {lock}>&-
}
