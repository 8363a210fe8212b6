/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses as the maps hold them: 16 bytes, IPv4 as ::ffff:a.b.c.d. */
#pragma once

static __always_inline void v4_mapped(__u8 addr[16], __u32 v4)
{
	__u32 *words = (__u32 *)addr;

	words[0] = 0;
	words[1] = 0;
	words[2] = htonl(0xffff);
	words[3] = v4;
}
