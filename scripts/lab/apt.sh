# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The Debian mirror, as this machine's apt is configured to use it.  Sourced
# after lib.sh.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The archive itself: neither the security suite nor a third party's.  Empty
# as long as apt has not fetched its lists.
debian_mirror() {
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' \
		'Created-By: Packages' |
		sed -n 's/^Debian|Debian|\(https\{0,1\}:\)/\1/p' | sed -n 1p
}

# Proxies, certificates, retries and date checks.
apt_acquire_options() {
	apt-config dump Acquire |
		grep -Ei '^Acquire::(https?|ftp|retries|check-|[^ ]*proxy)' || true
}

# The sources.list of the lab's root file systems.
debian_sources() {
	local mirror suite
	mirror=$(debian_mirror)
	[[ $mirror ]] || {
		echo "apt on this machine has no Debian mirror" >&2
		return 1
	}
	for suite; do
		echo "deb [signed-by=$keyring] $mirror $suite main"
	done
}

# bootstrap DIR SUITE... -- PACKAGE...: a Debian root file system.
bootstrap() {
	local dir=$1 options=() bootstrap_suites=() line
	shift
	while [[ $1 != -- ]]; do
		bootstrap_suites+=("$1")
		shift
	done
	shift
	while IFS= read -r line; do
		options+=(--aptopt="$line")
	done < <(apt_acquire_options)

	# In a mount namespace, or the mounts of a killed one would stay.
	debian_sources "${bootstrap_suites[@]}" |
		unshare --mount --propagation private \
			mmdebstrap --mode=root --variant=apt --format=directory \
			--keyring="$keyring" "${options[@]}" \
			--aptopt='APT::Install-Recommends "false"' \
			--dpkgopt=force-unsafe-io \
			--dpkgopt=path-exclude='/usr/share/doc/*' \
			--dpkgopt=path-exclude='/usr/share/man/*' \
			--dpkgopt=path-exclude='/usr/share/locale/*' \
			--include="$(IFS=,; echo "$*")" \
			"${bootstrap_suites[0]}" "$dir" -
	rm -rf "$dir"/var/lib/apt/lists/* "$dir"/var/cache/apt/*.bin
}
