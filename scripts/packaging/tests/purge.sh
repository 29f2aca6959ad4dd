# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Take it all away, while it is in use.

until_true reader_attached
# To have it again: making it takes an hour in emulation.
cp -a /var/cache/kernel-rust-prep /root/
apt-get -y purge rtshm-dkms rtshm-tools
service_is inactive
done_well
