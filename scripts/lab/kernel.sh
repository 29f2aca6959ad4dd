# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Which kernel the lab builds for and boots.  Sourced by lib.sh; everything
# else in the lab asks these variables.  Another flavour is another case.
#
# shellcheck disable=SC2034 # for those who source this
KERNEL=${KERNEL:-stock}

case $KERNEL in
stock)
	# Debian's own kernel.  The newest release of the first series that
	# the suite has: a patch release disappears when the next one is out.
	kernel_base_suite=trixie
	kernel_suite=trixie-backports
	kernel_series=(7.3 7.2)
	kernel_gcc=gcc-14
	;;
*)
	echo "lab: unknown kernel flavour: KERNEL=$KERNEL" >&2
	exit 125
	;;
esac
