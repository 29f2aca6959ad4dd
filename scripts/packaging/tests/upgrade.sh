# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# A newer version comes while the old module is in use: nothing breaks, apt says what to do,
# and the next module that is loaded is the new one.

until_true reader_attached
service=$(main_pid)
old=$(modinfo -F version rtshm)
noise /tmp/noise.wav
aplay -q -D hw:RtShm -f S16_LE -r 48000 -c 2 /dev/zero &
apt-get -y install /root/newer/*.deb | tee /tmp/said
grep -q "in use is of version $old" /tmp/said
new=$(dpkg-query -W -f '${Version}' rtshm-dkms)
status=$(dkms status rtshm)
[[ $status == "rtshm/$new, "*installed* && $status != *$'\n'* ]]
until_true restarted_since "$service"
until_true reader_attached
[[ $(systemctl show -P NRestarts rtshm-reader.service) == 0 ]]
kill $!
wait $! || echo "as it was told to"
plays

[[ $(modinfo -F version rtshm) == "$new" && $(< /sys/module/rtshm/version) == "$old" ]]
systemctl stop rtshm-reader.service
modprobe -r rtshm
modprobe rtshm
[[ $(< /sys/module/rtshm/version) == "$new" ]]
until_true reader_attached
plays
done_well
