/* SPDX-License-Identifier: GPL-2.0-only */
/* Which IPv6 packets the host stack would forward as they are. */
#pragma once

static __always_inline int v6_unspecified(const struct in6_addr *a)
{
	const __u32 *w = (const __u32 *)a;

	return !(w[0] | w[1] | w[2] | w[3]);
}

/* ::ffff:a.b.c.d, which is never on a wire (RFC 4291, 2.5.5.2). */
static __always_inline int v6_mapped(const struct in6_addr *a)
{
	const __u32 *w = (const __u32 *)a;

	return !(w[0] | w[1]) && w[2] == htonl(0xffff);
}

/* Says whether a router may forward from and to an address. Link-local ones stay
 * on their link, which has the host and one container only: a neighbour or router
 * message that got to another container would be believed there. Nor are ::/32, with
 * the unspecified, loopback and mapped addresses, for anybody but the host stack.
 */
static __always_inline int v6_forwarded(const struct in6_addr *a)
{
	const __u32 *w = (const __u32 *)a;

	return w[0] && (w[0] & htonl(0xffc00000)) != htonl(0xfe800000);
}

/* Says whether a hop-by-hop header is the one that the kernel itself puts before
 * the TCP header of a BIG TCP packet: a jumbo payload option (RFC 2675) and nothing
 * else (net/ipv6/ip6_output.c). A raw socket can send others on a GSO packet.
 */
static __always_inline int v6_big_tcp(struct __sk_buff *skb, __u32 offset)
{
	struct {
		__u8 next, len; /* len: 8 bytes each, but for the first */
		__u8 option, option_len;
	} h;

	return !bpf_skb_load_bytes(skb, offset, &h, sizeof(h)) && h.next == IPPROTO_TCP &&
	       h.len == 0 && h.option == 0xc2 && h.option_len == 4;
}

/* Goes on behind the header of a BIG TCP packet, which has no other sense than that,
 * and behind that of a fragment (RFC 8200, 4.5). It says whether the transport header
 * may follow: not in later fragments, which come to nothing without the first.
 */
static __always_inline int v6_transport(struct __sk_buff *skb, __u8 *protocol, __u32 *offset)
{
	struct {
		__u8 next, reserved;
		__u16 position;
	} h;

	if (*protocol == IPPROTO_HOPOPTS && skb->gso_size && v6_big_tcp(skb, *offset)) {
		*protocol = IPPROTO_TCP;
		*offset += 8;
	} else if (*protocol == IPPROTO_FRAGMENT &&
		   !bpf_skb_load_bytes(skb, *offset, &h, sizeof(h))) {
		if (h.position & htons(0xfff8))
			return 0;
		*protocol = h.next;
		*offset += 8;
	}
	return 1;
}
