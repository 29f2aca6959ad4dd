// SPDX-License-Identifier: GPL-2.0

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/vmalloc.h>

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
