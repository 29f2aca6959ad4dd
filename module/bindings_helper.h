/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What module/Kbuild gives to bindgen.
 */

/* First, as in the kernel's own list: bindgen does not find the enum otherwise. */
#include <linux/hrtimer_types.h>

#include <sound/core.h>
#include <sound/control.h>
#include <sound/info.h>
#include <sound/pcm.h>
#include <sound/tlv.h>

#include "compat.h"
#include "shim.h"
#include "trace_rtshm.h"
