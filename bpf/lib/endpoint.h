/* SPDX-License-Identifier: GPL-2.0-only */
/* Where an address is: the map that ADD fills and the programs read. The layouts of
 * all maps are shared by all versions of the program and of the plugin that use one
 * pin directory: another layout takes another directory (internal/datapath/pin.go).
 */
#pragma once

#include "addr.h"

/* An address within a network; IPv4 as ::ffff:a.b.c.d. */
struct endpoint_key {
	__u64 network; /* identifier, from a hash of the name */
	__u8 addr[16];
};

enum endpoint_flags {
	ENDPOINT_LIMITED = 1 << 0, /* packets to it must pass its host end's queue */
};

/* Where an address is. A remote one will have ifindex 0 and more fields. */
struct endpoint {
	__u32 ifindex; /* of the host end */
	__u32 mtu;
	__u64 owner;   /* a container may send from all its addresses by any of its interfaces */
	__u8 macs[12]; /* how a frame to it begins: its own Ethernet address, the host end's */
	__u32 flags;   /* endpoint_flags */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint);
} endpoints SEC(".maps");
