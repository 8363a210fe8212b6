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

struct sock {
	struct sock_common __sk_common;
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

static __always_inline struct tcp_sock *tcp_of(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;

	return sk ? bpf_skc_to_tcp_sock(sk) : NULL;
}
