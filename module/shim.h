/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The C that Rust cannot express: inline functions, macros, MODULE_VERSION.
 */
#ifndef _RTSHM_SHIM_H
#define _RTSHM_SHIM_H

struct page;
struct snd_ctl_elem_value;
struct snd_kcontrol;

extern const char rtshm_version[16];

void *rtshm_vmap(struct page **pages, unsigned int count);
void rtshm_vunmap(const void *addr);
int rtshm_chmap_channels(struct snd_kcontrol *kcontrol, struct snd_ctl_elem_value *value);

#endif
