/* SPDX-License-Identifier: GPL-2.0-only */
/* The addresses of a socket as a sockops program sees them. */
#pragma once

#include "addr.h"

static __always_inline void own_address(struct bpf_sock_ops *ops, __u8 addr[16])
{
	__u32 *words = (__u32 *)addr;

	if (ops->family == AF_INET) {
		v4_mapped(addr, ops->local_ip4);
		return;
	}
	words[0] = ops->local_ip6[0];
	words[1] = ops->local_ip6[1];
	words[2] = ops->local_ip6[2];
	words[3] = ops->local_ip6[3];
}

static __always_inline void peer_address(struct bpf_sock_ops *ops, __u8 addr[16])
{
	__u32 *words = (__u32 *)addr;

	if (ops->family == AF_INET) {
		v4_mapped(addr, ops->remote_ip4);
		return;
	}
	words[0] = ops->remote_ip6[0];
	words[1] = ops->remote_ip6[1];
	words[2] = ops->remote_ip6[2];
	words[3] = ops->remote_ip6[3];
}
