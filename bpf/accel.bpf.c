// SPDX-License-Identifier: GPL-2.0-only
/* Socket acceleration: what two containers of a network say to each other over TCP goes
 * from the one's socket into the other's queue. docs/socket-acceleration.md says what is
 * different for them; this file holds to what keeps every byte, in order, with its
 * connection: both ends or none, from the first byte or never, and never more than a
 * budget that nobody is known to have read. An end whose direction went over to TCP leaves
 * the map when nothing can come to it any more but by TCP, and is an ordinary socket again.
 */
#include "include/bpf.h"

#include "lib/accel.h"
#include "lib/budget.h"
#include "lib/enrol.h"
#include "lib/service.h"
#include "lib/tcp.h"
#include "lib/withdraw.h"

enum {
	MSG_OOB = 1, /* include/linux/socket.h */
	MSG_PEEK = 2,
	MSG_ERRQUEUE = 0x2000,
};

static __always_inline int called_back(struct bpf_sock_ops *ops, enum place place)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		forget(ops);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		ask(ops, place);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		join(ops, place);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		round_trip(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == TCP_CLOSE)
			leave(ops);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		forget(ops);
		note_listener(ops);
		break;
	}
	return 1;
}

SEC("sockops")
int accel_enrol(struct bpf_sock_ops *ops)
{
	return called_back(ops, ON_ROOT);
}

SEC("sockops")
int accel_cgroup(struct bpf_sock_ops *ops)
{
	return called_back(ops, ON_CGROUP);
}

SEC("sk_msg")
int accel_verdict(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	__u64 size = msg->size;
	struct tcp_sock *tp;
	struct turn *turn;
	struct flow *flow;
	int stopped;

	if (!sk)
		return SK_PASS;
	turn = bpf_sk_storage_get(&accel_turns, sk, NULL, 0);
	if (!turn || turn->state == FLOW_TCP)
		return SK_PASS;
	flow = bpf_map_lookup_elem(&accel_flows, &turn->own);
	/* After shutdown or reset TCP has the right error for the sender. */
	if (!flow || (sk->state != TCP_ESTABLISHED && sk->state != TCP_CLOSE_WAIT))
		return by_tcp(turn, flow);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || wants_completions(tp))
		return by_tcp(turn, flow);
	stopped = accel_stopped();
	if (turn->state != FLOW_SOCKET && (stopped || !may_begin(tp, turn, flow)))
		return by_tcp(turn, flow);
	if (!affordable(turn, flow, size, stopped))
		return by_tcp(turn, flow);
	/* Whether the other end takes it, and where it is: it may be closed, then TCP tells. */
	if (__sync_fetch_and_add(&flow->sent, size) & FLOW_SHUT ||
	    bpf_msg_redirect_hash(msg, &accel_sockhash, &turn->peer, BPF_F_INGRESS) != SK_PASS) {
		__sync_fetch_and_add(&flow->sent, -size);
		return by_tcp(turn, flow);
	}
	turn->run_bytes += size;
	turn->run_messages++;
	if (++turn->messages == BRIEF_MESSAGES && turn->service.port)
		note_long(&turn->service);
	return SK_PASS;
}

/* Counts what an application has read: the kernel calls it for every socket of the
 * machine. Where a direction is FLOW_SOCKET all of its bytes come this way. What counts
 * less than was read is safe, and ends the acceleration of a connection; more is not: so
 * nothing counts that may not be of the stream, or be read again.
 */
SEC("tp_btf/sock_recv_length")
int accel_read(__u64 *ctx)
{
	void *sk = (void *)ctx[0];
	int bytes = ctx[1], flags = ctx[2];
	__u32 zero = 0;
	__u64 *reader;
	struct turn *turn;
	struct flow *flow;

	if (bytes <= 0 || flags & (MSG_OOB | MSG_PEEK | MSG_ERRQUEUE))
		return 0;
	turn = bpf_sk_storage_get(&accel_turns, sk, NULL, 0);
	if (!turn)
		return 0;
	reader = bpf_map_lookup_elem(&accel_reader, &zero);
	flow = bpf_map_lookup_elem(&accel_flows, &turn->own);
	if (flow && reader && *reader == bpf_get_attach_cookie(ctx))
		__sync_fetch_and_add(&flow->read, bytes);
	return 0;
}

char _license[] SEC("license") = "GPL";
