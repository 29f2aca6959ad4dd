# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The Debian packages, installed by apt on a machine of their own: first with its disk
# mounted here, as making the metadata takes too long in emulation, then in the virtual
# machine.  Sourced by scripts/test-packages.
#
# shellcheck disable=SC2016,SC2154 # expands in there; test-packages and its libraries set these

disk=$repo/build/test-packages.disk

# in_machine NAME FILE: run FILE in the machine that the disk boots.
in_machine() {
	local file=scripts/packaging/tests/$2.sh
	expect "$1" 0 '^all is as it should be$' scripts/vm --disk "$disk" --timeout 3000 \
		--log "$logs/$1.kernel" -- \
		bash -euo pipefail -c "$(cat scripts/packaging/tests/common.sh "$file")"
}

# on_the_disk UPPER SCRIPT: run it in the machine's root file system, with what apt has
# downloaded before.
on_the_disk() {
	unshare --net "$lab/in-layers" "$PWD/$logs/$1" "$PWD/$logs/debs" "$layers"/{archives,machine} \
		"$repo/userspace/examples:/mnt" -- \
		env DEBIAN_FRONTEND=noninteractive R="$release" S="${suites[-1]}" bash -euo pipefail -c "$2"
}

# newer DEB DIR: the same package as of a later version, in DIR.
newer() {
	local unpacked=$logs/newer source
	dpkg-deb -R "$1" "$unpacked"
	sed -i "s/^Version: .*/&.1/" "$unpacked/DEBIAN/control"
	source=$unpacked/usr/src/rtshm-$version
	if [[ -d $source ]]; then
		mv "$source" "$source.1"
		sed -i "s/$version/&.1/" "$source.1/dkms.conf" "$unpacked"/DEBIAN/{postinst,prerm,md5sums}
		sed -i "s/RTSHM_VERSION \"$version/&.1/" "$source.1/module/shim.c"
	fi
	dpkg-deb -b "$unpacked" "$2" >/dev/null
	rm -r "$unpacked"
}

apt() {
	local name debs before=$failed
	[[ $(type -P lintian dh_dkms dh) == *lintian*dh_dkms*dh ]] ||
		step "host: install lintian debhelper dh-dkms" env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y --no-install-recommends lintian debhelper dh-dkms dpkg-dev
	expect apt-make-deb 0 '' make deb
	expect apt-lintian 0 '' lintian --fail-on error,warning,info build/deb/*.deb
	expect make-install-and-uninstall 0 '' bash -euo pipefail -c '
		to="DESTDIR=$1 PREFIX=/opt/rtshm"
		make install $to
		"$1/opt/rtshm/bin/rtshm-reader" --version
		[[ -e $1/opt/rtshm/share/man/man1/rtshm-reader-play.1 && -e $1/etc/modprobe.d/rtshm.conf ]]
		echo "# mine" >> "$1/etc/default/rtshm-reader"
		make install $to
		make uninstall $to
		left=$(find "$1" ! -type d)
		echo "left: $left"
		[[ $left == "$1/etc/default/rtshm-reader" && ! -e $1/usr/src/rtshm-$2 ]]
		tail -n 1 "$left" | grep -qx "# mine"' bash "$PWD/$logs/by-make" "$version"
	expect make-install-from-elsewhere 0 '' bash -euo pipefail -c '
		mkdir -p "$1/a b"
		ln -s "${CARGO_TARGET_DIR:-$PWD/target}" "$1/a b/target"
		CARGO_TARGET_DIR="$1/a b/target" DESTDIR="$1/to here" scripts/packaging/install
		"$1/to here/usr/local/bin/rtshm-reader" --version' bash "$PWD/$logs/from"
	debs=(build/deb/*.deb)
	make_machine "${debs[@]}"
	mkdir -p "$logs"/debs/root/{debs,newer}
	cp "${debs[@]}" "$logs"/debs/root/debs
	for name in dkms tools; do
		newer build/deb/rtshm-${name}_*.deb "$logs"/debs/root/newer
	done

	# From a Debian that has its kernel and nothing else, by one command.
	expect apt-install 0 '^rtshm/.*: installed' on_the_disk bought '
		apt-get -y install \
			linux-{image-amd64,headers-amd64,source}/"$S" /root/debs/rtshm-{dkms,tools}_*.deb
		apt-get clean
		rm -rf /var/lib/apt/lists/*
		kernel-rust-prep --check $R
		dkms status -k $R'
	expect apt-install-dev 0 '' on_the_disk dev '
		apt-get -y install /root/debs/librtshm-dev_*.deb gcc libc6-dev pkgconf
		gcc -std=c11 -Wall -Werror $(pkg-config --cflags rtshm) -o /tmp/example /mnt/consumer.c'
	forget dev
	# Nothing of what follows can be without it.
	((failed == before)) || return 0
	make_disk "$disk" "$PWD/$logs"/{bought,debs} "$layers/machine"
	forget bought

	in_machine apt-first-boot first-boot
	in_machine apt-services services
	in_machine apt-services-after-boot services-after-boot
	in_machine apt-upgrade upgrade
	in_machine apt-purge purge
	in_machine apt-after-purge after-purge
	in_machine apt-install-in-machine install
	in_machine apt-boot-after-that first-boot
	in_machine apt-autoremove autoremove
	in_machine apt-after-autoremove after-purge
	forget debs
	rm -f "$disk"
}
