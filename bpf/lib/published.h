/* SPDX-License-Identifier: GPL-2.0-only */
/* The published ports of containers, which other networks may call though they are
 * isolated: by the host's address. What is sent to the container's own address gets
 * there, too, for it looks the same by then, but no answer to it comes back: that was
 * not translated.
 */
#pragma once

#include "endpoint.h"
#include "host.h"
#include "interface.h"
#include "ipv6.h"
#include "parse.h"

/* Of which side a port is. */
enum published_side {
	PUBLISHED_CONTAINER = 0, /* as a packet to the container names it */
	PUBLISHED_HOST = 1,	 /* as the answer does, after the translation was undone */
};

struct published_key {
	__u32 ifindex; /* of the host end */
	__u16 port;    /* network order */
	__u8 protocol;
	__u8 side; /* published_side */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct published_key);
	__type(value, __u8);
} published SEC(".maps");

/* Who sends a packet, and by which ports. */
struct flow {
	__u8 source[16]; /* IPv4 as ::ffff:a.b.c.d */
	struct ports ports;
	__u8 protocol;
};

/* Reads a flow. Of later fragments, which have no ports, and of protocols without ports
 * it says nothing.
 */
static __always_inline int read_flow(struct __sk_buff *skb, struct flow *f)
{
	struct cursor c = packet(skb);
	struct ethhdr *eth = take(&c, sizeof(*eth));
	__u32 offset = ETH_HLEN + sizeof(struct ipv6hdr);

	if (!eth)
		return 0;
	if (eth->h_proto == htons(ETH_P_IP)) {
		struct iphdr *ip = take(&c, sizeof(*ip));

		if (!ip || ip->frag_off & htons(0x1fff))
			return 0;
		offset = ETH_HLEN + ip->ihl * 4;
		f->protocol = ip->protocol;
		v4_mapped(f->source, ip->saddr);
	} else if (eth->h_proto == htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = take(&c, sizeof(*ip));

		if (!ip)
			return 0;
		f->protocol = ip->nexthdr;
		__builtin_memcpy(f->source, &ip->saddr, sizeof(f->source));
		if (!v6_transport(skb, &f->protocol, &offset))
			return 0;
	} else {
		return 0;
	}
	return part_of(skb, offset, f->protocol, &f->ports) == PART_PORTS;
}

/* Says whether the host has put an address of its own, or of a caller, in the place of a
 * container's: what a container sends by itself has an address of its network.
 */
static __always_inline int translated(const struct flow *f, const struct interface *from)
{
	struct endpoint_key key = {.network = from->network};

	__builtin_memcpy(key.addr, f->source, sizeof(key.addr));
	return !bpf_map_lookup_elem(&endpoints, &key);
}

/* Says whether a packet calls a published port of the container behind an interface. */
static __always_inline int calls_published(const struct flow *f, __u32 to_index)
{
	struct published_key key = {
		.ifindex = to_index,
		.port = f->ports.destination,
		.protocol = f->protocol,
		.side = PUBLISHED_CONTAINER,
	};

	return bpf_map_lookup_elem(&published, &key) != NULL;
}

/* Says whether a packet is the answer of a published port. The container may send from
 * that port number as well, but not with the host's address.
 */
static __always_inline int answers_published(const struct flow *f, __u32 from_index,
					     const struct interface *from)
{
	struct published_key key = {
		.ifindex = from_index,
		.port = f->ports.source,
		.protocol = f->protocol,
		.side = PUBLISHED_HOST,
	};

	return bpf_map_lookup_elem(&published, &key) && translated(f, from);
}

/* Says whether a packet between isolated networks is of a published port of either. Whom
 * the host is closed to does not get as far as to have a call translated: what it sends to
 * such a port it sends to the container's own address.
 */
static __always_inline int of_published(struct __sk_buff *skb, __u32 from_index,
					const struct interface *from, __u32 to_index)
{
	struct flow f = {};

	return read_flow(skb, &f) &&
	       ((!(from->flags & INTERFACE_HOST_CLOSED) && calls_published(&f, to_index)) ||
		answers_published(&f, from_index, from));
}

/* Says whether a container of the network calls a published port by the host's address:
 * the host then speaks for it, so that the answer comes back to the host.
 */
static __always_inline int by_host(struct __sk_buff *skb, const struct interface *from,
				   __u32 to_index)
{
	struct flow f = {};

	return read_flow(skb, &f) && calls_published(&f, to_index) && translated(&f, from);
}
