/* SPDX-License-Identifier: GPL-2.0-only */
/* Which connections are enrolled, and how their sockets come into the map. */
#pragma once

#include "accel.h"
#include "callback.h"
#include "service.h"
#include "sockops.h"
#include "tcp.h"

/* On which cgroup a program is. */
enum place {
	ON_ROOT,
	ON_CGROUP, /* one that a runtime has named */
};

/* The container of a socket, if it takes part. */
static __always_inline struct accel_container *container_of_socket(struct bpf_sock_ops *ops,
								   enum place place)
{
	struct accel_socket own = {.netns = bpf_get_netns_cookie(ops)};
	struct accel_container *container;

	own_address(ops, own.addr);
	container = bpf_map_lookup_elem(&accel_sockets, &own);
	if (container && container->by_cgroup && place != ON_CGROUP)
		return NULL;
	return container;
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

/* A server's end comes along if the client's has asked for it. */
static __always_inline void join(struct bpf_sock_ops *ops, enum place place)
{
	struct accel_container *own = container_of_socket(ops, place);
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
	if (enrol(ops, &turn)) {
		flow->sock = (__u64)tp;
		flow->state = FLOW_IDLE;
	} else if (tp->inet_conn.icsk_ulp_ops)
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
static __always_inline void ask(struct bpf_sock_ops *ops, enum place place)
{
	struct flow flow = {.state = FLOW_IDLE}, awaited = {.state = FLOW_AWAITED};
	struct accel_container *own = container_of_socket(ops, place), *to;
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
	flow.sock = (__u64)tp;
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
