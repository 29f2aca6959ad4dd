# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The virtual machine: start it, follow what its init reports, stop it.
# Sourced by scripts/vm; its options are in upper case here as there.
#
# In the directory RUN are, as files, the ends of the guest's ports: report,
# stdout, stderr, requests and serial.  A file never makes the guest wait, and
# what was written to it outlives the guest.
#
# shellcheck disable=SC2034,SC2154 # shared with scripts/vm

start_qemu() {
	local append cpu=max
	local -a qemu

	# oops=panic: whatever lock the dead task held, the rest would only hang.
	# A warning need not end the run: it is found in the log.
	append='console=ttyS0 quiet panic=-1 oops=panic sysrq_always_enabled'
	# Checking the timer fails now and then on a loaded host.
	append+=' no_timer_check'
	# Sample the allocator's users more often than every 100 ms.
	append+=' kfence.sample_interval=50'
	[[ ! $RAM_ROOT ]] || append+=' lab.root=ram'
	[[ ! $DISK ]] || append+=' lab.root=disk systemd.show_status=no'
	if [[ $KERNEL == debug ]]; then
		# One report of KASAN shall not hide the next.
		append+=' kasan_multi_shot'
		# Checked slabs have no arrays of free objects per CPU, in which
		# kmemleak would see pointers to objects that are in use.
		append+=' slab_debug=F'
		# An interrupt while the kernel looks at the CPU's features anew finds
		# KASAN with the addresses of four levels of page tables.
		cpu+=',la57=off'
	fi

	qemu=(
		qemu-system-x86_64 -machine q35 -cpu "$cpu" -m 2G
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$image/vmlinuz" -initrd "$initramfs/initrd"
		-append "$append"
		-serial "file:$RUN/serial"
		-chardev "pipe,id=monitor,path=$RUN/monitor" -mon monitor
		-device virtio-serial-pci
	)
	if [[ $ICOUNT ]]; then
		qemu+=(-smp 1 -icount "shift=1,sleep=off")
		# It has time; a machine by the host's clock beside it has not.
		qemu=(nice "${qemu[@]}")
	else
		# With a thread for each CPU the guest oopses now and then: QEMU
		# and a kernel that patches its code do not go together.
		qemu+=(-smp "$SMP" -accel "tcg,thread=single")
	fi

	add_port report 1
	add_port stdout 2
	add_port stderr 3
	add_port requests 4

	if [[ $DISK ]]; then
		# Unsafe for the host's crash, not for the guest's.
		qemu+=(-drive "if=none,id=disk,format=raw,cache=unsafe,file=${DISK//,/,,}")
		qemu+=(-device "virtio-blk-pci,drive=disk")
	else
		add_folder root "$(guest_with "${PACKAGES[@]}")" readonly=on
		add_folder modules "$image/modules" readonly=on
	fi
	add_folder lab "$RUN/lab" readonly=on
	[[ ! $SHARE ]] || add_folder host "$SHARE" readonly=off

	if [[ $WAV ]]; then
		qemu+=(-audiodev "wav,id=card,path=${WAV//,/,,},out.frequency=$WAV_RATE,out.channels=2,out.format=s16")
	else
		qemu+=(-audiodev "none,id=card")
	fi
	# Without QEMU's mixer: it would scale the samples.  Without the codec's
	# timer: it drops what a busy host makes it late for.
	qemu+=(-device intel-hda -device
		"hda-output,audiodev=card,mixer=off,use-timer=off")

	for file in report stdout stderr requests serial; do
		: > "$RUN/$file"
	done
	rm -f "$RUN"/monitor.{in,out}
	mkfifo "$RUN"/monitor.{in,out}
	exec {monitor}<>"$RUN/monitor.in" {monitor_out}<>"$RUN/monitor.out"
	setpriv --pdeathsig KILL "${qemu[@]}" </dev/null >"$RUN/qemu" 2>&1 &
	qemu_pid=$!
}

add_port() {
	qemu+=(-chardev "file,id=$1,path=$RUN/$1")
	qemu+=(-device "virtserialport,nr=$2,chardev=$1")
}

add_folder() {
	qemu+=(-fsdev "local,id=$1,path=${2//,/,,},security_model=passthrough,multidevs=remap,$3")
	qemu+=(-device "virtio-9p-pci,fsdev=$1,mount_tag=$1")
}

# Copy the command's output as it comes, until QEMU has ended.
relay_output() {
	tail -s 0.1 --pid="$qemu_pid" -c +1 -f "$RUN/stdout" &
	relays=($!)
	tail -s 0.1 --pid="$qemu_pid" -c +1 -f "$RUN/stderr" >&2 &
	relays+=($!)
}

# Read the guest's report into the variables that start empty, and do what its
# command asks for.
follow_report() {
	local deadline=$((SECONDS + 600)) alive word rest report requests
	booted='' status='' sent='' module_error='' blind='' taint='' finished='' hung=''
	exec {report}<"$RUN/report" {requests}<"$RUN/requests"
	while :; do
		# Asked before reading: its last words come before its end.
		alive=yes
		kill -0 "$qemu_pid" 2>/dev/null || alive=
		if read -r -u "$report" word rest; then
			case $word in
			init) booted=yes; deadline=$((SECONDS + TIMEOUT)) ;;
			exit) status=$rest ;;
			sent) sent=$rest ;;
			module) module_error=$rest ;;
			blind) blind=$rest ;;
			taint) taint=$rest ;;
			finished) finished=yes; deadline=$((SECONDS + 120)) ;;
			esac
		elif read -r -u "$requests" word rest; then
			if [[ $word == stall && $rest =~ ^[1-9][0-9]{0,3}$ ]]; then
				stall "$rest"
				deadline=$((deadline + rest))
			elif [[ $word == trace && $rest =~ ^[1-9][0-9]{0,3}$ && $TRACE ]]; then
				trace "$rest"
			else
				say "the guest asks for what nobody knows: $word $rest"
			fi
		elif [[ ! $alive ]]; then
			break
		elif ((SECONDS >= deadline)); then
			hung=yes
			stop_hung
			break
		else
			sleep 0.1
		fi
	done
	exec {report}<&- {requests}<&-
}

# stall SECONDS: let the guest execute nothing for at least so long, while its
# clock goes on.
stall() {
	local end=$((SECONDS + $1 + 1))
	kill -STOP "$qemu_pid"
	# In short naps, so that a signal to us is not kept waiting.
	while ((SECONDS < end)); do
		sleep 0.1
	done
	kill -CONT "$qemu_pid"
}

# trace MIB: have QEMU log each instruction until its log is so long; a file tells the
# guest that it has begun.
trace() {
	local line
	for line in "logfile \"$TRACE\"" 'singlestep on' 'log exec,nochain'; do
		echo "$line" >&"$monitor"
	done
	[[ ! $SHARE ]] || : > "$SHARE/tracing"
	until (($(stat -c %s "$TRACE") >= $1 << 20)) || ! kill -0 "$qemu_pid" 2>/dev/null; do
		sleep 0.05
	done
	for line in 'log none' 'singlestep off'; do
		echo "$line" >&"$monitor"
	done
}

# Let the kernel say what is blocked and what runs where, then end it.
stop_hung() {
	local key
	for key in w l; do
		echo "sendkey alt-sysrq-$key" >&"$monitor"
		sleep 2
	done
	echo quit >&"$monitor"
	sleep 1
	kill -KILL "$qemu_pid" 2>/dev/null || true
}

# boot: one life of the guest, from power-on to power-off.
boot() {
	start_qemu
	relay_output
	follow_report
	wait "$qemu_pid" 2>/dev/null || true
	qemu_pid=
	wait "${relays[@]}" || true
	exec {monitor}>&- {monitor_out}>&-
	tr -d '\r' < "$RUN/serial" > "$RUN/log"
}
