/* SPDX-License-Identifier: GPL-2.0-only */
/* The host ends of the containers' devices: who is behind one, what it may do, and
 * what was counted there.
 */
#pragma once

#include "drop.h"

enum interface_flags {
	INTERFACE_FASTPATH = 1 << 0,	/* its packets may be delivered directly */
	INTERFACE_ISOLATED = 1 << 1,	/* hears of its own network only */
	INTERFACE_HOST_CLOSED = 1 << 2, /* may answer the host, not call it */
	INTERFACE_NETKIT = 1 << 3,	/* a netkit device, else a veth one */
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
	__u64 fast_in_packets; /* to the container, delivered directly */
	__u64 fast_in_bytes;
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
