# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The system's service has started with the machine.

until_true reader_attached
service_is active
noise /tmp/noise.wav
plays
systemd-analyze security --no-pager rtshm-reader.service | tail -n 1
done_well
