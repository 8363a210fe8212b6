// SPDX-License-Identifier: GPL-2.0-only
/* The two programs on the host end of a container's device. */
#include "include/bpf.h"

#include "lib/drop.h"
#include "lib/endpoint.h"
#include "lib/host.h"
#include "lib/interface.h"
#include "lib/ipv6.h"
#include "lib/nd.h"
#include "lib/parse.h"
#include "lib/published.h"
#include "lib/tag.h"

/* Let whoever comes next decide: another filter, and then the host stack. */
#define PASS TC_ACT_UNSPEC

/* A check found nothing on which to decide. */
#define UNDECIDED -2

/* The packet and the container that it is from or for. The index is read from
 * the packet once: compilers move a second read to an address computed from
 * the context, which the verifier refuses.
 */
struct self {
	struct __sk_buff *skb;
	__u32 ifindex;
	const struct interface *ifc;
};

static __always_inline int drop(const struct self *me, enum drop_reason why)
{
	struct counters *c = bpf_map_lookup_elem(&counts, &me->ifindex);

	if (c)
		c->drops[why]++;
	return TC_ACT_SHOT;
}

static __always_inline int to_stack(const struct self *me)
{
	struct counters *c = bpf_map_lookup_elem(&counts, &me->ifindex);

	if (c) {
		c->out_packets++;
		c->out_bytes += me->skb->len;
	}
	return PASS;
}

static __always_inline void count_fast_in(const struct __sk_buff *skb, __u32 ifindex)
{
	struct counters *c = bpf_map_lookup_elem(&counts, &ifindex);

	if (c) {
		c->fast_in_packets++;
		c->fast_in_bytes += skb->len;
	}
}

/* Hands the packet over to the container at the address, if it is one of this
 * host in the same network and nothing about the packet needs the host stack.
 */
static __always_inline int deliver(const struct self *me, const struct endpoint_key *dst)
{
	struct __sk_buff *skb = me->skb;
	struct endpoint *to;
	struct counters *c;
	struct cursor begin;
	struct ethhdr *eth;
	__u32 mtu = 0;

	if (!(me->ifc->flags & INTERFACE_FASTPATH) || skb->pkt_type != 0 /* PACKET_HOST */)
		return to_stack(me);
	to = bpf_map_lookup_elem(&endpoints, dst);
	if (!to || !to->ifindex || to->ifindex == me->ifindex || to->flags & ENDPOINT_LIMITED)
		return to_stack(me);
	/* Only a packet that might not fit is worth the helper; what does not
	 * gets its ICMP error from the host stack.
	 */
	if (to->mtu < me->ifc->mtu &&
	    bpf_check_mtu(skb, to->ifindex, &mtu, 0, skb->gso_size ? BPF_MTU_CHK_SEGS : 0))
		return to_stack(me);
	/* The container may have a bridge or a machine behind its device, which
	 * takes frames for its address only.
	 */
	begin = packet(skb);
	eth = take(&begin, sizeof(*eth));
	if (!eth)
		return to_stack(me);
	__builtin_memcpy(eth, to->macs, sizeof(to->macs));
	c = bpf_map_lookup_elem(&counts, &me->ifindex);
	if (c) {
		c->fast_packets++;
		c->fast_bytes += skb->len;
	}
	if (me->ifc->flags & INTERFACE_NETKIT) {
		/* Its program runs on the way out of the container. Only from the way in
		 * of a host end can another's peer be reached past its own host end.
		 */
		skb->tc_index = network_tag(me->ifc) | TAG_DIRECT;
		return bpf_redirect(to->ifindex, 0);
	}
	count_fast_in(skb, to->ifindex);
	return bpf_redirect_peer(to->ifindex, 0);
}

static __always_inline int is_own(const struct self *me, const struct endpoint_key *src)
{
	struct endpoint *from = bpf_map_lookup_elem(&endpoints, src);

	return from && from->owner == me->ifc->owner;
}

/* Says whether a network to which the host is closed may send a packet: to a container
 * of its own, past the host, or in answer to it. Fragments but the first have no ports,
 * and come to nothing without the first.
 */
static __always_inline int may_pass_ipv4(const struct self *me, const struct iphdr *ip)
{
	struct bpf_fib_lookup to = {
		.family = AF_INET,
		.ifindex = me->ifindex,
		.ipv4_src = ip->saddr,
		.ipv4_dst = ip->daddr,
	};
	struct conversation c = {.ifindex = me->ifindex, .protocol = ip->protocol};
	struct endpoint_key key = {.network = me->ifc->network};
	__u32 offset = ETH_HLEN + ip->ihl * 4;

	if (ip->frag_off & htons(0x1fff))
		return 1;
	v4_mapped(c.host, ip->daddr);
	v4_mapped(c.container, ip->saddr);
	v4_mapped(key.addr, ip->daddr);
	return bpf_map_lookup_elem(&endpoints, &key) || !for_host(me->skb, &to) ||
	       answers(me->skb, &c, offset);
}

static __always_inline int may_pass_ipv6(const struct self *me, const struct ipv6hdr *ip)
{
	struct bpf_fib_lookup to = {.family = AF_INET6, .ifindex = me->ifindex};
	struct conversation c = {.ifindex = me->ifindex, .protocol = ip->nexthdr};
	struct endpoint_key key = {.network = me->ifc->network};
	__u32 offset = ETH_HLEN + sizeof(*ip);

	__builtin_memcpy(to.ipv6_src, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(to.ipv6_dst, &ip->daddr, sizeof(ip->daddr));
	__builtin_memcpy(c.host, &ip->daddr, sizeof(ip->daddr));
	__builtin_memcpy(c.container, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(key.addr, &ip->daddr, sizeof(key.addr));
	if (!v6_transport(me->skb, &c.protocol, &offset))
		return 1;
	return bpf_map_lookup_elem(&endpoints, &key) || !for_host(me->skb, &to) ||
	       answers(me->skb, &c, offset);
}

static __always_inline int from_ipv4(const struct self *me, struct cursor *c)
{
	struct endpoint_key key = {.network = me->ifc->network};
	struct iphdr *ip = take(c, sizeof(*ip));

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return drop(me, DROP_MALFORMED);
	v4_mapped(key.addr, ip->saddr);
	if (!is_own(me, &key))
		return drop(me, DROP_SOURCE_IPV4);
	if (me->ifc->flags & INTERFACE_HOST_CLOSED && !may_pass_ipv4(me, ip))
		return drop(me, DROP_HOST);
	/* The host stack treats options, fragments and the end of a life. */
	if (ip->ihl != 5 || ip->frag_off & htons(0x3fff) || ip->ttl <= 1)
		return to_stack(me);
	v4_mapped(key.addr, ip->daddr);
	return deliver(me, &key);
}

/* The host's own checks apply to what is left to it; here only what could make
 * somebody believe the container is somebody else.
 */
static __always_inline int from_icmpv6(const struct self *me, __u32 offset)
{
	struct __sk_buff *skb = me->skb;
	__u8 type;

	if (bpf_skb_load_bytes(skb, offset, &type, sizeof(type)))
		return drop(me, DROP_MALFORMED);
	switch (type) {
	case ND_ROUTER_ADVERT:
	case ND_REDIRECT:
		return drop(me, DROP_ROUTER);
	case ND_ROUTER_SOLICIT:
		return nd_options_own(skb, offset + 8, me->ifc) ? to_stack(me) : drop(me, DROP_ND);
	case ND_NEIGHBOUR_SOLICIT:
		return nd_options_own(skb, offset + 24, me->ifc) ? to_stack(me) : drop(me, DROP_ND);
	case ND_NEIGHBOUR_ADVERT: {
		struct endpoint_key key = {.network = me->ifc->network};

		if (bpf_skb_load_bytes(skb, offset + 8, key.addr, sizeof(key.addr)))
			return drop(me, DROP_MALFORMED);
		if (!is_own(me, &key) || !nd_options_own(skb, offset + 24, me->ifc))
			return drop(me, DROP_ND);
		return to_stack(me);
	}
	}
	return UNDECIDED;
}

/* Neighbour discovery behind extension headers: it is not looked for, but it would
 * need the highest hop limit (RFC 4861), which nothing else has behind those.
 * Behind a fragment header the kernel ignores it (suppress_frag_ndisc, RFC 6980).
 */
static __always_inline int to_stack_unless_nd(const struct self *me, const struct ipv6hdr *ip)
{
	return ip->hop_limit == 255 ? drop(me, DROP_ND) : to_stack(me);
}

static __always_inline int from_ipv6(const struct self *me, struct cursor *c)
{
	struct endpoint_key key = {.network = me->ifc->network};
	struct ipv6hdr *ip = take(c, sizeof(*ip));
	int direct, verdict;

	if (!ip || ip->version != 6)
		return drop(me, DROP_MALFORMED);
	__builtin_memcpy(key.addr, &ip->saddr, sizeof(key.addr));
	/* The maps hold IPv4 addresses as mapped ones, which IPv6 has no right to.
	 * The unspecified address asks whether an address is free, which only
	 * ICMPv6 does; nobody but the host hears it.
	 */
	if ((!is_own(me, &key) || v6_mapped(&ip->saddr)) &&
	    !(v6_unspecified(&ip->saddr) && ip->nexthdr == IPPROTO_ICMPV6))
		return drop(me, DROP_SOURCE_IPV6);
	/* Before what follows: neighbour discovery is no access to the host. */
	if (ip->nexthdr == IPPROTO_ICMPV6) {
		verdict = from_icmpv6(me, ETH_HLEN + sizeof(*ip));
		if (verdict != UNDECIDED)
			return verdict;
	}
	if (me->ifc->flags & INTERFACE_HOST_CLOSED && !may_pass_ipv6(me, ip))
		return drop(me, DROP_HOST);
	direct = ip->hop_limit > 1 && v6_forwarded(&ip->saddr) && v6_forwarded(&ip->daddr);
	__builtin_memcpy(key.addr, &ip->daddr, sizeof(key.addr));
	switch (ip->nexthdr) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_ICMPV6:
		break;
	case IPPROTO_HOPOPTS:
		if (me->skb->gso_size && v6_big_tcp(me->skb, ETH_HLEN + sizeof(*ip)))
			break;
		me->skb->tc_index = network_tag(me->ifc);
		return to_stack_unless_nd(me, ip);
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		me->skb->tc_index = network_tag(me->ifc);
		return to_stack_unless_nd(me, ip);
	default: /* fragments among them */
		me->skb->tc_index = network_tag(me->ifc);
		return to_stack(me);
	}
	return direct ? deliver(me, &key) : to_stack(me);
}

static __always_inline int from_arp(const struct self *me, struct cursor *c)
{
	struct endpoint_key key = {.network = me->ifc->network};
	struct {
		__u16 hardware, protocol;
		__u8 hardware_len, protocol_len;
		__u16 operation;
		__u8 sender_mac[6];
		__u8 sender_ip[4];
		__u8 target_mac[6];
		__u8 target_ip[4];
	} __attribute__((packed)) *arp = take(c, sizeof(*arp));
	__u32 sender;

	if (!arp || arp->hardware != htons(1 /* Ethernet */) || arp->protocol != htons(ETH_P_IP) ||
	    arp->hardware_len != 6 || arp->protocol_len != 4)
		return drop(me, DROP_ARP);
	__builtin_memcpy(&sender, arp->sender_ip, sizeof(sender));
	v4_mapped(key.addr, sender);
	/* A probe (RFC 5227) has no sender address. */
	if (!same_mac(arp->sender_mac, me->ifc->mac) || (sender && !is_own(me, &key)))
		return drop(me, DROP_ARP);
	return to_stack(me);
}

/* From the container: who is speaking, and to whom. */
SEC("tc")
int from_container(struct __sk_buff *skb)
{
	struct self self = {.skb = skb, .ifindex = skb->ifindex};
	const struct self *me = &self;
	struct cursor c;
	struct ethhdr *eth;

	self.ifc = bpf_map_lookup_elem(&interfaces, &self.ifindex);
	if (!self.ifc)
		return PASS;
	if (skb->vlan_present)
		return drop(me, DROP_VLAN);
	c = packet(skb);
	eth = take(&c, sizeof(*eth));
	if (!eth)
		return drop(me, DROP_MALFORMED);
	if (!same_mac(eth->h_source, me->ifc->mac))
		return drop(me, DROP_SOURCE_MAC);
	switch (eth->h_proto) {
	case htons(ETH_P_IP):
		return from_ipv4(me, &c);
	case htons(ETH_P_IPV6):
		return from_ipv6(me, &c);
	case htons(ETH_P_ARP):
		return from_arp(me, &c);
	case htons(ETH_P_8021Q):
	case htons(ETH_P_8021AD):
		return drop(me, DROP_VLAN);
	}
	return drop(me, DROP_ETHERTYPE);
}

/* The host speaks to a container to which it is closed. */
static __always_inline void note_host(const struct self *me)
{
	struct conversation talk = {.ifindex = me->ifindex};
	struct cursor c = packet(me->skb);
	__u32 offset = ETH_HLEN + sizeof(struct ipv6hdr);
	struct ethhdr *eth = take(&c, sizeof(*eth));

	if (!eth)
		return;
	if (eth->h_proto == htons(ETH_P_IP)) {
		struct iphdr *ip = take(&c, sizeof(*ip));

		if (!ip || ip->frag_off & htons(0x1fff))
			return;
		talk.protocol = ip->protocol;
		v4_mapped(talk.host, ip->saddr);
		v4_mapped(talk.container, ip->daddr);
		note_call(me->skb, &talk, ETH_HLEN + ip->ihl * 4);
	} else if (eth->h_proto == htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = take(&c, sizeof(*ip));

		if (!ip)
			return;
		talk.protocol = ip->nexthdr;
		__builtin_memcpy(talk.host, &ip->saddr, sizeof(talk.host));
		__builtin_memcpy(talk.container, &ip->daddr, sizeof(talk.container));
		if (v6_transport(me->skb, &talk.protocol, &offset))
			note_call(me->skb, &talk, offset);
	}
}

static __always_inline int is_allowed(__u32 ifindex, const struct interface *other)
{
	struct allowance a = {.ifindex = ifindex, .network = other->network};

	return bpf_map_lookup_elem(&allowed, &a) != NULL;
}

/* From the host stack to the container: is the speaker one that it may hear. A
 * packet that the host forwards keeps the interface on which it came in.
 */
SEC("tc")
int to_container(struct __sk_buff *skb)
{
	struct self self = {.skb = skb, .ifindex = skb->ifindex};
	const struct self *me = &self;
	__u32 from_index = skb->ingress_ifindex;
	const struct interface *from, *to;
	struct counters *c;

	to = self.ifc = bpf_map_lookup_elem(&interfaces, &self.ifindex);
	if (!to)
		return PASS;
	from = bpf_map_lookup_elem(&interfaces, &from_index);
	if (from && from->network != to->network &&
	    ((to->flags | from->flags) & INTERFACE_ISOLATED) && !is_allowed(self.ifindex, from) &&
	    !is_allowed(from_index, to) && !of_published(skb, from_index, from, self.ifindex))
		return drop(me, DROP_ISOLATION);
	if (!from_index && skb->tc_index & TAG_DIRECT) {
		skb->tc_index = 0;
		count_fast_in(skb, self.ifindex);
		return PASS;
	}
	if (!from_index && skb->tc_index && skb->protocol == htons(ETH_P_IPV6) &&
	    tag_forbids(skb->tc_index, to))
		return drop(me, DROP_ISOLATION);
	if (to->flags & INTERFACE_HOST_CLOSED &&
	    (!from_index ||
	     (from && from->network == to->network && by_host(skb, from, self.ifindex))))
		note_host(me);
	c = bpf_map_lookup_elem(&counts, &self.ifindex);
	if (c) {
		c->in_packets++;
		c->in_bytes += skb->len;
	}
	return PASS;
}

char _license[] SEC("license") = "GPL";
