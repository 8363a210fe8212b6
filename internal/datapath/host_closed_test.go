// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// transport is a header of TCP or UDP as far as the programs read it.
func transport(source, destination uint16) []byte {
	return join(be16(source), be16(destination), make([]byte, 4))
}

// echo is an ICMP message with an identifier, or of another type.
func echo(typ byte, identifier uint16) []byte {
	return join([]byte{typ, 0, 0, 0}, be16(identifier), []byte{0, 1})
}

// TestHostClosed closes the host to mallory. The host has 192.0.2.1 and 2001:db8::1,
// and the outside is behind it; bob is of mallory's network.
func TestHostClosed(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	m := w.mallory
	m.told.HostClosed = true
	w.mustTell(t, m)
	for _, line := range []string{"ipv4/conf/mallory/forwarding", "ipv6/conf/mallory/forwarding"} {
		testutil.Run(t, "sh", "-c", "echo 1 > /proc/sys/net/"+line)
	}
	host4, host6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	out4, out6 := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")
	four := func(dst netip.Addr, proto byte, payload []byte) []byte {
		return ethernet(m.hostMAC, m.mac, ethIPv4, ip4{src: m.v4, dst: dst, proto: proto, payload: payload}.bytes())
	}
	six := func(dst netip.Addr, next byte, payload []byte) []byte {
		return ethernet(m.hostMAC, m.mac, ethIPv6, ip6{src: m.v6, dst: dst, next: next, payload: payload}.bytes())
	}
	six0 := func(dst netip.Addr, payload []byte) []byte {
		return ethernet(m.hostMAC, m.mac, ethIPv6, ip6{src: m.v6, dst: dst, explicit: true, payload: payload}.bytes())
	}
	calls4 := func(proto byte, payload []byte) []byte {
		return ethernet(m.mac, m.hostMAC, ethIPv4, ip4{src: host4, dst: m.v4, proto: proto, payload: payload}.bytes())
	}
	calls6 := func(next byte, payload []byte) []byte {
		return ethernet(m.mac, m.hostMAC, ethIPv6, ip6{src: host6, dst: m.v6, next: next, payload: payload}.bytes())
	}
	frag := func(offset uint16) []byte {
		return ethernet(m.hostMAC, m.mac, ethIPv4, ip4{src: m.v4, dst: host4, fragment: offset, payload: transport(1, 2)}.bytes())
	}
	const sctp = 132
	closed := dropped("host")
	for _, c := range []struct {
		name  string
		call  []byte // of the host's, before
		frame []byte
		want  string
	}{
		{"TCP to the host", nil, four(host4, protoTCP, transport(1000, 22)), closed},
		{"UDP to the host", nil, four(host4, protoUDP, transport(1000, 53)), closed},
		{"ping of the host", nil, four(host4, protoICMP, echo(8, 7)), closed},
		{"another protocol to the host", nil, four(host4, 47, nil), closed},
		{"broadcast", nil, four(netip.MustParseAddr("255.255.255.255"), protoUDP, transport(68, 67)), closed},
		{"multicast", nil, four(netip.MustParseAddr("224.0.0.251"), protoUDP, transport(5353, 5353)), closed},
		{"TCP to the host, IPv6", nil, six(host6, protoTCP, transport(1000, 22)), closed},
		{"UDP to the host, IPv6", nil, six(host6, protoUDP, transport(1000, 53)), closed},
		{"ping of the host, IPv6", nil, six(host6, protoICMPv6, echo(echoRequest, 7)), closed},
		{"multicast, IPv6", nil, six(netip.MustParseAddr("ff02::fb"), protoUDP, transport(5353, 5353)), closed},
		{"TCP behind a destination header to the host", nil, six(host6, protoDestOpts, hopByHop(protoTCP, transport(1000, 22))), closed},

		{"answer by TCP", calls4(protoTCP, transport(40000, 80)), four(host4, protoTCP, transport(80, 40000)), toStack},
		{"to another port", nil, four(host4, protoTCP, transport(80, 40001)), closed},
		{"from another port", nil, four(host4, protoTCP, transport(81, 40000)), closed},
		{"by another protocol", nil, four(host4, protoUDP, transport(80, 40000)), closed},
		{"answer by UDP", calls4(protoUDP, transport(40000, 53)), four(host4, protoUDP, transport(53, 40000)), toStack},
		{"answer by SCTP", calls4(sctp, transport(40000, 9)), four(host4, sctp, transport(9, 40000)), toStack},
		{"answer to a ping", calls4(protoICMP, echo(8, 77)), four(host4, protoICMP, echo(0, 77)), toStack},
		{"answer to a ping of somebody else", nil, four(host4, protoICMP, echo(0, 78)), closed},
		{"answer by another protocol", calls4(47, nil), four(host4, 47, nil), closed},
		{"answer by TCP, IPv6", calls6(protoTCP, transport(40000, 80)), six(host6, protoTCP, transport(80, 40000)), toStack},
		{"answer by UDP, IPv6", calls6(protoUDP, transport(40000, 53)), six(host6, protoUDP, transport(53, 40000)), toStack},
		{"answer to a ping, IPv6", calls6(protoICMPv6, echo(echoRequest, 77)), six(host6, protoICMPv6, echo(129, 77)), toStack},

		{"port unreachable", nil, four(host4, protoICMP, join(echo(3, 0), ip4{src: host4, dst: m.v4}.bytes())), toStack},
		{"time exceeded", nil, four(host4, protoICMP, join(echo(11, 0), ip4{src: host4, dst: m.v4}.bytes())), toStack},
		{"packet too big, IPv6", nil, six(host6, protoICMPv6, join(echo(2, 0), ip6{src: host6, dst: m.v6}.bytes())), toStack},
		{"error about bob", nil, four(host4, protoICMP, join(echo(3, 0), ip4{src: host4, dst: w.bob.v4}.bytes())), closed},
		{"packet too big about bob, IPv6", nil, six(host6, protoICMPv6, join(echo(2, 0), ip6{src: host6, dst: w.bob.v6}.bytes())), closed},
		{"error about nothing", nil, four(host4, protoICMP, echo(3, 0)), closed},

		// What the host answers, or sends in fragments, opens nothing.
		{"echo after the host's redirect", calls4(protoICMP, echo(5, 77)), four(host4, protoICMP, echo(8, 77)), closed},
		{"answer after the host's reply", calls4(protoICMP, echo(0, 79)), four(host4, protoICMP, echo(0, 79)), closed},
		{"TCP in an atomic fragment after one of the host's, IPv6", calls6(protoFragment, join([]byte{protoTCP, 0, 0, 0, 0, 0, 0, 1}, transport(40000, 80))),
			six(host6, protoFragment, join([]byte{protoTCP, 0, 0, 0, 0, 0, 0, 1}, transport(1000, 22))), closed},
		{"answer to that, in a fragment", nil, six(host6, protoFragment, join([]byte{protoTCP, 0, 0, 1, 0, 0, 0, 2}, transport(80, 40000))), toStack},
		{"later fragment, IPv6", nil, six(host6, protoFragment, join([]byte{protoTCP, 0, 0, 8, 0, 0, 0, 2}, transport(1000, 22))), toStack},
		{"TCP in a fragment in a fragment", nil, six(host6, protoFragment, join([]byte{protoFragment, 0, 0, 1, 0, 0, 0, 2, protoTCP, 0, 0, 1, 0, 0, 0, 2}, transport(80, 40000))), closed},
		{"neighbour solicitation", nil, ethernet(m.hostMAC, m.mac, ethIPv6, ip6{src: m.v6, dst: host6, hops: 255, next: protoICMPv6,
			payload: icmp6(neighbourSolicit, host6.AsSlice(), ndOption(sourceLinkAddress, m.mac))}.bytes()), toStack},
		{"ping with the hop limit of neighbour discovery", nil, ethernet(m.hostMAC, m.mac, ethIPv6, ip6{src: m.v6, dst: host6, hops: 255,
			next: protoICMPv6, payload: echo(echoRequest, 1)}.bytes()), closed},
		{"first fragment", nil, frag(0x2000), closed},
		{"second fragment", nil, frag(1), toStack},
		{"first fragment without ports", nil, ethernet(m.hostMAC, m.mac, ethIPv4, ip4{src: m.v4, dst: host4, proto: protoTCP, fragment: 0x2000, payload: []byte{0}}.bytes()), closed},

		{"BIG TCP that answers, IPv6", calls6(protoTCP, transport(40009, 80)), six0(host6, hopByHop(protoTCP, transport(80, 40009))), toStack},
		{"BIG TCP that asks, IPv6", nil, six0(host6, hopByHop(protoTCP, transport(1000, 22))), closed},
		{"TCP to bob", nil, four(w.bob.v4, protoTCP, transport(1000, 22)), direct},
		{"TCP to bob, IPv6", nil, six(w.bob.v6, protoTCP, transport(1000, 22)), direct},
		{"UDP to the outside", nil, four(out4, protoUDP, transport(1000, 53)), toStack},
		{"TCP to the outside, IPv6", nil, six(out6, protoTCP, transport(1000, 443)), toStack},
	} {
		if c.call != nil {
			if got := w.run(t, w.to, m, c.call, context{}); got != "pass, in" {
				t.Fatalf("%s: the host's call: %s", c.name, got)
			}
		}
		if strings.Contains(c.name, "to bob") {
			// The host needs a route: that it is nobody's is what the outside looks like.
			testutil.Run(t, "ip", "route", "replace", w.bob.v4.String(), "dev", "bob")
			testutil.Run(t, "ip", "route", "replace", w.bob.v6.String(), "dev", "bob")
		}
		if got := w.run(t, w.from, m, c.frame, context{GSOSize: bigOnly(c.name)}); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	// Others are not concerned.
	if got := w.run(t, w.from, w.alice, ethernet(w.alice.hostMAC, w.alice.mac, ethIPv4,
		ip4{src: w.alice.v4, dst: host4, proto: protoTCP, payload: transport(1000, 22)}.bytes()), context{}); got != toStack {
		t.Errorf("alice to the host: %s", got)
	}
}

// TestNetkitLeavesByTheHostEnd sends from a netkit device: out by the host end of the
// other, where it is counted (TestNetkit of cmd/emerita).
func TestNetkitLeavesByTheHostEnd(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	a := w.alice
	a.told.Netkit = true
	w.mustTell(t, a)
	frame := ethernet(a.hostMAC, a.mac, ethIPv4, ip4{src: a.v4, dst: w.bob.v4}.bytes())
	if got := w.run(t, w.from, a, frame, context{}); got != direct {
		t.Errorf("alice to bob: %s", got)
	}
	if in := w.mustCount(t, w.bob).FastInPackets; in != 0 {
		t.Errorf("counted for bob before it is there: %d", in)
	}
}

// bigOnly is the size of a segment where a case's frame is one of many.
func bigOnly(name string) uint32 {
	if strings.Contains(name, "BIG TCP") {
		return 1440
	}
	return 0
}
