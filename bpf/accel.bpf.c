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
#include "lib/sockops.h"

/* What one end may send before it is known that the other has read everything. Of a
 * message the kernel keeps about 1 KiB besides its bytes.
 */
#define BUDGET_BYTES	65536
#define BUDGET_MESSAGES 128

/* Enrolling costs what some messages gain. After so many connections in a row whose
 * client sent fewer than that, those to the same port are left alone until one is longer.
 */
#define BRIEF_MESSAGES	  8
#define BRIEF_CONNECTIONS 16

enum {
	TCP_ESTABLISHED = 1, /* include/net/tcp_states.h */
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	MSG_PEEK = 2, /* include/linux/socket.h */
};

/* Of the kernel's structures only what is read, and as it is numbered there (CO-RE). */
enum sock_flags {
	SOCK_ZEROCOPY = 18,
};

struct sock_common {
	unsigned long skc_flags;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
} __attribute__((preserve_access_index));

struct inet_sock {
	struct sock sk;
} __attribute__((preserve_access_index));

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const void *icsk_ulp_ops;
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 write_seq;
	__u32 copied_seq;
	__u32 data_segs_out;
} __attribute__((preserve_access_index));

/* Says whether an application may wait to be told that what it sent is no longer needed
 * (SO_ZEROCOPY), which only TCP does.
 */
static __always_inline int wants_completions(struct tcp_sock *tp)
{
	__u64 bit = __builtin_preserve_enum_value(*(enum sock_flags *)SOCK_ZEROCOPY, 1);

	return tp->inet_conn.icsk_inet.sk.__sk_common.skc_flags >> bit & 1;
}

static __always_inline struct tcp_sock *tcp_of(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;

	return sk ? bpf_skc_to_tcp_sock(sk) : NULL;
}

/* The container of a socket, if it takes part. */
static __always_inline struct accel_container *container_of_socket(struct bpf_sock_ops *ops)
{
	struct accel_socket own = {.netns = bpf_get_netns_cookie(ops)};

	own_address(ops, own.addr);
	return bpf_map_lookup_elem(&accel_sockets, &own);
}

/* The container at the other end, if it takes part and is another one. */
static __always_inline struct accel_container *container_of_peer(struct bpf_sock_ops *ops,
								 __u64 network)
{
	struct accel_peer peer = {.network = network};
	struct accel_container *to;

	peer_address(ops, peer.addr);
	to = bpf_map_lookup_elem(&accel_peers, &peer);
	return to && to->id != bpf_get_netns_cookie(ops) ? to : NULL;
}

static __always_inline struct accel_port service_of(struct bpf_sock_ops *ops,
						    const struct accel_container *to)
{
	struct accel_port port = {.netns = to->id, .port = htonl(ops->remote_port)};

	return port;
}

static __always_inline void call_back(struct bpf_sock_ops *ops, int flags)
{
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | flags);
}

/* Names a connection as its two ends do. Both know the sequence numbers before a byte of
 * it was sent or received, but for TCP Fast Open, where they do not agree.
 */
static __always_inline void name_flow(struct bpf_sock_ops *ops, __u64 network, struct flow_key *own,
				      struct flow_key *peer)
{
	own->network = peer->network = network;
	own_address(ops, own->own);
	own_address(ops, peer->peer);
	peer_address(ops, own->peer);
	peer_address(ops, peer->own);
	own->own_port = peer->peer_port = ops->local_port;
	own->peer_port = peer->own_port = htonl(ops->remote_port);
	own->own_seq = peer->peer_seq = ops->snd_nxt;
	own->peer_seq = peer->own_seq = ops->rcv_nxt;
}

/* Puts a socket into the map, with which its calls to send and receive become those of
 * tcp_bpf (net/ipv4/tcp_bpf.c). It leaves the map when it is closed.
 */
static __always_inline int enrol(struct bpf_sock_ops *ops, struct turn *turn)
{
	struct bpf_sock *sk = ops->sk;

	/* One that was connected before, and is again, is in the map by its old name. */
	if (!sk || bpf_sk_storage_get(&accel_turns, sk, NULL, 0) ||
	    !bpf_sk_storage_get(&accel_turns, sk, turn, BPF_SK_STORAGE_GET_F_CREATE))
		return 0;
	call_back(ops, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG);
	return !bpf_sock_hash_update(ops, &accel_sockhash, &turn->own, BPF_NOEXIST);
}

/* Clients are told not to enrol at a port. */
static __always_inline void note_refusal(struct bpf_sock_ops *ops)
{
	struct accel_port port = {.netns = bpf_get_netns_cookie(ops), .port = ops->local_port};
	struct accel_service service = {.refuses = 1};

	bpf_map_update_elem(&accel_services, &port, &service, BPF_ANY);
}

/* A server's end comes along if the client's has asked for it. */
static __always_inline void join(struct bpf_sock_ops *ops)
{
	struct accel_container *own = container_of_socket(ops);
	struct turn turn = {};
	struct tcp_sock *tp;
	struct flow *flow;

	if (!own)
		return;
	name_flow(ops, own->id, &turn.own, &turn.peer);
	flow = bpf_map_lookup_elem(&accel_flows, &turn.own);
	tp = tcp_of(ops);
	if (!flow || flow->state != FLOW_AWAITED || !tp)
		return;
	turn.first = tp->write_seq;
	turn.state = FLOW_IDLE;
	if (enrol(ops, &turn))
		flow->state = FLOW_IDLE;
	else
		note_refusal(ops);
}

/* A client's end asks for both: the server's comes to be a moment later. */
static __always_inline void ask(struct bpf_sock_ops *ops)
{
	struct flow flow = {.state = FLOW_IDLE}, awaited = {.state = FLOW_AWAITED};
	struct accel_container *own = container_of_socket(ops), *to;
	struct accel_service *service;
	struct turn turn = {};
	struct tcp_sock *tp;

	to = own && !accel_stopped() ? container_of_peer(ops, own->id) : NULL;
	if (!to)
		return;
	turn.service = service_of(ops, to);
	service = bpf_map_lookup_elem(&accel_services, &turn.service);
	if (service && service->refuses)
		return;
	if (service && service->brief >= BRIEF_CONNECTIONS) {
		call_back(ops, BPF_SOCK_OPS_RTT_CB_FLAG);
		return;
	}
	tp = tcp_of(ops);
	if (!tp || tp->data_segs_out) /* TCP Fast Open */
		return;
	name_flow(ops, own->id, &turn.own, &turn.peer);
	turn.first = tp->write_seq;
	turn.state = FLOW_IDLE;
	flow.ifindex = own->ifindex;
	awaited.ifindex = to->ifindex;
	if (bpf_map_update_elem(&accel_flows, &turn.own, &flow, BPF_NOEXIST)) {
		join(ops); /* both have called connect */
		return;
	}
	if (bpf_map_update_elem(&accel_flows, &turn.peer, &awaited, BPF_NOEXIST)) {
		bpf_map_delete_elem(&accel_flows, &turn.own);
		return;
	}
	if (!enrol(ops, &turn)) {
		bpf_map_delete_elem(&accel_flows, &turn.own);
		bpf_map_delete_elem(&accel_flows, &turn.peer);
	}
}

/* A listener says what its sockets will be: those of MPTCP the kernel refuses, and then
 * the client's end would be alone.
 */
static __always_inline void note_listener(struct bpf_sock_ops *ops)
{
	struct accel_port port = {.netns = bpf_get_netns_cookie(ops), .port = ops->local_port};
	struct tcp_sock *tp = tcp_of(ops);

	if (tp && tp->inet_conn.icsk_ulp_ops)
		note_refusal(ops);
	else
		bpf_map_delete_elem(&accel_services, &port);
}

/* A connection at a port was longer than brief. */
static __always_inline void note_long(struct accel_port *port)
{
	struct accel_service *service = bpf_map_lookup_elem(&accel_services, port);

	if (service)
		service->brief = 0;
}

static __always_inline void note_brief(struct accel_port *port)
{
	struct accel_service *service = bpf_map_lookup_elem(&accel_services, port);
	struct accel_service first = {.brief = 1};

	if (service)
		__sync_fetch_and_add(&service->brief, 1);
	else
		bpf_map_update_elem(&accel_services, port, &first, BPF_NOEXIST);
}

/* Looks at a client's end that was left alone because others were brief. */
static __always_inline void watch(struct bpf_sock_ops *ops, struct tcp_sock *tp)
{
	struct accel_container *own, *to;
	struct accel_port port;

	if (tp->data_segs_out < BRIEF_MESSAGES)
		return;
	own = container_of_socket(ops);
	to = own ? container_of_peer(ops, own->id) : NULL;
	if (to) {
		port = service_of(ops, to);
		note_long(&port);
	}
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* The connection is over for this end. Its socket stays in the map until it is closed:
 * what it has not read yet would be lost with the entry.
 */
static __always_inline void leave(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct turn *turn = sk ? bpf_sk_storage_get(&accel_turns, sk, NULL, 0) : NULL;
	struct tcp_sock *tp = tcp_of(ops);
	struct flow *peer;

	if (!turn || !tp)
		return;
	turn->state = FLOW_TCP; /* should it be connected again */
	if (turn->service.port && turn->messages + tp->data_segs_out < BRIEF_MESSAGES)
		note_brief(&turn->service);
	bpf_map_delete_elem(&accel_flows, &turn->own);
	peer = bpf_map_lookup_elem(&accel_flows, &turn->peer);
	if (peer && peer->state == FLOW_AWAITED)
		bpf_map_delete_elem(&accel_flows, &turn->peer);
}

/* Says whether an end has read all that was ever added to its queue. By TCP it has read
 * what TCP says; the rest of what it has read came from there, and lags behind by much
 * less than 4 GiB.
 */
static __always_inline int has_read(struct tcp_sock *tp, struct turn *turn, struct flow *flow,
				    __u64 added)
{
	__u32 by_tcp = tp->copied_seq - turn->own.peer_seq;

	return !added || (__u32)flow->read - by_tcp == (__u32)added;
}

/* Takes an end whose direction is TCP out of the map: as long as it is there its calls
 * take a longer way. First the other end is kept from adding to its queue, then this one
 * must have read what is in it, and what is about to be.
 */
static __always_inline void withdraw(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct turn *turn = sk ? bpf_sk_storage_get(&accel_turns, sk, NULL, 0) : NULL;
	struct tcp_sock *tp = tcp_of(ops);
	struct flow *own, *peer;
	__u64 added;

	if (tp && !turn)
		watch(ops, tp);
	if (!tp || !turn || turn->state != FLOW_TCP)
		return;
	own = bpf_map_lookup_elem(&accel_flows, &turn->own);
	peer = bpf_map_lookup_elem(&accel_flows, &turn->peer);
	if (!own || !peer)
		return;
	added = __sync_fetch_and_or(&peer->sent, FLOW_SHUT) & ~FLOW_SHUT;
	if (!has_read(tp, turn, own, added))
		return; /* later, perhaps */
	bpf_map_delete_elem(&accel_sockhash, &turn->own);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

SEC("sockops")
int accel_enrol(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		ask(ops);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		join(ops);
		break;
	case BPF_SOCK_OPS_RTT_CB: /* something went by TCP, and was acknowledged */
		withdraw(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] == TCP_CLOSE)
			leave(ops);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		note_listener(ops);
		break;
	}
	return 1;
}

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

/* Says whether a message is within the budget. */
static __always_inline int affordable(struct turn *turn, struct flow *flow, __u32 size)
{
	if (turn->run_bytes > BUDGET_BYTES / 2 || turn->run_messages > BUDGET_MESSAGES / 2)
		renew(turn, flow);
	return turn->run_messages < BUDGET_MESSAGES && size <= BUDGET_BYTES &&
	       turn->run_bytes <= BUDGET_BYTES - size;
}

SEC("sk_msg")
int accel_verdict(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	__u64 size = msg->size;
	struct tcp_sock *tp;
	struct turn *turn;
	struct flow *flow;

	if (!sk)
		return SK_PASS;
	turn = bpf_sk_storage_get(&accel_turns, sk, NULL, 0);
	if (!turn || turn->state == FLOW_TCP)
		return SK_PASS;
	flow = bpf_map_lookup_elem(&accel_flows, &turn->own);
	/* After shutdown or reset TCP has the right error for the sender. */
	if (!flow || accel_stopped() ||
	    (sk->state != TCP_ESTABLISHED && sk->state != TCP_CLOSE_WAIT))
		return by_tcp(turn, flow);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || wants_completions(tp))
		return by_tcp(turn, flow);
	if (turn->state != FLOW_SOCKET && !may_begin(tp, turn, flow))
		return by_tcp(turn, flow);
	if (!affordable(turn, flow, size))
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
 * machine. Where a direction is FLOW_SOCKET all of its bytes come this way; a way of
 * reading that does not call would count less, never more.
 */
SEC("tp_btf/sock_recv_length")
int accel_read(__u64 *ctx)
{
	void *sk = (void *)ctx[0];
	int bytes = ctx[1], flags = ctx[2];
	struct turn *turn;
	struct flow *flow;

	if (bytes <= 0 || flags & MSG_PEEK)
		return 0;
	turn = bpf_sk_storage_get(&accel_turns, sk, NULL, 0);
	flow = turn ? bpf_map_lookup_elem(&accel_flows, &turn->own) : NULL;
	if (flow)
		__sync_fetch_and_add(&flow->read, bytes);
	return 0;
}

char _license[] SEC("license") = "GPL";
