// SPDX-License-Identifier: GPL-2.0-only
/* The programs on the root of cgroup v2 that lead sockets of host processes from a
 * published port on a loopback address to the container. They see the sockets of every
 * process of the machine: the first look is at the address, and nearly all end there.
 */
#include "include/bpf.h"

#include "lib/addr.h"
#include "lib/loopback.h"

/* The call goes on. Others refuse calls; these never do. */
#define PROCEED 1

/* include/linux/net.h and include/uapi/linux/in.h, where glibc's names are in the way. */
enum {
	SOCK_STREAM = 1,
	SOCK_DGRAM = 2,
};

/* The protocol of a socket in the map, 0 if sockets of its kind are left alone. An MPTCP
 * connection begins with a TCP socket of its own, which is led; getpeername is asked of
 * another socket, and names the container. SCTP's calls do not get here (net/sctp).
 */
static __always_inline __u8 protocol_of(const struct bpf_sock_addr *ctx)
{
	if (ctx->type == SOCK_STREAM && ctx->protocol == IPPROTO_TCP)
		return IPPROTO_TCP;
	if (ctx->type == SOCK_DGRAM && ctx->protocol == IPPROTO_UDP)
		return IPPROTO_UDP;
	return 0;
}

/* Says which container has the port that is asked for: on exactly this address, else on
 * all of its family.
 */
static __always_inline const struct loopback_port *leads(struct bpf_sock_addr *ctx,
							 const struct peer *asked)
{
	struct loopback_key key = {.port = asked->port, .protocol = protocol_of(ctx)};
	const struct loopback_port *to;

	/* A socket that is bound to a device is bound to lo, or to one that does not
	 * lead to the container.
	 */
	if (!key.protocol || ctx->sk->bound_dev_if)
		return NULL;
	key.netns = bpf_get_netns_cookie(ctx);
	__builtin_memcpy(key.addr, asked->addr, sizeof(key.addr));
	to = bpf_map_lookup_elem(&loopback, &key);
	if (to)
		return to;
	((__u32 *)key.addr)[3] = 0; /* :: or ::ffff:0.0.0.0 */
	return bpf_map_lookup_elem(&loopback, &key);
}

static __always_inline void container_of_port(struct peer *p, const struct loopback_port *to)
{
	__builtin_memcpy(p->addr, to->addr, sizeof(p->addr));
	p->port = to->port;
}

/* Notes of a socket that it will be connected. Without memory for that only the name of
 * the peer is another.
 */
static __always_inline void note_connection(struct bpf_sock_addr *ctx, const struct peer *asked,
					    const struct loopback_port *to)
{
	struct led *led =
		bpf_sk_storage_get(&led_sockets, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!led)
		return;
	container_of_port(&led->container, to);
	led->asked = *asked;
}

static __always_inline void note_datagram(struct bpf_sock_addr *ctx, const struct peer *asked,
					  const struct loopback_port *to)
{
	struct datagram_key key = {.socket = bpf_get_socket_cookie(ctx)};
	struct led *led =
		bpf_sk_storage_get(&led_sockets, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	const struct peer *known;

	if (!led)
		return;
	container_of_port(&key.container, to);
	/* Each port of the host is known as one; of two that lead to one port of a
	 * container the last that was asked for counts.
	 */
	known = bpf_map_lookup_elem(&datagrams, &key);
	if (!known || !same_peer(known, asked))
		bpf_map_update_elem(&datagrams, &key, asked, BPF_ANY);
	if (same_peer(&led->container, &key.container))
		led->asked = *asked; /* it was connected to the same before */
}

/* What the application had asked for, if it was led to a container; NULL if it is to see
 * the peer as it is.
 */
static __always_inline const struct peer *asked_for(struct bpf_sock_addr *ctx,
						    const struct led *led, const struct peer *is)
{
	struct datagram_key key = {.container = *is};

	if (same_peer(&led->container, is))
		return &led->asked;
	if (protocol_of(ctx) != IPPROTO_UDP)
		return NULL;
	key.socket = bpf_get_socket_cookie(ctx);
	return bpf_map_lookup_elem(&datagrams, &key);
}

/* The address of a call of IPv4, if it is one of the loopback. The kernel takes the
 * unspecified address for that as well, unless the socket has one of its own.
 */
static __always_inline int v4_asked(const struct bpf_sock_addr *ctx, __u32 source,
				    struct peer *asked)
{
	__u32 v4 = ctx->user_ip4;

	if (!v4 && !source)
		v4 = htonl(0x7f000001);
	if (!v4_loopback(v4) || v4_loopback(source))
		return 0;
	v4_mapped(asked->addr, v4);
	asked->port = ctx->user_port;
	return 1;
}

static __always_inline int v6_asked(const struct bpf_sock_addr *ctx, const __u32 source[4],
				    struct peer *asked)
{
	__u32 *words = (__u32 *)asked->addr;

	if (ctx->user_ip6[0] | ctx->user_ip6[1])
		return 0;
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	if (!words[3] && !(source[0] | source[1] | source[2] | source[3]))
		words[3] = words[2] ? htonl(0x7f000001) : htonl(1);
	if (!v6_loopback(words) || v6_loopback(source))
		return 0;
	asked->port = ctx->user_port;
	return 1;
}

static __always_inline void v4_set(struct bpf_sock_addr *ctx, const __u8 addr[16], __u16 port)
{
	ctx->user_ip4 = ((const __u32 *)addr)[3];
	ctx->user_port = port;
}

static __always_inline void v6_set(struct bpf_sock_addr *ctx, const __u8 addr[16], __u16 port)
{
	const __u32 *words = (const __u32 *)addr;

	ctx->user_ip6[0] = words[0];
	ctx->user_ip6[1] = words[1];
	ctx->user_ip6[2] = words[2];
	ctx->user_ip6[3] = words[3];
	ctx->user_port = port;
}

typedef void note_fn(struct bpf_sock_addr *ctx, const struct peer *asked,
		     const struct loopback_port *to);

static __always_inline int v4_lead(struct bpf_sock_addr *ctx, __u32 source, note_fn *note)
{
	const struct loopback_port *to;
	struct peer asked = {};

	if (!v4_asked(ctx, source, &asked))
		return PROCEED;
	to = leads(ctx, &asked);
	if (!to)
		return PROCEED;
	note(ctx, &asked, to);
	v4_set(ctx, to->addr, to->port);
	return PROCEED;
}

static __always_inline int v6_lead(struct bpf_sock_addr *ctx, const __u32 source[4], note_fn *note)
{
	const struct loopback_port *to;
	struct peer asked = {};

	if (!v6_asked(ctx, source, &asked))
		return PROCEED;
	to = leads(ctx, &asked);
	if (!to)
		return PROCEED;
	note(ctx, &asked, to);
	v6_set(ctx, to->addr, to->port);
	return PROCEED;
}

SEC("cgroup/connect4")
int port_connect4(struct bpf_sock_addr *ctx)
{
	return v4_lead(ctx, ctx->sk->src_ip4, note_connection);
}

SEC("cgroup/connect6")
int port_connect6(struct bpf_sock_addr *ctx)
{
	__u32 source[4] = {ctx->sk->src_ip6[0], ctx->sk->src_ip6[1], ctx->sk->src_ip6[2],
			   ctx->sk->src_ip6[3]};

	return v6_lead(ctx, source, note_connection);
}

/* The source is that of the socket or, over it, of the datagram. */
SEC("cgroup/sendmsg4")
int port_sendmsg4(struct bpf_sock_addr *ctx)
{
	return v4_lead(ctx, ctx->msg_src_ip4, note_datagram);
}

SEC("cgroup/sendmsg6")
int port_sendmsg6(struct bpf_sock_addr *ctx)
{
	__u32 source[4] = {ctx->msg_src_ip6[0], ctx->msg_src_ip6[1], ctx->msg_src_ip6[2],
			   ctx->msg_src_ip6[3]};

	return v6_lead(ctx, source, note_datagram);
}

static __always_inline int v4_rename(struct bpf_sock_addr *ctx)
{
	const struct led *led = bpf_sk_storage_get(&led_sockets, ctx->sk, NULL, 0);
	const struct peer *asked;
	struct peer is = {};

	if (!led)
		return PROCEED;
	v4_mapped(is.addr, ctx->user_ip4);
	is.port = ctx->user_port;
	asked = asked_for(ctx, led, &is);
	if (asked)
		v4_set(ctx, asked->addr, asked->port);
	return PROCEED;
}

static __always_inline int v6_rename(struct bpf_sock_addr *ctx)
{
	const struct led *led = bpf_sk_storage_get(&led_sockets, ctx->sk, NULL, 0);
	const struct peer *asked;
	struct peer is = {};
	__u32 *words = (__u32 *)is.addr;

	if (!led)
		return PROCEED;
	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	is.port = ctx->user_port;
	asked = asked_for(ctx, led, &is);
	if (asked)
		v6_set(ctx, asked->addr, asked->port);
	return PROCEED;
}

SEC("cgroup/recvmsg4")
int port_recvmsg4(struct bpf_sock_addr *ctx)
{
	return v4_rename(ctx);
}

SEC("cgroup/recvmsg6")
int port_recvmsg6(struct bpf_sock_addr *ctx)
{
	return v6_rename(ctx);
}

SEC("cgroup/getpeername4")
int port_getpeername4(struct bpf_sock_addr *ctx)
{
	return v4_rename(ctx);
}

SEC("cgroup/getpeername6")
int port_getpeername6(struct bpf_sock_addr *ctx)
{
	return v6_rename(ctx);
}

char _license[] SEC("license") = "GPL";
