/* SPDX-License-Identifier: GPL-2.0-only */
/* Which connections are enrolled, and how their sockets come into the map and out of it:
 * what the sockops program does.
 */
#pragma once

#include "accel.h"
#include "sockops.h"
#include "tcp.h"

/* Enrolling costs what some messages gain. After so many connections in a row whose
 * client sent fewer than that, those to the same port are left alone until one is longer.
 */
#define BRIEF_MESSAGES	  8
#define BRIEF_CONNECTIONS 16

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

/* Says whether a socket is the kernel's own: those that it serves (NFS, SMC) get their
 * bytes by callbacks, not by calls.
 */
static __always_inline int of_kernel(struct tcp_sock *tp)
{
	return READ_BITS(tp, inet_conn.icsk_inet.sk.sk_kern_sock) != 0;
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

/* Puts a socket into the map, with which its calls to send and receive become those of
 * tcp_bpf (net/ipv4/tcp_bpf.c). It leaves the map when it is closed.
 */
static __always_inline int enrol(struct bpf_sock_ops *ops, struct turn *turn)
{
	struct bpf_sock *sk = ops->sk;

	if (!sk || bpf_sk_storage_get(&accel_turns, sk, NULL, 0)) /* it has called twice */
		return 0;
	hear_round_trips(ops, turn);
	if (!bpf_sk_storage_get(&accel_turns, sk, turn, BPF_SK_STORAGE_GET_F_CREATE))
		return 0;
	call_back(ops, BPF_SOCK_OPS_STATE_CB_FLAG);
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
	if (!flow || flow->state != FLOW_AWAITED || !tp || of_kernel(tp))
		return;
	turn.first = tp->write_seq;
	turn.state = FLOW_IDLE;
	if (enrol(ops, &turn))
		flow->state = FLOW_IDLE;
	else if (tp->inet_conn.icsk_ulp_ops)
		note_refusal(ops);
}

/* Looks at a client's end that is left alone because others were brief. */
static __always_inline void watch(struct bpf_sock_ops *ops, struct turn *turn)
{
	struct bpf_sock *sk = ops->sk;

	if (!sk || bpf_sk_storage_get(&accel_turns, sk, NULL, 0))
		return;
	turn->state = FLOW_PLAIN;
	hear_round_trips(ops, turn);
	bpf_sk_storage_get(&accel_turns, sk, turn, BPF_SK_STORAGE_GET_F_CREATE);
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
		watch(ops, &turn);
		return;
	}
	tp = tcp_of(ops);
	if (!tp || of_kernel(tp) || tp->data_segs_out) /* the last is TCP Fast Open */
		return;
	name_flow(ops, own->id, &turn.own, &turn.peer);
	turn.first = tp->write_seq;
	turn.state = FLOW_IDLE;
	flow.ifindex = own->ifindex;
	awaited.ifindex = to->ifindex;
	if (bpf_map_update_elem(&accel_flows, &turn.own, &flow, BPF_NOEXIST))
		return;
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
 * take a longer way. First the other end is kept from adding to its queue, then this one
 * must have read what is in it, and what is about to be.
 */
static __always_inline void withdraw(struct bpf_sock_ops *ops, struct tcp_sock *tp,
				     struct turn *turn)
{
	struct flow *own = bpf_map_lookup_elem(&accel_flows, &turn->own);
	struct flow *peer = bpf_map_lookup_elem(&accel_flows, &turn->peer);
	__u64 added;

	if (!own || !peer)
		return;
	added = __sync_fetch_and_or(&peer->sent, FLOW_SHUT) & ~FLOW_SHUT;
	/* Memory of an entry that was deleted meanwhile may be another's. */
	if (bpf_map_lookup_elem(&accel_flows, &turn->peer) != peer)
		return;
	if (!has_read(ops, tp, turn, own, added))
		return; /* later, perhaps */
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
