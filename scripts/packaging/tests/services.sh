# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The two services: they start, play, follow the card's loss and return, and are told to
# start with the machine.

until_true test -e /dev/snd/pcmC0D0p
udevadm settle
unit=rtshm-reader.service
noise /tmp/noise.wav

systemd-analyze verify --man=no $unit
echo 'RTSHM_PLAY="--device hw:0"' > /etc/default/rtshm-reader
systemctl enable --now $unit
until_true reader_attached
service_is active
user=$(ps -o user= -p "$(systemctl show -P MainPID $unit)")
[[ $user != root ]]
plays
systemctl reload $unit
plays
service_is active

# It comes back after a crash, ends with the card, and comes back with it.
before=$(main_pid)
systemctl kill --signal=KILL $unit
until_true restarted_since "$before"
until_true reader_attached
plays
echo 1 > /sys/class/misc/rtshm/remove
until_true service_is inactive
modprobe -r rtshm
modprobe rtshm
until_true reader_attached
service_is active
plays
journalctl --no-pager -u $unit
systemctl disable --now $unit

# The session's.
loginctl enable-linger listener
until_true systemctl is-active --quiet "user@$(id -u listener).service"
in_session() {
	systemctl --user --machine=listener@ "$@"
}
mkdir -p ~listener/.config
echo 'RTSHM_PLAY="--device hw:0"' > ~listener/.config/rtshm-reader
chown -R listener: ~listener/.config
in_session enable --now $unit
until_true in_session is-active --quiet $unit
until_true reader_attached
plays
in_session disable --now $unit

# For the next boot.
systemctl enable $unit
done_well
