// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints' code, which the kernel makes of their declarations.
 */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "trace_rtshm.h"
