/* SPDX-License-Identifier: GPL-2.0-only */
/* How sockets leave the map: those that are closed, used again, or ordinary again. */
#pragma once

#include "accel.h"
#include "callback.h"
#include "service.h"
#include "tcp.h"

/* The connection is over for this end. Its socket stays in the map until it is closed:
 * what it has not read yet would be lost with the entry.
 */
static __always_inline void leave(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct turn *turn = sk ? bpf_sk_storage_get(&accel_turns, sk, NULL, 0) : NULL;
	struct tcp_sock *tp = tcp_of(ops);
	struct flow *peer;

	if (!turn || !tp || turn->state == FLOW_PLAIN)
		return;
	turn->state = FLOW_TCP;
	if (turn->service.port && turn->messages + tp->data_segs_out < BRIEF_MESSAGES)
		note_brief(&turn->service);
	turn->service.port = 0; /* another cgroup's program may come here, too */
	bpf_map_delete_elem(&accel_flows, &turn->own);
	peer = bpf_map_lookup_elem(&accel_flows, &turn->peer);
	if (peer && peer->state == FLOW_AWAITED)
		bpf_map_delete_elem(&accel_flows, &turn->peer);
}

/* Says whether an end has read all that was ever added to its queue. By TCP it has read
 * what TCP says, which counts the end of the stream as one; the rest of what it has read
 * came from there, and lags behind by much less than 4 GiB.
 */
static __always_inline int has_read(struct bpf_sock_ops *ops, struct tcp_sock *tp,
				    struct turn *turn, struct flow *flow, __u64 added)
{
	__u32 by_tcp = tp->copied_seq - turn->own.peer_seq;

	if (ops->state == TCP_CLOSE_WAIT && tp->copied_seq == tp->rcv_nxt)
		by_tcp--;
	return !added || (__u32)flow->read - by_tcp == (__u32)added;
}

/* Takes an end whose direction is TCP out of the map: as long as it is there its calls
 * take a longer way. It must have read all that the other end has added to its queue, or is
 * about to add, and the other is kept from adding more. It is kept from it at that very
 * moment only: what it sends then goes by TCP, and must not come before what is on its way.
 */
static __always_inline void withdraw(struct bpf_sock_ops *ops, struct tcp_sock *tp,
				     struct turn *turn)
{
	struct flow *own = bpf_map_lookup_elem(&accel_flows, &turn->own);
	struct flow *peer = bpf_map_lookup_elem(&accel_flows, &turn->peer);
	__u64 added;

	if (!own || !peer)
		return;
	added = __sync_fetch_and_add(&peer->sent, 0);
	if (!has_read(ops, tp, turn, own, added & ~FLOW_SHUT))
		return; /* later, perhaps */
	if (!(added & FLOW_SHUT) &&
	    __sync_val_compare_and_swap(&peer->sent, added, added | FLOW_SHUT) != added)
		return;
	/* Memory of an entry that was deleted meanwhile may be another's. */
	if (bpf_map_lookup_elem(&accel_flows, &turn->peer) != peer)
		return;
	bpf_map_delete_elem(&accel_sockhash, &turn->own);
	hear_no_more(ops, turn);
}

/* Something went by TCP, and was acknowledged. */
static __always_inline void round_trip(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct turn *turn = sk ? bpf_sk_storage_get(&accel_turns, sk, NULL, 0) : NULL;
	struct tcp_sock *tp = tcp_of(ops);

	if (!turn || !tp)
		return;
	if (turn->state == FLOW_TCP) {
		withdraw(ops, tp, turn);
	} else if (turn->state == FLOW_PLAIN && tp->data_segs_out >= BRIEF_MESSAGES) {
		note_long(&turn->service);
		hear_no_more(ops, turn);
	}
}

/* A socket that was connected before, and is again or listens: what it has not read of the
 * earlier connection is over with that, as TCP's own queue is.
 */
static __always_inline void forget(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct turn *turn = sk ? bpf_sk_storage_get(&accel_turns, sk, NULL, 0) : NULL;

	if (!turn)
		return;
	bpf_map_delete_elem(&accel_sockhash, &turn->own);
	bpf_sk_storage_delete(&accel_turns, sk);
}
