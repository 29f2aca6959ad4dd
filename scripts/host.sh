# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What bench, bench-latency and docs need of the host; sourced by them.

# install_missing WHO [PACKAGE...]: install these, or say how.
install_missing() {
	local who=$1
	shift
	(($#)) || return 0
	if ((EUID)) || ! command -v apt-get >/dev/null; then
		echo "$who: first, as root: apt install $*" >&2
		return 1
	fi
	echo "$who: installing $*" >&2
	apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -qq -y \
		--no-install-recommends "$@" >/dev/null
}
