// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestFromContainerIPv6(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	m := w.mallory
	outside := netip.MustParseAddr("2001:db8:1::1")
	to := func(h ip6) []byte {
		if !h.src.IsValid() {
			h.src = m.v6
		}
		if !h.dst.IsValid() {
			h.dst = w.bob.v6
		}
		return h.bytes()
	}
	after := func(next byte) []byte { return join([]byte{next, 0, 1, 4, 0, 0, 0, 0}, make([]byte, 20)) }
	advert := icmp6(routerAdvert, make([]byte, 8))
	w.runFrames(t, []frameCase{
		{name: "udp to bob", ethertype: ethIPv6, payload: to(ip6{}), want: direct},
		{name: "tcp to bob", ethertype: ethIPv6, payload: to(ip6{next: protoTCP, payload: make([]byte, 20)}), want: direct},
		{name: "echo to bob", ethertype: ethIPv6, payload: to(ip6{next: protoICMPv6, payload: icmp6(echoRequest)}), want: direct},
		{name: "unknown protocol to bob", ethertype: ethIPv6, payload: to(ip6{next: 253}), want: toStack},
		{name: "to carol of another network", ethertype: ethIPv6, payload: to(ip6{dst: w.carol.v6}), want: toStack},
		{name: "to the outside", ethertype: ethIPv6, payload: to(ip6{dst: outside}), want: toStack},
		{name: "to itself", ethertype: ethIPv6, payload: to(ip6{dst: m.v6}), want: toStack},
		{name: "to a group", ethertype: ethIPv6, payload: to(ip6{dst: netip.MustParseAddr("ff02::1")}), want: toStack},
		{name: "to bob's link-local address", ethertype: ethIPv6, payload: to(ip6{dst: w.bob.local}), want: toStack},
		{name: "from the link-local address to bob", ethertype: ethIPv6, payload: to(ip6{src: m.local}), want: toStack},
		{name: "from the link-local address to bob's", ethertype: ethIPv6, payload: to(ip6{src: m.local, dst: w.bob.local}), want: toStack},
		{name: "source of alice", ethertype: ethIPv6, payload: to(ip6{src: w.alice.v6}), want: dropped("source-ipv6")},
		{name: "link-local source of alice", ethertype: ethIPv6, payload: to(ip6{src: w.alice.local}), want: dropped("source-ipv6")},
		{name: "source of the outside", ethertype: ethIPv6, payload: to(ip6{src: outside}), want: dropped("source-ipv6")},
		{name: "source of the loopback", ethertype: ethIPv6, payload: to(ip6{src: netip.IPv6Loopback()}), want: dropped("source-ipv6")},
		{name: "source that maps bob's IPv4", ethertype: ethIPv6, payload: to(ip6{src: netip.AddrFrom16(w.bob.v4.As16())}), want: dropped("source-ipv6")},
		{name: "source that maps the own IPv4", ethertype: ethIPv6, payload: to(ip6{src: netip.AddrFrom16(m.v4.As16())}), want: dropped("source-ipv6")},
		{name: "destination that maps bob's IPv4", ethertype: ethIPv6, payload: to(ip6{dst: netip.AddrFrom16(w.bob.v4.As16())}), want: toStack},
		{name: "carol with the source of bob", from: w.carol, ethertype: ethIPv6, payload: to(ip6{src: w.bob.v6, dst: m.v6}), want: dropped("source-ipv6")},
		{name: "unspecified source, udp", ethertype: ethIPv6, payload: to(ip6{src: netip.IPv6Unspecified()}), want: dropped("source-ipv6")},
		{name: "unspecified source, listener report", ethertype: ethIPv6, payload: to(ip6{src: netip.IPv6Unspecified(), dst: netip.MustParseAddr("ff02::16"), next: protoICMPv6, payload: icmp6(listenerReport)}), want: toStack},
		{name: "unspecified source, echo to bob", ethertype: ethIPv6, payload: to(ip6{src: netip.IPv6Unspecified(), next: protoICMPv6, payload: icmp6(echoRequest)}), want: toStack},
		{name: "version 4", ethertype: ethIPv6, payload: to(ip6{version: 4}), want: dropped("malformed")},
		{name: "icmp without a type", ethertype: ethIPv6, payload: to(ip6{next: protoICMPv6, payload: []byte{}}), want: dropped("malformed")},
		{name: "hop limit 0", ethertype: ethIPv6, payload: bytes.Replace(to(ip6{hops: 77}), []byte{protoUDP, 77}, []byte{protoUDP, 0}, 1), want: toStack},
		{name: "hop limit 1", ethertype: ethIPv6, payload: to(ip6{hops: 1}), want: toStack},
		{name: "hop limit 2", ethertype: ethIPv6, payload: to(ip6{hops: 2}), want: direct},
		{name: "hop limit 1, wrong source", ethertype: ethIPv6, payload: to(ip6{src: w.alice.v6, hops: 1}), want: dropped("source-ipv6")},
		{name: "hop limit 1, neighbour advertisement of bob's address", ethertype: ethIPv6, payload: to(ip6{hops: 1, next: protoICMPv6, payload: icmp6(neighbourAdvert, w.bob.v6.AsSlice())}), want: dropped("neighbour-discovery")},
		{name: "hop limit 1, router advertisement", ethertype: ethIPv6, payload: to(ip6{hops: 1, next: protoICMPv6, payload: advert}), want: dropped("router")},
		{name: "fragment", ethertype: ethIPv6, payload: to(ip6{next: protoFragment, payload: after(protoUDP)}), want: toStack},
		{name: "routing header", ethertype: ethIPv6, payload: to(ip6{next: protoRouting, payload: after(protoUDP)}), want: toStack},
		{name: "destination options", ethertype: ethIPv6, payload: to(ip6{next: protoDestOpts, payload: after(protoUDP)}), want: toStack},
		{name: "hop-by-hop options, hop limit 255", ethertype: ethIPv6, payload: to(ip6{hops: 255, explicit: true, payload: after(protoUDP)}), want: dropped("neighbour-discovery")},
		{name: "routing header, hop limit 255", ethertype: ethIPv6, payload: to(ip6{hops: 255, next: protoRouting, payload: after(protoUDP)}), want: dropped("neighbour-discovery")},
		{name: "destination options, hop limit 255", ethertype: ethIPv6, payload: to(ip6{hops: 255, next: protoDestOpts, payload: after(protoUDP)}), want: dropped("neighbour-discovery")},
		{name: "fragment, hop limit 255", ethertype: ethIPv6, payload: to(ip6{hops: 255, next: protoFragment, payload: after(protoUDP)}), want: toStack},
		{name: "no next header", ethertype: ethIPv6, payload: to(ip6{next: protoNone}), want: toStack},
		{name: "wrong source before an extension header", ethertype: ethIPv6, payload: to(ip6{src: w.alice.v6, next: protoDestOpts, payload: after(protoUDP)}), want: dropped("source-ipv6")},
		{name: "router advertisement behind an extension header", ethertype: ethIPv6, payload: to(ip6{src: m.local, next: protoDestOpts, payload: join(after(protoICMPv6)[:8], advert)}), want: toStack},
		{name: "hop-by-hop options", ethertype: ethIPv6, payload: to(ip6{explicit: true, payload: hopByHop(protoTCP, make([]byte, 20))}), want: toStack},
		{name: "jumbo option of a BIG TCP packet", ethertype: ethIPv6, payload: to(ip6{explicit: true, payload: hopByHop(protoTCP, make([]byte, 20))}), gso: 1428, want: direct},
		{name: "jumbo option with the source of alice", ethertype: ethIPv6, payload: to(ip6{src: w.alice.v6, explicit: true, payload: hopByHop(protoTCP, make([]byte, 20))}), gso: 1428, want: dropped("source-ipv6")},
		{name: "router advertisement that looks like BIG TCP", ethertype: ethIPv6, payload: to(ip6{explicit: true, payload: hopByHop(protoICMPv6, advert)}), gso: 1428, want: toStack},
		{name: "other option that looks like BIG TCP", ethertype: ethIPv6, payload: to(ip6{explicit: true, payload: join([]byte{protoTCP, 0, 5, 2, 0, 0, 1, 0}, make([]byte, 20))}), gso: 1428, want: toStack},
		{name: "longer options that look like BIG TCP", ethertype: ethIPv6, payload: to(ip6{explicit: true, payload: join([]byte{protoTCP, 1, 0xc2, 4, 0, 1, 0, 0}, make([]byte, 28))}), gso: 1428, want: toStack},
		{name: "hop-by-hop header cut off", ethertype: ethIPv6, payload: to(ip6{explicit: true, payload: []byte{protoTCP}}), gso: 1428, want: toStack},
	})
}

func TestFromContainerNeighbours(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	m := w.mallory
	all := netip.MustParseAddr("ff02::1")
	says := func(src netip.Addr, message []byte) []byte {
		return ip6{src: src, dst: all, hops: 255, next: protoICMPv6, payload: message}.bytes()
	}
	own, alices := ndOption(sourceLinkAddress, m.mac), ndOption(sourceLinkAddress, w.alice.mac)
	ownTarget, alicesTarget := ndOption(targetLinkAddress, m.mac), ndOption(targetLinkAddress, w.alice.mac)
	other := ndOption(nonceOption, w.alice.mac) // means no address
	asks := func(options ...[]byte) []byte {
		return icmp6(neighbourSolicit, w.bob.v6.AsSlice(), join(options...))
	}
	claims := func(target netip.Addr, options ...[]byte) []byte {
		return icmp6(neighbourAdvert, target.AsSlice(), join(options...))
	}
	cases := []frameCase{
		{name: "solicitation without option", payload: says(m.v6, asks()), want: toStack},
		{name: "solicitation with the own address", payload: says(m.v6, asks(own)), want: toStack},
		{name: "solicitation with alice's address", payload: says(m.v6, asks(alices)), want: dropped("neighbour-discovery")},
		{name: "solicitation with alice's as target address", payload: says(m.v6, asks(alicesTarget)), want: dropped("neighbour-discovery")},
		{name: "solicitation, first own then alice's", payload: says(m.v6, asks(own, alices)), want: dropped("neighbour-discovery")},
		{name: "solicitation, alice's behind three others", payload: says(m.v6, asks(other, other, other, alices)), want: dropped("neighbour-discovery")},
		{name: "solicitation, four options", payload: says(m.v6, asks(other, other, other, own)), want: toStack},
		{name: "solicitation, five options", payload: says(m.v6, asks(other, other, other, other, own)), want: dropped("neighbour-discovery")},
		{name: "solicitation, own address in a longer option", payload: says(m.v6, asks([]byte{sourceLinkAddress, 2}, m.mac, make([]byte, 8))), want: dropped("neighbour-discovery")},
		{name: "solicitation, long option of another kind", payload: says(m.v6, asks([]byte{nonceOption, 2}, make([]byte, 14), own)), want: toStack},
		{name: "solicitation, option of no length", payload: says(m.v6, asks([]byte{nonceOption, 0}, make([]byte, 6))), want: dropped("neighbour-discovery")},
		{name: "solicitation, option beyond the packet", payload: says(m.v6, asks([]byte{nonceOption, 31}, make([]byte, 6))), want: toStack},
		{name: "solicitation, remainder shorter than an option", payload: says(m.v6, asks(own, []byte{sourceLinkAddress, 1, 2, 0})), want: toStack},
		{name: "solicitation from alice's address", payload: says(w.alice.v6, asks(own)), want: dropped("source-ipv6")},
		{name: "duplicate address detection", payload: says(netip.IPv6Unspecified(), asks()), want: toStack},
		{name: "duplicate address detection with alice's address", payload: says(netip.IPv6Unspecified(), asks(alices)), want: dropped("neighbour-discovery")},
		{name: "advertisement of the own address", payload: says(m.v6, claims(m.v6, ownTarget)), want: toStack},
		{name: "advertisement of the own link-local address", payload: says(m.local, claims(m.local, ownTarget)), want: toStack},
		{name: "advertisement of the own address without option", payload: says(m.v6, claims(m.v6)), want: toStack},
		{name: "advertisement of the own address with alice's", payload: says(m.v6, claims(m.v6, alicesTarget)), want: dropped("neighbour-discovery")},
		{name: "advertisement of bob's address", payload: says(m.v6, claims(w.bob.v6, ownTarget)), want: dropped("neighbour-discovery")},
		{name: "advertisement of carol's address", payload: says(m.v6, claims(w.carol.v6, ownTarget)), want: dropped("neighbour-discovery")},
		{name: "advertisement of nobody's address", payload: says(m.v6, claims(netip.MustParseAddr("fd00::ff"), ownTarget)), want: dropped("neighbour-discovery")},
		{name: "advertisement from the unspecified address", payload: says(netip.IPv6Unspecified(), claims(w.bob.v6)), want: dropped("neighbour-discovery")},
		{name: "advertisement cut off", payload: says(m.v6, claims(m.v6)[:20]), want: dropped("malformed")},
		{name: "router solicitation", payload: says(m.local, icmp6(routerSolicit, own)), want: toStack},
		{name: "router solicitation with alice's address", payload: says(m.local, icmp6(routerSolicit, alices)), want: dropped("neighbour-discovery")},
		{name: "router advertisement", payload: says(m.local, icmp6(routerAdvert, make([]byte, 8), own)), want: dropped("router")},
		{name: "redirect", payload: says(m.local, icmp6(neighbourRedirect, w.bob.v6.AsSlice(), w.alice.v6.AsSlice())), want: dropped("router")},
		{name: "solicitation to bob himself", payload: ip6{src: m.v6, dst: w.bob.v6, hops: 255, next: protoICMPv6, payload: asks(own)}.bytes(), want: toStack},
		{name: "advertisement to bob himself", payload: ip6{src: m.v6, dst: w.bob.v6, hops: 255, next: protoICMPv6, payload: claims(m.v6, ownTarget)}.bytes(), want: toStack},
	}
	for i := range cases {
		cases[i].ethertype = ethIPv6
	}
	w.runFrames(t, cases)
}

func TestFromContainerARP(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	m := w.mallory
	gateway := netip.MustParseAddr("10.0.0.254")
	says := func(a arp) []byte {
		if a.senderMAC == nil {
			a.senderMAC = m.mac
		}
		if !a.sender.IsValid() {
			a.sender = m.v4
		}
		if !a.target.IsValid() {
			a.target = gateway
		}
		return a.bytes()
	}
	cases := []frameCase{
		{name: "request", payload: says(arp{}), want: toStack},
		{name: "announcement", payload: says(arp{target: m.v4}), want: toStack},
		{name: "probe", payload: says(arp{sender: netip.IPv4Unspecified(), target: m.v4}), want: toStack},
		{name: "padded", payload: join(says(arp{}), make([]byte, 18)), want: toStack},
		{name: "sender with alice's Ethernet address", payload: says(arp{senderMAC: w.alice.mac}), want: dropped("arp")},
		{name: "probe with alice's Ethernet address", payload: says(arp{sender: netip.IPv4Unspecified(), senderMAC: w.alice.mac}), want: dropped("arp")},
		{name: "sender with alice's address", payload: says(arp{sender: w.alice.v4}), want: dropped("arp")},
		{name: "sender with carol's address", payload: says(arp{sender: w.carol.v4}), want: dropped("arp")},
		{name: "sender with the gateway's address", payload: says(arp{sender: gateway, target: gateway}), want: dropped("arp")},
		{name: "another hardware", payload: says(arp{hardware: 6}), want: dropped("arp")},
		{name: "another protocol", payload: says(arp{protocol: ethIPv6}), want: dropped("arp")},
		{name: "another hardware length", payload: says(arp{hardwareLen: 8}), want: dropped("arp")},
		{name: "another protocol length", payload: says(arp{protocolLen: 16}), want: dropped("arp")},
		{name: "cut off", payload: says(arp{})[:27], want: dropped("arp")},
		{name: "empty", payload: []byte{0}, want: dropped("arp")},
	}
	for i := range cases {
		cases[i].ethertype = ethARP
	}
	w.runFrames(t, cases)
}
