/* SPDX-License-Identifier: GPL-2.0-only */
/* What the programs ask of a TCP socket of the kernel's. */
#pragma once

#include "bits.h"

enum {
	TCP_ESTABLISHED = 1, /* include/net/tcp_states.h */
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
};

/* Of the kernel's structures only what is read, and as it is numbered there (CO-RE). */
enum sock_flags {
	SOCK_ZEROCOPY = 18,
};

struct sock_common {
	unsigned long skc_flags;
} __attribute__((preserve_access_index));

typedef struct {
	int counter;
} atomic_t;

struct sock {
	struct sock_common __sk_common;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	__u8 sk_padding : 1, sk_kern_sock : 1;
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
	__u32 rcv_nxt;
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

/* What waits in the queues of a socket to be read, in bytes of memory: of what came from
 * socket to socket (bpf_tcp_ingress in net/ipv4/tcp_bpf.c) in bytes. The socket may be gone.
 */
static __always_inline __u32 queued_at(__u64 sock)
{
	__u32 type = __builtin_btf_type_id(*(struct sock *)0, 1 /* the kernel's */);
	const struct sock *sk = bpf_rdonly_cast((const void *)sock, type);

	return sk->sk_backlog.rmem_alloc.counter;
}

static __always_inline struct tcp_sock *tcp_of(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;

	return sk ? bpf_skc_to_tcp_sock(sk) : NULL;
}
