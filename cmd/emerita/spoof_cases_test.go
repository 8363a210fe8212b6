// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestSpoof lets mallory, who is root in container a, tell lies of every kind. b
// and c of the same network, the host and the outside neither hear nor believe
// one of them, and each is counted by its reason.
func TestSpoof(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	testutil.Netns(t, "c")
	h.config = pathConfig
	for _, id := range []string{"a", "b", "c"} {
		h.must("ADD", id)
	}
	key := func(id string) state.Key { return state.Key{Network: "net", ContainerID: id, IfName: "eth0"} }
	addr := netip.MustParseAddr
	linkLocal := func(m net.HardwareAddr) netip.Addr {
		return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
	}
	gw, macA, macB := key("a").HostMAC(), key("a").ContainerMAC(), key("b").ContainerMAC()
	evil := net.HardwareAddr{2, 0, 0, 0, 0, 0x99}
	all := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	allNodesMAC := net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	a4, b4, c4, gw4 := addr("10.1.0.2"), addr("10.1.0.3"), addr("10.1.0.4"), addr("10.1.0.1")
	a6, b6, c6, gw6 := addr("fd00:1::2"), addr("fd00:1::3"), addr("fd00:1::4"), addr("fd00:1::1")
	allNodes, none6 := addr("ff02::1"), netip.IPv6Unspecified()
	llA, llB := linkLocal(macA), linkLocal(macB)
	flags := []byte{0x60, 0, 0, 0} // solicited, override
	prefix := append([]byte{3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0}, addr("2001:db8:bad::").AsSlice()...)
	router := append([]byte{64, 0, 14, 16, 0, 0, 0, 0, 0, 0, 0, 0}, prefix...)
	tagged := func(tpid uint16, vid byte) []byte {
		return frame(gw, macA, tpid, []byte{0, vid, 8, 0}, ipv4(a4, b4))
	}
	// What a header before it hides: hop-by-hop options, destination options, a
	// fragment that is all of it.
	hidden := func(by byte, header []byte) []byte {
		m := nd(llA, allNodes, 134, router, lladdr(1, macA))
		m[5] += byte(len(header))
		m[6] = by
		return frame(allNodesMAC, macA, 0x86dd, m[:40], header, m[40:])
	}

	for _, test := range []struct {
		name, reason string // empty: nothing is said of others, and still nobody hears it
		frame        []byte
	}{
		{"address of nobody", "source-mac", frame(gw, evil, 0x0800, ipv4(a4, b4))},
		{"address of a neighbour", "source-mac", frame(gw, macB, 0x0800, ipv4(a4, b4))},
		{"address of the gateway", "source-mac", frame(gw, gw, 0x0800, ipv4(a4, b4))},
		{"neighbour's IPv4", "source-ipv4", frame(gw, macA, 0x0800, ipv4(b4, c4))},
		{"gateway's IPv4", "source-ipv4", frame(gw, macA, 0x0800, ipv4(gw4, b4))},
		{"outside's IPv4", "source-ipv4", frame(gw, macA, 0x0800, ipv4(addr("192.0.2.2"), b4))},
		{"free IPv4", "source-ipv4", frame(gw, macA, 0x0800, ipv4(addr("10.1.0.77"), b4))},
		{"no IPv4", "source-ipv4", frame(gw, macA, 0x0800, ipv4(addr("0.0.0.0"), b4))},
		{"loopback", "source-ipv4", frame(gw, macA, 0x0800, ipv4(addr("127.0.0.1"), b4))},
		{"neighbour's IPv4 to the outside", "source-ipv4", frame(gw, macA, 0x0800, ipv4(b4, addr("192.0.2.2")))},
		{"neighbour's IPv4 behind options", "source-ipv4", frame(gw, macA, 0x0800, ipv4(b4, c4, 1, 1, 1, 0))},
		{"neighbour's IPv6", "source-ipv6", frame(gw, macA, 0x86dd, udp6(b6, c6))},
		{"gateway's IPv6", "source-ipv6", frame(gw, macA, 0x86dd, udp6(gw6, b6))},
		{"neighbour's link-local", "source-ipv6", frame(gw, macA, 0x86dd, udp6(llB, c6))},
		{"IPv6 loopback", "source-ipv6", frame(gw, macA, 0x86dd, udp6(netip.IPv6Loopback(), b6))},
		{"no IPv6", "source-ipv6", frame(gw, macA, 0x86dd, udp6(none6, b6))},
		{"own IPv4 as mapped IPv6", "source-ipv6", frame(gw, macA, 0x86dd, udp6(netip.AddrFrom16(a4.As16()), b6))},
		{"ARP request as a neighbour", "arp", frame(all, macA, 0x0806, arp(1, macA, b4, evil, gw4))},
		{"gratuitous ARP for the gateway", "arp", frame(all, macA, 0x0806, arp(1, macA, gw4, all, gw4))},
		{"ARP reply for a neighbour", "arp", frame(gw, macA, 0x0806, arp(2, macA, b4, gw, gw4))},
		{"ARP reply with another MAC", "arp", frame(gw, macA, 0x0806, arp(2, evil, a4, gw, gw4))},
		{"ARP of tokens", "arp", frame(all, macA, 0x0806, append([]byte{0, 4}, arp(1, macA, a4, all, gw4)[2:]...))},
		{"NA for the gateway", "neighbour-discovery", frame(allNodesMAC, macA, 0x86dd, nd(llA, allNodes, 136, flags, gw6.AsSlice(), lladdr(2, macA)))},
		{"NA for a neighbour", "neighbour-discovery", frame(allNodesMAC, macA, 0x86dd, nd(a6, allNodes, 136, flags, b6.AsSlice(), lladdr(2, macA)))},
		{"NA with another MAC", "neighbour-discovery", frame(gw, macA, 0x86dd, nd(a6, gw6, 136, flags, a6.AsSlice(), lladdr(2, evil)))},
		{"NA as a neighbour", "source-ipv6", frame(gw, macA, 0x86dd, nd(b6, gw6, 136, flags, b6.AsSlice(), lladdr(2, macA)))},
		{"NS with another MAC", "neighbour-discovery", frame(gw, macA, 0x86dd, nd(a6, gw6, 135, make([]byte, 4), gw6.AsSlice(), lladdr(1, evil)))},
		{"RS with another MAC", "neighbour-discovery", frame(gw, macA, 0x86dd, nd(llA, addr("ff02::2"), 133, make([]byte, 4), lladdr(1, evil)))},
		{"router advertisement", "router", frame(allNodesMAC, macA, 0x86dd, nd(llA, allNodes, 134, router, lladdr(1, macA)))},
		{"router advertisement to a neighbour", "router", frame(gw, macA, 0x86dd, nd(a6, b6, 134, router, lladdr(1, macA)))},
		{"redirect", "router", frame(gw, macA, 0x86dd, nd(a6, b6, 137, make([]byte, 4), a6.AsSlice(), c6.AsSlice()))},
		{"router advertisement behind hop-by-hop options", "neighbour-discovery", hidden(0, []byte{58, 0, 1, 4, 0, 0, 0, 0})},
		{"router advertisement behind destination options", "neighbour-discovery", hidden(60, []byte{58, 0, 1, 4, 0, 0, 0, 0})},
		{"router advertisement as a fragment", "", hidden(44, []byte{58, 0, 0, 0, 0, 0, 0, 7})},
		{"NA to a neighbour by link-local", "", frame(gw, macA, 0x86dd, nd(llA, b6, 136, flags, llA.AsSlice(), lladdr(2, macA)))},
		{"VLAN tag", "vlan", tagged(0x8100, 5)},
		{"priority tag", "vlan", tagged(0x8100, 0)},
		{"service tag", "vlan", tagged(0x88a8, 5)},
		{"LLDP", "ethertype", frame(net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0xe}, macA, 0x88cc, marker)},
		{"STP", "ethertype", frame(net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0}, macA, 38, []byte{0x42, 0x42, 3}, make([]byte, 35), marker)},
		{"EAPOL", "ethertype", frame(all, macA, 0x888e, marker)},
		{"RARP", "ethertype", frame(all, macA, 0x8035, arp(3, macA, a4, macA, a4))},
		{"MPLS", "ethertype", frame(gw, macA, 0x8847, []byte{0, 1, 1, 64}, ipv4(a4, b4))},
		{"PPPoE", "ethertype", frame(all, macA, 0x8863, marker)},
		{"half a header", "malformed", frame(gw, macA, 0x0800, ipv4(a4, b4)[:12])},
		{"IPv4 in a frame of IPv6", "malformed", frame(gw, macA, 0x86dd, ipv4(a4, b4), make([]byte, 20))},
		{"broadcast frame to a neighbour", "", frame(all, macA, 0x0800, ipv4(a4, b4))},
		{"frame of a neighbour's MAC", "", frame(macB, macA, 0x0800, ipv4(a4, b4))},
		{"IPv4 broadcast", "", frame(all, macA, 0x0800, ipv4(a4, addr("255.255.255.255")))},
		{"IPv4 broadcast of the network", "", frame(all, macA, 0x0800, ipv4(a4, addr("10.1.0.255")))},
		{"IPv4 multicast", "", frame(net.HardwareAddr{1, 0, 0x5e, 0, 0, 0xfb}, macA, 0x0800, ipv4(a4, addr("224.0.0.251")))},
		{"IPv6 multicast", "", frame(allNodesMAC, macA, 0x86dd, udp6(a6, allNodes))},
		{"IPv6 multicast of the site", "", frame(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 0xfb}, macA, 0x86dd, udp6(a6, addr("ff05::fb")))},
	} {
		mallory := sniff(t, "a")
		victims := []sniffer{sniff(t, "b"), sniff(t, "c"), sniff(t, "outside")}
		knew, before := neighbours(t), h.reasons("a")
		mallory.send(t, test.frame)
		for _, v := range victims[:2] {
			to := map[string]netip.Addr{"b": b4, "c": c4}[v.who]
			honest := fmt.Appendf(nil, "honest to %s", v.who)
			packet := ipv4(a4, to)
			copy(packet[28:], honest)
			if v.heard(t, marker) > 0 {
				t.Errorf("%s: %s hears it", test.name, v.who)
			}
			h.awaitLast(v, func() { mallory.send(t, frame(gw, macA, 0x0800, packet)) }, honest)
		}
		for _, v := range victims {
			if v.heard(t, marker) > 0 {
				t.Errorf("%s: %s hears it", test.name, v.who)
			}
		}
		mustSame(t, test.name+": others believe it", knew, neighbours(t))
		after := h.reasons("a")
		if test.reason != "" && (after[test.reason] == before[test.reason]) {
			t.Errorf("%s: not counted as %s: %v, before %v", test.name, test.reason, after, before)
		}
		if test.reason == "" && fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: counted: %v, before %v", test.name, after, before)
		}
	}
	if got := h.reasons("b"); len(got) > 0 {
		t.Errorf("counted for b: %v", got)
	}
}
