/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The C that Rust cannot express: inline functions, macros, MODULE_VERSION.
 */
#ifndef _RTSHM_SHIM_H
#define _RTSHM_SHIM_H

struct page;

extern const char rtshm_version[16];

void *rtshm_vmap(struct page **pages, unsigned int count);
void rtshm_vunmap(const void *addr);

#endif
