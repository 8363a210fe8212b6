/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether a message may go from socket to socket: what the sk_msg program decides. */
#pragma once

#include "accel.h"
#include "tcp.h"
#include "writers.h"

/* What one end may send before it is known that the other has read everything: twice as
 * much, if another thread's message may be on its way. Of a message the kernel keeps about 1 KiB
 * besides its bytes.
 */
#define BUDGET_BYTES	65536
#define BUDGET_MESSAGES 64

/* From now on the direction is plain TCP. */
static __always_inline int by_tcp(struct turn *turn, struct flow *flow)
{
	turn->state = FLOW_TCP;
	if (flow)
		flow->state = FLOW_TCP;
	return SK_PASS;
}

/* Says whether a direction may begin: nothing went by TCP, and the other end is there. */
static __always_inline int may_begin(struct tcp_sock *tp, struct turn *turn, struct flow *flow)
{
	struct flow *peer;

	if (tp->write_seq != turn->first)
		return 0;
	peer = bpf_map_lookup_elem(&accel_flows, &turn->peer);
	if (!peer || peer->state == FLOW_AWAITED)
		return 0;
	flow->state = turn->state = FLOW_SOCKET;
	return 1;
}

/* Begins a new run if the other has read all that was ever sent, and this end has heard
 * of it since: one that only talks is a stream, which TCP carries better.
 */
static __always_inline void renew(struct turn *turn, struct flow *flow)
{
	__u64 heard = flow->read;
	struct flow *peer;

	if (heard == turn->heard)
		return;
	peer = bpf_map_lookup_elem(&accel_flows, &turn->peer);
	if (!peer || peer->read != flow->sent)
		return;
	turn->heard = heard;
	turn->run_bytes = turn->run_messages = 0;
}

static __always_inline int within(struct turn *turn, __u32 size, __u32 times)
{
	return turn->run_messages < times * BUDGET_MESSAGES &&
	       turn->run_bytes + size <= times * BUDGET_BYTES;
}

/* Says whether a message goes from socket to socket. What is larger than the budget TCP
 * does not keep together either. Threads that write at once go by TCP as soon as they may:
 * later one may be held up for long.
 */
static __always_inline int affordable(struct turn *turn, struct flow *flow, __u32 size, int stopped)
{
	__u32 crowded = turn->others;

	if (size > BUDGET_BYTES)
		return 0;
	if (!is_alone(turn, flow))
		return within(turn, size, 2);
	if (turn->run_bytes > BUDGET_BYTES / 2 || turn->run_messages > BUDGET_MESSAGES / 2)
		renew(turn, flow);
	return !stopped && !crowded && within(turn, size, 1);
}
