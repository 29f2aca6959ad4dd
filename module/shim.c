// SPDX-License-Identifier: GPL-2.0

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/vmalloc.h>
#include <sound/control.h>
#include <sound/core.h>
#include <sound/pcm.h>
#include <sound/timer.h>

#include "shim.h"

#define RTSHM_VERSION "0.1.0"

const char rtshm_version[16] = RTSHM_VERSION;
MODULE_VERSION(RTSHM_VERSION);

/* PAGE_KERNEL is a macro with a cast, which bindgen does not follow. */
void *rtshm_vmap(struct page **pages, unsigned int count)
{
	return vmap(pages, count, VM_MAP, PAGE_KERNEL);
}

void rtshm_vunmap(const void *addr)
{
	vunmap(addr);
}

/*
 * The channels of the substream that an element of a channel map is about, 0 where
 * it is not configured.  A substream that is being closed loses its runtime under
 * its timer's lock (7.3), and under no other that could be taken here.
 */
int rtshm_chmap_channels(struct snd_kcontrol *kcontrol, struct snd_ctl_elem_value *value)
{
	struct snd_pcm_chmap *info = snd_kcontrol_chip(kcontrol);
	unsigned int index = snd_ctl_get_ioffidx(kcontrol, &value->id);
	struct snd_pcm_substream *substream = snd_pcm_chmap_substream(info, index);

	if (!substream || !substream->timer)
		return -ENODEV;
	guard(spinlock_irqsave)(&substream->timer->lock);
	return substream->runtime ? substream->runtime->channels : 0;
}
