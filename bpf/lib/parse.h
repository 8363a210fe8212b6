/* SPDX-License-Identifier: GPL-2.0-only */
/* Cursor parsing: each header is handed out only if all of it is there. */
#pragma once

struct cursor {
	void *pos;
	void *end;
};

static __always_inline void *take(struct cursor *c, __u32 size)
{
	void *at = c->pos;

	if (at + size > c->end)
		return NULL;
	c->pos = at + size;
	return at;
}

/* What the programs read lies within the first bytes; GSO packets of local
 * sockets have at least their headers in the linear part, others may not.
 */
#define HEADERS (ETH_HLEN + 40 + 8)

static __always_inline struct cursor packet(struct __sk_buff *skb)
{
	if ((void *)(long)skb->data + HEADERS > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, skb->len < HEADERS ? skb->len : HEADERS);
	return (struct cursor){.pos = (void *)(long)skb->data, .end = (void *)(long)skb->data_end};
}
