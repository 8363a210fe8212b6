/* SPDX-License-Identifier: GPL-2.0-only */
/* Neighbour discovery (RFC 4861) from a container: it may speak of itself only. */
#pragma once

#include "interface.h"
#include "parse.h"

enum {
	ND_ROUTER_SOLICIT = 133,
	ND_ROUTER_ADVERT = 134,
	ND_NEIGHBOUR_SOLICIT = 135,
	ND_NEIGHBOUR_ADVERT = 136,
	ND_REDIRECT = 137,
};

enum {
	ND_OPT_SOURCE_LLADDR = 1,
	ND_OPT_TARGET_LLADDR = 2,
};

#define ND_OPTIONS 4 /* more than any solicitation carries */

/* Both are aligned to 2 bytes wherever a header or structure holds one. */
static __always_inline int same_mac(const void *a, const void *b)
{
	const __u16 *x = a, *y = b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

/* Checks the link-layer address options from an offset on. */
static __always_inline int nd_options_own(struct __sk_buff *skb, __u32 offset,
					  const struct interface *ifc)
{
	for (int i = 0; i < ND_OPTIONS; i++) {
		struct {
			__u8 type;
			__u8 len; /* 8 bytes each */
			__u8 mac[6];
		} opt;

		if (offset + sizeof(opt) > skb->len)
			return 1;
		if (bpf_skb_load_bytes(skb, offset, &opt, sizeof(opt)) || opt.len == 0)
			return 0;
		if ((opt.type == ND_OPT_SOURCE_LLADDR || opt.type == ND_OPT_TARGET_LLADDR) &&
		    (opt.len != 1 || !same_mac(opt.mac, ifc->mac)))
			return 0;
		offset += opt.len * 8;
	}
	return offset >= skb->len;
}
