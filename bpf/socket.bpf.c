// SPDX-License-Identifier: GPL-2.0-only
/* The program on the root of cgroup v2: TCP between two containers of one network of
 * this host gets a congestion control that suits memory, and not a WAN.
 */
#include "include/bpf.h"

#include "lib/chosen.h"
#include "lib/endpoint.h"
#include "lib/socket.h"
#include "lib/sockops.h"

/* include/uapi/linux/tcp.h has it among structures of glibc's name. */
#define TCP_CONGESTION 13

/* Says whether a name is that of an algorithm that paces what it sends by what it
 * believes a bottleneck to be: bbr and its successors.
 */
static __always_inline int paces(const char *name)
{
	return name[0] == 'b' && name[1] == 'b' && name[2] == 'r';
}

/* What is chosen for a connection that is about to be, or has just been accepted: an
 * application that chooses later does so over this.
 */
static __always_inline void choose(struct bpf_sock_ops *ops)
{
	struct socket_key own = {.netns = bpf_get_netns_cookie(ops)};
	struct endpoint_key peer = {};
	struct socket_policy *policy;
	struct endpoint *to;
	struct tcp_sock *tp;
	struct bpf_sock *sk;

	own_address(ops, own.addr);
	policy = bpf_map_lookup_elem(&sockets, &own);
	if (!policy)
		return;
	peer.network = policy->network;
	peer_address(ops, peer.addr);
	to = bpf_map_lookup_elem(&endpoints, &peer);
	if (!to || !to->ifindex)
		return;
	sk = ops->sk;
	tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (!tp || congestion_chosen(tp))
		return;
	/* A limit is the bottleneck that such an algorithm looks for. */
	if (policy->flags & SOCKET_UNPACED && to->flags & ENDPOINT_LIMITED)
		return;
	if (policy->flags & SOCKET_UNPACED) {
		char now[CONGESTION_NAME] = {};

		if (bpf_getsockopt(ops, IPPROTO_TCP, TCP_CONGESTION, now, sizeof(now)) ||
		    !paces(now))
			return;
	}
	bpf_setsockopt(ops, IPPROTO_TCP, TCP_CONGESTION, policy->congestion,
		       sizeof(policy->congestion));
}

SEC("sockops")
int local_congestion(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		choose(ops);
	}
	return 1;
}

char _license[] SEC("license") = "GPL";
