# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Take it away with what it had brought.

is_installed() {
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1") == installed ]]
}

until_true test -e /dev/rtshm
brought=(rtshm-dkms rtshm-tools dkms rustc rust-src bindgen)
for package in "${brought[@]}"; do
	is_installed "$package"
done
# DKMS had brought sudo, which does not go from a root without a password, as here.
SUDO_FORCE_REMOVE=yes apt-get -y purge --autoremove rtshm-dkms rtshm-tools
for package in "${brought[@]}"; do
	! is_installed "$package" || { echo "still there: $package"; exit 1; }
done
done_well
