/* SPDX-License-Identifier: GPL-2.0-only */
/* A host that is closed to a container: it may call the container and hears the
 * answers, and nothing else. What it began is noted where it goes to the container.
 */
#pragma once

#include "endpoint.h"
#include "interface.h"

/* A conversation of the host with a container, as the container's packets name it. */
struct conversation {
	__u32 ifindex; /* of the host end */
	__u8 protocol;
	__u8 pad[3];
	__u8 host[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 container[16];
	__u16 host_port; /* network order; of ICMP echo both are the identifier */
	__u16 container_port;
};

/* The oldest go first: the host's next packet brings a conversation back. Only what the
 * host asks makes an entry, never what it answers.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct conversation);
	__type(value, __u8);
} conversations SEC(".maps");

enum {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
	ICMPV6_INFORMATIONAL = 128, /* the first that is no error */
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
};

/* What a packet is in a conversation of two hosts. */
enum part {
	PART_NONE,	 /* of none that is kept */
	PART_PORTS,	 /* of one between two ports */
	PART_ECHO,	 /* a question by its identifier */
	PART_ECHO_REPLY, /* the answer */
	PART_ERROR,	 /* of ICMP, about a packet of the receiver's */
};

struct ports {
	__u16 source, destination;
};

static __always_inline enum part icmp_part(__u8 type, __u8 protocol)
{
	if (protocol == IPPROTO_ICMPV6)
		return type < ICMPV6_INFORMATIONAL   ? PART_ERROR
		       : type == ICMPV6_ECHO_REQUEST ? PART_ECHO
		       : type == ICMPV6_ECHO_REPLY   ? PART_ECHO_REPLY
						     : PART_NONE;
	switch (type) {
	case ICMP_DEST_UNREACH:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		return PART_ERROR;
	case ICMP_ECHO:
		return PART_ECHO;
	case ICMP_ECHOREPLY:
		return PART_ECHO_REPLY;
	}
	return PART_NONE;
}

/* Looks at a transport header. Of other protocols nothing is told: what is behind an
 * extension header could be anything.
 */
static __always_inline enum part part_of(struct __sk_buff *skb, __u32 offset, __u8 protocol,
					 struct ports *ports)
{
	struct {
		__u8 type, code;
		__u16 checksum, identifier;
	} icmp;

	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		return bpf_skb_load_bytes(skb, offset, ports, sizeof(*ports)) ? PART_NONE
									      : PART_PORTS;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
			return PART_NONE;
		ports->source = ports->destination = icmp.identifier;
		return icmp_part(icmp.type, protocol);
	}
	return PART_NONE;
}

/* Notes that the host asks something of a container. */
static __always_inline void note_call(struct __sk_buff *skb, struct conversation *c, __u32 offset)
{
	struct ports ports = {};
	__u8 one = 1;

	switch (part_of(skb, offset, c->protocol, &ports)) {
	case PART_PORTS:
	case PART_ECHO:
		c->host_port = ports.source;
		c->container_port = ports.destination;
		if (!bpf_map_lookup_elem(&conversations, c))
			bpf_map_update_elem(&conversations, c, &one, BPF_ANY);
	default:
		return;
	}
}

/* Says whether an ICMP error is about a packet to the one that sends it: the header of
 * that packet follows the error's own 8 bytes.
 */
static __always_inline int about_itself(struct __sk_buff *skb, const struct conversation *c,
					__u32 offset)
{
	const __u32 *own = (const __u32 *)c->container;
	__u32 inner[4];

	if (c->protocol == IPPROTO_ICMPV6)
		return !bpf_skb_load_bytes(skb, offset + 8 + 24, inner, sizeof(inner)) &&
		       inner[0] == own[0] && inner[1] == own[1] && inner[2] == own[2] &&
		       inner[3] == own[3];
	return !bpf_skb_load_bytes(skb, offset + 8 + 16, inner, 4) && inner[0] == own[3];
}

/* Says whether a container's packet answers the host. */
static __always_inline int answers(struct __sk_buff *skb, struct conversation *c, __u32 offset)
{
	struct ports ports = {};

	switch (part_of(skb, offset, c->protocol, &ports)) {
	case PART_PORTS:
	case PART_ECHO_REPLY:
		c->host_port = ports.destination;
		c->container_port = ports.source;
		return bpf_map_lookup_elem(&conversations, c) != NULL;
	case PART_ERROR:
		return about_itself(skb, c, offset);
	default:
		return 0;
	}
}

/* Says whether the host stack would keep a packet from a container for itself; params
 * has family and addresses. A host that does not forward keeps what it gets, too.
 */
static __always_inline int for_host(struct __sk_buff *skb, struct bpf_fib_lookup *params)
{
	/* The routes do not know of them: the host hears what is for many. */
	int many = params->family == AF_INET
			   ? (params->ipv4_dst & htonl(0xf0000000)) == htonl(0xe0000000) ||
				     params->ipv4_dst == htonl(0xffffffff)
			   : (params->ipv6_dst[0] & htonl(0xff000000)) == htonl(0xff000000);
	long verdict =
		many ? BPF_FIB_LKUP_RET_NOT_FWDED : bpf_fib_lookup(skb, params, sizeof(*params), 0);

	return verdict < 0 || verdict == BPF_FIB_LKUP_RET_NOT_FWDED ||
	       verdict == BPF_FIB_LKUP_RET_FWD_DISABLED;
}
