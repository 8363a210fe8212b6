/* SPDX-License-Identifier: GPL-2.0-only */
/* Which threads write to a socket, and whether a message of another's may be on its way. */
#pragma once

#include "accel.h"
#include "tcp.h"

/* Between the verdict on a message and the other's queue the kernel lets go of the sender's
 * socket (tcp_bpf_send_verdict in net/ipv4/tcp_bpf.c). If another thread's is on its way, and
 * the next went by TCP, the other end could read a part of that, and then the former. Says
 * whether none is, so that the direction may go over to TCP: what was sent was read or is in
 * the queue. What is read is taken from there first and counted then, and in between missing.
 * Each thread has one message on its way at most, the last.
 */
static __always_inline int is_alone(struct turn *turn, struct flow *flow)
{
	__u32 me = bpf_get_current_pid_tgid(); /* the lower half is the thread's */
	struct flow *peer;
	__u64 missing = 0;
	__u32 queued = 0;

	if (turn->writer == me && !turn->others)
		return 1;
	peer = bpf_map_lookup_elem(&accel_flows, &turn->peer);
	if (peer) { /* not closed */
		/* First what was read, or what is read now counts twice. */
		missing = (flow->sent & ~FLOW_SHUT) - __sync_fetch_and_add(&peer->read, 0);
		queued = queued_at(peer->sock);
	}
	if (missing == queued) {
		turn->writer = me;
		turn->others = 0;
		return 1;
	}
	if (turn->writer != me)
		turn->others++;
	turn->writer = me;
	if (!queued && accel_counts()) { /* all that has arrived is read */
		turn->run_messages = turn->others;
		turn->run_bytes = missing;
	}
	return 0;
}
