# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the scripts that run in the virtual machine share: it comes before them.

trap 'echo "failed in line $LINENO: $BASH_COMMAND" >&2' ERR
export DEBIAN_FRONTEND=noninteractive

# until_true COMMAND...: wait for it, for as long as the machine is given.
until_true() {
	until "$@"; do
		sleep 0.5
	done
}

# as USER COMMAND...
as() {
	local user=$1
	shift
	runuser --user "$user" -- "$@"
}

reader_attached() {
	[[ $(rtshm-reader status 2>/dev/null) == *'rtshm-reader (pid '* ]]
}

service_is() {
	[[ $(systemctl is-active rtshm-reader.service) == "$1" ]]
}

real_card_runs() {
	grep -q RUNNING /proc/asound/card0/pcm0p/sub0/status
}

real_card_rests() {
	! real_card_runs
}

delivered() {
	rtshm-reader status --json | tr -d ' \n' | sed 's/.*"frames":\([0-9]*\).*/\1/'
}

main_pid() {
	systemctl show -P MainPID rtshm-reader.service
}

restarted_since() {
	local now
	now=$(main_pid)
	[[ $now != 0 && $now != "$1" ]]
}

# plays: all of what an application plays is delivered, and sets the real card going.
plays() {
	local before
	until_true real_card_rests
	before=$(delivered)
	aplay -q -D hw:RtShm /tmp/noise.wav &
	until_true real_card_runs
	wait $!
	(($(delivered) - before == 96000))
	until_true real_card_rests
}

# Two seconds of noise, the same each time.
noise() {
	python3 -c '
import random, struct, sys, wave
random.seed(7)
with wave.open(sys.argv[1], "wb") as file:
    file.setparams((2, 2, 48000, 0, "NONE", ""))
    file.writeframes(struct.pack("<192000h", *(random.randint(-32768, 32767) for _ in range(192000))))
' "$1"
}

done_well() {
	echo "all is as it should be"
}
