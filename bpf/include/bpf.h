/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's own headers, and those of its helpers that the programs call.
 * Helper numbers: enum bpf_func_id of include/uapi/linux/bpf.h.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

#define SEC(name) __attribute__((section(name), used))
#undef __always_inline
#define __always_inline	  inline __attribute__((always_inline))
#define __ksym		  __attribute__((section(".ksyms")))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

/* include/linux/socket.h */
enum {
	AF_INET = 2,
	AF_INET6 = 10,
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define htons(x) __builtin_bswap16(x)
#define htonl(x) __builtin_bswap32(x)
#else
#define htons(x) (x)
#define htonl(x) (x)
#endif

static void *(*const bpf_map_lookup_elem)(void *map,
					  const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value,
					 __u64 flags) = (void *)BPF_FUNC_map_update_elem;
static long (*const bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const bpf_redirect_peer)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect_peer;
static long (*const bpf_skb_pull_data)(struct __sk_buff *skb,
				       __u32 len) = (void *)BPF_FUNC_skb_pull_data;
static long (*const bpf_skb_load_bytes)(const struct __sk_buff *skb, __u32 offset, void *to,
					__u32 len) = (void *)BPF_FUNC_skb_load_bytes;
static long (*const bpf_check_mtu)(struct __sk_buff *skb, __u32 ifindex, __u32 *mtu_len,
				   __s32 len_diff, __u64 flags) = (void *)BPF_FUNC_check_mtu;
static long (*const bpf_fib_lookup)(void *ctx, struct bpf_fib_lookup *params, int size,
				    __u32 flags) = (void *)BPF_FUNC_fib_lookup;
static __u64 (*const bpf_get_netns_cookie)(void *ctx) = (void *)BPF_FUNC_get_netns_cookie;
static __u64 (*const bpf_get_current_pid_tgid)(void) = (void *)BPF_FUNC_get_current_pid_tgid;
static __u64 (*const bpf_get_socket_cookie)(void *ctx) = (void *)BPF_FUNC_get_socket_cookie;
static __u64 (*const bpf_get_attach_cookie)(void *ctx) = (void *)BPF_FUNC_get_attach_cookie;
static long (*const bpf_sk_storage_delete)(void *map,
					   void *sk) = (void *)BPF_FUNC_sk_storage_delete;
static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value,
					 __u64 flags) = (void *)BPF_FUNC_sk_storage_get;
static long (*const bpf_getsockopt)(void *ctx, int level, int name, void *value,
				    int size) = (void *)BPF_FUNC_getsockopt;
static long (*const bpf_setsockopt)(void *ctx, int level, int name, const void *value,
				    int size) = (void *)BPF_FUNC_setsockopt;
static struct tcp_sock *(*const bpf_skc_to_tcp_sock)(void *sk) = (void *)BPF_FUNC_skc_to_tcp_sock;

/* Functions of the kernel's: since Linux 6.2. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;
static long (*const bpf_map_delete_elem)(void *map,
					 const void *key) = (void *)BPF_FUNC_map_delete_elem;
static long (*const bpf_sock_hash_update)(struct bpf_sock_ops *ops, void *map, void *key,
					  __u64 flags) = (void *)BPF_FUNC_sock_hash_update;
static long (*const bpf_sock_ops_cb_flags_set)(struct bpf_sock_ops *ops,
					       int flags) = (void *)BPF_FUNC_sock_ops_cb_flags_set;
static long (*const bpf_msg_redirect_hash)(struct sk_msg_md *msg, void *map, void *key,
					   __u64 flags) = (void *)BPF_FUNC_msg_redirect_hash;
