/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether an application has chosen the congestion control of a socket, or of the one
 * that it listens on: the kernel keeps a bit for that, and no helper tells.
 */
#pragma once

#include "bits.h"

/* Of the kernel's structures only what is read; where it is, the loader finds out by
 * the BTF of the kernel that runs (CO-RE).
 */
struct inet_connection_sock {
	__u8 icsk_ca_state : 5, icsk_ca_initialized : 1, icsk_ca_setsockopt : 1,
		icsk_ca_dst_locked : 1;
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
} __attribute__((preserve_access_index));

static __always_inline int congestion_chosen(const struct tcp_sock *tp)
{
	return READ_BITS(tp, inet_conn.icsk_ca_setsockopt) != 0;
}
