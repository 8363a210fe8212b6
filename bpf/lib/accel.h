/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections of two containers whose bytes go from socket to socket: who may have such,
 * and what is known of each of their two directions.
 */
#pragma once

#include "addr.h"

/* A container that takes part, by the network namespace and own address of its sockets. */
struct accel_socket {
	__u64 netns; /* cookie of the namespace */
	__u8 addr[16];
};

/* The same by network and address. */
struct accel_peer {
	__u64 network; /* identifier, from a hash of the name */
	__u8 addr[16];
};

/* What the one leads to has the other's identifier. */
struct accel_container {
	__u64 id;	 /* network, or cookie of the namespace */
	__u32 ifindex;	 /* of the host end, by which GC knows that it is gone */
	__u32 by_cgroup; /* sockets of the processes of its own cgroup alone */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct accel_socket);
	__type(value, struct accel_container);
} accel_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct accel_peer);
	__type(value, struct accel_container);
} accel_peers SEC(".maps");

/* One end of one connection. The sequence numbers tell it from all others between the
 * same ports, before and after; the network from those of another with equal addresses.
 */
struct flow_key {
	__u64 network;
	__u8 own[16];
	__u8 peer[16];
	__u16 own_port; /* host order, as the next */
	__u16 peer_port;
	__u32 own_seq; /* the first byte of each direction */
	__u32 peer_seq;
	__u32 pad;
};

/* How what an end sends gets to the other. A state is never followed by an earlier one:
 * a byte that went by TCP would be overtaken by the next from socket to socket.
 */
enum flow_state {
	FLOW_AWAITED = 0, /* the other end has asked for it */
	FLOW_IDLE = 1,	  /* nothing was sent yet */
	FLOW_SOCKET = 2,  /* from socket to socket */
	FLOW_TCP = 3,	  /* as if the programs were not there */
	FLOW_PLAIN = 4,	  /* never enrolled, because others were brief; of no flow */
};

/* Whoever finds this in what `sent` was when it added to it has added nothing: the other
 * end takes no more.
 */
#define FLOW_SHUT (1ULL << 63)

struct flow {
	__u64 sent; /* bytes from socket to socket, and FLOW_SHUT */
	__u64 read; /* bytes by this end's application, of the other direction */
	__u64 sock; /* address of this end's struct sock, 0 of one that is awaited */
	__u32 state;
	__u32 ifindex; /* of this end's host end, by which GC knows that it is gone */
};

/* Both ends of all connections, from when the client's asks for both until each is
 * closed. When it is full connections stay as they are.
 */
#define ACCEL_FLOWS 16384
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ACCEL_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow);
} accel_flows SEC(".maps");

/* Their sockets, and those that are dead and not closed by their application: these are
 * no longer among the flows, but keep what they have not read.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, ACCEL_FLOWS);
	__type(key, struct flow_key);
	__type(value, __u64);
} accel_sockhash SEC(".maps");

/* A port of a container, at which connections may not be worth enrolling. */
struct accel_port {
	__u64 netns; /* cookie of the namespace */
	__u32 port;  /* host order */
	__u32 pad;
};

struct accel_service {
	__u32 refuses; /* the kernel does not take its sockets: those of MPTCP, say */
	__u32 brief;   /* connections in a row that were too short to gain by it */
};

/* The longest unused go first. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct accel_port);
	__type(value, struct accel_service);
} accel_services SEC(".maps");

/* What an end knows of itself, under the lock of its socket. */
struct turn {
	struct flow_key own, peer; /* the same connection as either end names it */
	__u64 heard;		   /* bytes that the application had read when the run began */
	__u32 run_bytes;	   /* sent since the other had read all */
	__u32 run_messages;
	__u32 messages; /* from socket to socket, in all */
	__u32 first;	/* sequence number of the first byte */
	__u32 state;	/* flow_state */
	__u32 writer;	/* thread of the last message */
	__u32 others;	/* messages of other threads that may be on their way */
	__u32 own_rtt;	/* that it hears of round trips was our wish, and nobody's before */
	struct accel_port service; /* where a client's end is connected; port 0 of the other */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct turn);
} accel_turns SEC(".maps");

/* The cookie of the link whose program counts what is read. The link of another build's
 * goes on for a moment when it has been replaced, and nothing must be counted twice.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u64);
} accel_reader SEC(".maps");

/* Says whether what is read is counted: not where the kernel is locked down. */
static __always_inline int accel_counts(void)
{
	__u32 zero = 0;
	__u64 *reader = bpf_map_lookup_elem(&accel_reader, &zero);

	return reader && *reader;
}

/* The switch: not 0 stops enrolling, and sends all by TCP from the next message on. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u32);
} accel_stop SEC(".maps");

static __always_inline int accel_stopped(void)
{
	__u32 zero = 0, *stop = bpf_map_lookup_elem(&accel_stop, &zero);

	return !stop || *stop;
}
