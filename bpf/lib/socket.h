/* SPDX-License-Identifier: GPL-2.0-only */
/* The sockets of containers: by network namespace and own address, because a program
 * on the cgroup root sees those of every process of the machine.
 */
#pragma once

/* The size of the name of a congestion control (TCP_CA_NAME_MAX). */
#define CONGESTION_NAME 16

enum socket_flags {
	SOCKET_UNPACED = 1 << 0, /* only in place of a congestion control that paces */
};

struct socket_key {
	__u64 netns;   /* cookie of the namespace */
	__u8 addr[16]; /* the socket's own; IPv4 as ::ffff:a.b.c.d */
};

/* What a container's socket with another of its network shall be like. */
struct socket_policy {
	__u64 network;
	__u32 ifindex; /* of the host end, by which GC knows that it is gone */
	__u32 flags;   /* socket_flags */
	char congestion[CONGESTION_NAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct socket_key);
	__type(value, struct socket_policy);
} sockets SEC(".maps");
