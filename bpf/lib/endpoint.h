/* SPDX-License-Identifier: GPL-2.0-only */
/* Who is where: the maps that ADD fills and the programs read. The layout is
 * shared by all versions of the program and of the plugin that use one pin
 * directory: fields are only added at the end (internal/datapath/layout.go).
 */
#pragma once

#include "drop.h"

enum interface_flags {
	INTERFACE_FASTPATH = 1 << 0, /* its packets may be delivered directly */
	INTERFACE_ISOLATED = 1 << 1, /* hears of its own network only */
};

/* The host end of a container's device. */
struct interface {
	__u64 network; /* identifier, from a hash of the name */
	__u64 owner;   /* container, from a hash of its identifier */
	__u32 flags;   /* interface_flags */
	__u32 mtu;     /* bytes, without the Ethernet header */
	__u8 mac[6];   /* the container's Ethernet address */
	__u8 pad[2];
};

/* An address within a network; IPv4 as ::ffff:a.b.c.d. */
struct endpoint_key {
	__u64 network;
	__u8 addr[16];
};

/* Where an address is. A remote one will have ifindex 0 and more fields. */
struct endpoint {
	__u32 ifindex; /* of the host end */
	__u32 mtu;
	__u64 owner;   /* a container may send from all its addresses by any of its interfaces */
	__u8 macs[12]; /* how a frame to it begins: its own Ethernet address, the host end's */
	__u8 pad[4];
};

/* A network that the container of an interface may talk to, both ways. */
struct allowance {
	__u32 ifindex; /* of the host end */
	__u32 pad;
	__u64 network;
};

struct counters {
	__u64 fast_packets; /* from the container, delivered directly */
	__u64 fast_bytes;
	__u64 out_packets; /* from the container, left to the host stack */
	__u64 out_bytes;
	__u64 in_packets; /* to the container from the host stack */
	__u64 in_bytes;
	__u64 drops[DROP_REASONS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u32); /* ifindex of the host end */
	__type(value, struct interface);
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct allowance);
	__type(value, __u8);
} allowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); /* ifindex of the host end */
	__type(value, struct counters);
} counts SEC(".maps");

static __always_inline void v4_mapped(__u8 addr[16], __u32 v4)
{
	__u32 *words = (__u32 *)addr;

	words[0] = 0;
	words[1] = 0;
	words[2] = htonl(0xffff);
	words[3] = v4;
}
