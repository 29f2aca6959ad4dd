# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# After a boot: the card is there, behind the real one, for the group audio.

until_true test -e /dev/snd/pcmC0D0p
udevadm settle
cat /proc/asound/cards
grep -q '^ 0 \[.*HDA-Intel' /proc/asound/cards
grep -q '^ 1 \[RtShm ' /proc/asound/cards
[[ $(stat -c '%a %U %G' /dev/rtshm) == '660 root audio' ]]
[[ $(modinfo -F signer rtshm) == *DKMS* ]]
# alsactl has initialised it, and not lowered the volume as for a card that nobody knows.
[[ $(rtshm-reader status) == *'volume            0 dB'* ]]

noise /tmp/noise.wav
as listener rtshm-reader record --format raw --duration 2s /tmp/heard.raw &
recorder=$!
until_true reader_attached
as listener aplay -q -D hw:RtShm /tmp/noise.wav
wait $recorder
# Bit for bit, up to what the recorder missed of the end.
python3 - <<'PYTHON'
import struct, wave
with wave.open("/tmp/noise.wav") as file:
    played = struct.unpack("<192000h", file.readframes(96000))
heard = open("/tmp/heard.raw", "rb").read()
heard = struct.unpack(f"<{len(heard) // 4}f", heard)
assert len(heard) > 150000, len(heard)
assert all(h == p / 32768 for h, p in zip(heard, played)), "not what was played"
print(len(heard), "samples are what was played")
PYTHON
as listener rtshm-reader doctor
status=0
as visitor rtshm-reader status 2> /tmp/refused || status=$?
cat /tmp/refused
((status != 0))
grep -q 'usermod -aG audio' /tmp/refused
ls /usr/share/man/man{1/rtshm-reader,1/rtshm-reader-play,4/rtshm,8/kernel-rust-prep}.[148].gz
bash -c '. /usr/share/bash-completion/completions/rtshm-reader && complete -p rtshm-reader'
done_well
