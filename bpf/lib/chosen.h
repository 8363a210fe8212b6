/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether an application has chosen the congestion control of a socket, or of the one
 * that it listens on: the kernel keeps a bit for that, and no helper tells.
 */
#pragma once

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

/* Kinds of __builtin_preserve_field_info, as clang and the loader number them. */
enum field_info {
	FIELD_BYTE_OFFSET = 0,
	FIELD_BYTE_SIZE = 1,
	FIELD_LSHIFT_U64 = 4,
	FIELD_RSHIFT_U64 = 5,
};

#define CA_SETSOCKOPT(tp, what)                                                                    \
	__builtin_preserve_field_info((tp)->inet_conn.icsk_ca_setsockopt, what)

static __always_inline int congestion_chosen(const struct tcp_sock *tp)
{
	const void *at = (const void *)tp + CA_SETSOCKOPT(tp, FIELD_BYTE_OFFSET);
	__u64 bits = 0;

	switch (CA_SETSOCKOPT(tp, FIELD_BYTE_SIZE)) {
	case 1:
		bits = *(const __u8 *)at;
		break;
	case 2:
		bits = *(const __u16 *)at;
		break;
	case 4:
		bits = *(const __u32 *)at;
		break;
	case 8:
		bits = *(const __u64 *)at;
		break;
	}
	return bits << CA_SETSOCKOPT(tp, FIELD_LSHIFT_U64) >> CA_SETSOCKOPT(tp, FIELD_RSHIFT_U64) !=
	       0;
}
