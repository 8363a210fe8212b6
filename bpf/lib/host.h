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
	__u16 host_port; /* network order; of ICMP echo the identifier */
	__u16 container_port;
};

/* The oldest go first: the host's next packet brings a conversation back. No packet of
 * a container's makes an entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct conversation);
	__type(value, __u8);
} conversations SEC(".maps");

enum {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
	ICMPV6_PACKET_TOO_BIG = 2, /* errors: 1 to 127 */
	ICMPV6_INFORMATIONAL = 128,
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
};

/* What a packet's transport header says about who asks and who answers. */
enum exchange {
	EXCHANGE_NONE,	/* neither: its conversation is that of its protocol */
	EXCHANGE_PORTS, /* ports are filled in */
	EXCHANGE_ERROR, /* of ICMP: about a packet that the receiver sent, or believes so */
};

/* Reads source and destination port, or the identifier of an echo as the port of the
 * side that asks.
 */
static __always_inline enum exchange ports_of(struct __sk_buff *skb, __u32 offset, __u8 protocol,
					      __u16 *source, __u16 *destination)
{
	struct {
		__u16 source, destination;
	} ports;
	struct {
		__u8 type, code;
		__u16 checksum, identifier;
	} icmp;

	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		if (bpf_skb_load_bytes(skb, offset, &ports, sizeof(ports)))
			return EXCHANGE_NONE;
		*source = ports.source;
		*destination = ports.destination;
		return EXCHANGE_PORTS;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
			return EXCHANGE_NONE;
		if (protocol == IPPROTO_ICMP
			    ? icmp.type == ICMP_DEST_UNREACH || icmp.type == ICMP_TIME_EXCEEDED ||
				      icmp.type == ICMP_PARAMETERPROB
			    : icmp.type < ICMPV6_INFORMATIONAL)
			return EXCHANGE_ERROR;
		if (icmp.type == (protocol == IPPROTO_ICMP ? ICMP_ECHO : ICMPV6_ECHO_REQUEST))
			*source = icmp.identifier;
		else
			*destination = icmp.identifier;
		return EXCHANGE_PORTS;
	}
	return EXCHANGE_NONE;
}

/* Notes that the host speaks to a container. */
static __always_inline void note_call(struct __sk_buff *skb, struct conversation *c, __u32 offset)
{
	__u8 one = 1;

	if (ports_of(skb, offset, c->protocol, &c->host_port, &c->container_port) != EXCHANGE_ERROR)
		bpf_map_update_elem(&conversations, c, &one, BPF_ANY);
}

/* Says whether a container's packet answers the host. */
static __always_inline int answers(struct __sk_buff *skb, struct conversation *c, __u32 offset)
{
	return ports_of(skb, offset, c->protocol, &c->container_port, &c->host_port) ==
		       EXCHANGE_ERROR ||
	       bpf_map_lookup_elem(&conversations, c);
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
