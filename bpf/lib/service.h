/* SPDX-License-Identifier: GPL-2.0-only */
/* The ports at which connections are not worth enrolling, or cannot be: what earlier ones
 * were like.
 */
#pragma once

#include "accel.h"
#include "tcp.h"

/* Enrolling costs what some messages gain. After so many connections in a row whose
 * client sent fewer than that, those to the same port are left alone until one is longer.
 */
#define BRIEF_MESSAGES	  8
#define BRIEF_CONNECTIONS 16

static __always_inline struct accel_port service_of(struct bpf_sock_ops *ops,
						    const struct accel_container *to)
{
	struct accel_port port = {.netns = to->id, .port = htonl(ops->remote_port)};

	return port;
}

/* Clients are told not to enrol at a port. */
static __always_inline void note_refusal(struct bpf_sock_ops *ops)
{
	struct accel_port port = {.netns = bpf_get_netns_cookie(ops), .port = ops->local_port};
	struct accel_service service = {.refuses = 1};

	bpf_map_update_elem(&accel_services, &port, &service, BPF_ANY);
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
