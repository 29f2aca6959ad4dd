# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Which kernels the lab builds for and boots.  Sourced by lib.sh; everything
# else in the lab asks these variables.
#
# shellcheck disable=SC2034,SC2154 # lib.sh and this share variables

# Debian's own kernel.  The newest release of the first series that the suite
# has: a patch release disappears when the next one is out.
kernel_base_suite=trixie
kernel_suite=trixie-backports
kernel_series=(7.3 7.2)
kernel_gcc=gcc-14
# For the debug kernel: that of the suite's rustc, as KASAN sees Rust only if
# one LLVM compiles both.
kernel_llvm=19

# choose_kernel NAME: which of them the variables below are about.
#
#   stock	Debian's, as it is
#   debug	the same source by clang, with all that finds faults: debug.config
choose_kernel() {
	case $1 in
	stock) kernel_make=() ;;
	debug) kernel_make=("LLVM=-$kernel_llvm") ;;
	*)
		echo "lab: unknown kernel: $1 (stock or debug)" >&2
		exit 125
		;;
	esac
	export KERNEL=$1
	flavour=$cache/$KERNEL
	image=$flavour/image		# the kernel and its modules
	tree=$flavour/tree		# the source, prepared for modules
	initramfs=$flavour/initramfs
	module_ko=$repo/build/$KERNEL/module/rtshm.ko
}
