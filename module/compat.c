// SPDX-License-Identifier: GPL-2.0
/*
 * A spinlock with interrupts off, where the kernel has none for Rust: compat.rs.
 */

#include <linux/spinlock.h>

unsigned long rtshm_spin_lock_irqsave(spinlock_t *lock);
void rtshm_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);

unsigned long rtshm_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

void rtshm_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}
