// SPDX-License-Identifier: GPL-2.0

/* UBSAN is for C: Rust has its own checks. */
int faulty_shift(int bits);

int faulty_shift(int bits)
{
	return 1 << bits;
}
