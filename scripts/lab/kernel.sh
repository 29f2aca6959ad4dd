# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Which kernels the lab builds for and boots.  Sourced by lib.sh; everything
# else in the lab asks these variables.
#
# shellcheck disable=SC2034,SC2154 # lib.sh and this share variables

# What the guest runs, whatever its kernel.
guest_suites=(trixie trixie-backports)

# choose_kernel NAME: which of them the variables below are about.
#
#   stock	that of trixie-backports, as it is
#   forky	that of forky, as it is
#   debug	the stock one's source by clang, with all that finds faults: debug.config
#
# suites	where it and its compilers are from, the last one has the kernel
# series	regular expressions; the newest release of the first one that the suite has:
#		a patch release disappears when the next one is out
# kernel_gcc	what built it
# kernel_llvm	for the debug kernel: that of the suite's rustc, as KASAN sees Rust only
#		if one LLVM compiles both
choose_kernel() {
	local debian=$1
	kernel_make=() kernel_llvm=
	case $1 in
	stock | debug)
		debian=stock suites=(trixie trixie-backports)
		series=('7\.3' '7\.2') kernel_gcc=gcc-14 kernel_llvm=19
		[[ $1 != debug ]] || kernel_make=("LLVM=-$kernel_llvm")
		;;
	forky)
		suites=(forky)
		series=('[0-9]+\.[0-9]+') kernel_gcc=gcc-16
		;;
	*)
		echo "lab: unknown kernel: $1 (stock, forky or debug)" >&2
		exit 125
		;;
	esac
	export KERNEL=$1
	flavour=$cache/$KERNEL
	build_root=$cache/$debian/build-root	# Debian with the toolchain
	debian_image=$cache/$debian/image	# Debian's kernel, and its source
	image=$flavour/image			# the kernel and its modules
	tree=$flavour/tree			# the source, prepared for modules
	initramfs=$flavour/initramfs
	module_ko=$repo/build/$KERNEL/module/rtshm.ko
}
