/* SPDX-License-Identifier: GPL-2.0-only */
/* Of which events of a socket the kernel calls the sockops program. */
#pragma once

#include "accel.h"

static __always_inline void call_back(struct bpf_sock_ops *ops, int flags)
{
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | flags);
}

/* Has the kernel call when a round trip is done. The wish is the socket's, not the
 * program's: somebody else's must not be taken back.
 */
static __always_inline void hear_round_trips(struct bpf_sock_ops *ops, struct turn *turn)
{
	turn->own_rtt = !(ops->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_RTT_CB_FLAG);
	call_back(ops, BPF_SOCK_OPS_RTT_CB_FLAG);
}

static __always_inline void hear_no_more(struct bpf_sock_ops *ops, struct turn *turn)
{
	if (turn->own_rtt)
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
	turn->own_rtt = 0;
}
