/* SPDX-License-Identifier: GPL-2.0-only */
/* Published ports on the loopback addresses of a network namespace, and what sockets were
 * led to a container for them. Nothing is translated on the way: the socket itself talks
 * to the container, and only what it is told of its peer is what it has asked for.
 */
#pragma once

#include "addr.h"

/* A port of a network namespace, the host's, that leads to a container. */
struct loopback_key {
	__u64 netns;   /* cookie of the namespace */
	__u8 addr[16]; /* a loopback address, or the unspecified one for all of its family */
	__u16 port;    /* network order */
	__u8 protocol;
	__u8 pad[5];
};

struct loopback_port {
	__u8 addr[16]; /* the container's */
	__u32 ifindex; /* of its host end, by which GC knows that it is gone */
	__u16 port;    /* network order */
	__u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct loopback_key);
	__type(value, struct loopback_port);
} loopback SEC(".maps");

struct peer {
	__u8 addr[16];
	__u16 port; /* network order */
	__u8 pad[2];
} __attribute__((aligned(4)));

/* To which container a socket was connected, and what it had asked for. One that sends
 * without connection has zeros, as a mark: the sockets of the machine that have none are
 * known by one look at a pointer. It goes with the socket.
 */
struct led {
	struct peer container;
	struct peer asked;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct led);
} led_sockets SEC(".maps");

/* Where the datagrams of a socket without connection went. */
struct datagram_key {
	__u64 socket; /* cookie */
	struct peer container;
	__u8 pad[4];
};

/* The oldest go first, and come back with the next datagram; until then the application
 * sees answers from the container's own address.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct datagram_key);
	__type(value, struct peer);
} datagrams SEC(".maps");

static __always_inline int same_peer(const struct peer *a, const struct peer *b)
{
	const __u32 *x = (const __u32 *)a->addr, *y = (const __u32 *)b->addr;

	return a->port == b->port && x[3] == y[3] && x[2] == y[2] && x[1] == y[1] && x[0] == y[0];
}

static __always_inline int v4_loopback(__u32 v4)
{
	return (v4 & htonl(0xff000000)) == htonl(0x7f000000);
}

/* ::1 and ::ffff:127.0.0.0/104. */
static __always_inline int v6_loopback(const __u32 words[4])
{
	return !(words[0] | words[1]) && ((words[2] == 0 && words[3] == htonl(1)) ||
					  (words[2] == htonl(0xffff) && v4_loopback(words[3])));
}
