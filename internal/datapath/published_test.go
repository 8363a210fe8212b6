// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"net/netip"
	"testing"
)

const protoSCTP = 132

// TestPublished has carol of another network call bob, who is isolated and publishes
// container port 80 of TCP as host port 8080, and container port 53 of UDP as 5353.
func TestPublished(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	for _, a := range []*actor{w.alice, w.bob, w.carol} {
		a.told.Isolated = true
		w.mustTell(t, a)
	}
	must(t, w.h.Publish(1, w.bob.ifindex, []Port{
		{Protocol: protoTCP, HostAddr: netip.MustParseAddr("192.0.2.1"), HostPort: 8080, Addr: w.bob.v4, Port: 80, Open: true},
		{Protocol: protoUDP, HostAddr: netip.MustParseAddr("192.0.2.1"), HostPort: 5353, Addr: w.bob.v4, Port: 53, Open: true},
		{Protocol: protoSCTP, HostAddr: netip.MustParseAddr("192.0.2.1"), HostPort: 99, Addr: w.bob.v4, Port: 9, Open: true},
		{Protocol: protoTCP, HostAddr: netip.MustParseAddr("192.0.2.1"), HostPort: 8443, Addr: w.bob.v4, Port: 443},
	}))
	host4, host6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	four := func(src netip.Addr, to *actor, proto byte, payload []byte) ip4 {
		return ip4{src: src, dst: to.v4, proto: proto, payload: payload}
	}
	six := func(src netip.Addr, to *actor, next byte, payload []byte) []byte {
		return ip6{src: src, dst: to.v6, next: next, explicit: true, payload: payload}.bytes()
	}
	fragment := func(h ip4, offset uint16) []byte {
		h.fragment = offset
		return h.bytes()
	}
	fragment6 := func(next byte, offset uint16, payload []byte) []byte {
		return join([]byte{next, 0}, be16(offset), []byte{0, 0, 0, 7}, payload)
	}
	options := func(h ip4) []byte {
		h.options = []byte{1, 1, 1, 0}
		return h.bytes()
	}
	const passes = "pass, in"
	stays := dropped("isolation")
	carol, bob, alice := w.carol, w.bob, w.alice
	for _, c := range []struct {
		name      string
		from, to  *actor
		ethertype uint16
		payload   []byte
		want      string
	}{
		{"call by TCP", carol, bob, ethIPv4, four(carol.v4, bob, protoTCP, transport(40000, 80)).bytes(), passes},
		{"call by UDP", carol, bob, ethIPv4, four(carol.v4, bob, protoUDP, transport(40000, 53)).bytes(), passes},
		{"call by SCTP", carol, bob, ethIPv4, four(carol.v4, bob, protoSCTP, transport(40000, 9)).bytes(), passes},
		{"call behind IP options", carol, bob, ethIPv4, options(four(carol.v4, bob, protoTCP, transport(40000, 80))), passes},
		{"call by TCP, IPv6", carol, bob, ethIPv6, six(carol.v6, bob, protoTCP, transport(40000, 80)), passes},
		{"call by BIG TCP, IPv6", carol, bob, ethIPv6, six(carol.v6, bob, 0, hopByHop(protoTCP, transport(40000, 80))), passes},
		{"call in a first fragment", carol, bob, ethIPv4, fragment(four(carol.v4, bob, protoUDP, transport(40000, 53)), 0x2000), passes},
		{"call in a first fragment, IPv6", carol, bob, ethIPv6, six(carol.v6, bob, protoFragment, fragment6(protoUDP, 1, transport(40000, 53))), passes},

		{"call of a port that is not published", carol, bob, ethIPv4, four(carol.v4, bob, protoTCP, transport(40000, 81)).bytes(), stays},
		{"call of a port that is not published, IPv6", carol, bob, ethIPv6, six(carol.v6, bob, protoTCP, transport(40000, 81)), stays},
		{"call of a port that is not open", carol, bob, ethIPv4, four(carol.v4, bob, protoTCP, transport(40000, 443)).bytes(), stays},
		{"call by another protocol", carol, bob, ethIPv4, four(carol.v4, bob, protoUDP, transport(40000, 80)).bytes(), stays},
		{"call by ICMP", carol, bob, ethIPv4, four(carol.v4, bob, protoICMP, echo(8, 80)).bytes(), stays},
		{"call of the host's number", carol, bob, ethIPv4, four(carol.v4, bob, protoTCP, transport(40000, 8080)).bytes(), stays},
		{"from the container's number", carol, bob, ethIPv4, four(carol.v4, bob, protoTCP, transport(80, 40000)).bytes(), stays},
		{"call of alice, who publishes nothing", carol, alice, ethIPv4, four(carol.v4, alice, protoTCP, transport(40000, 80)).bytes(), stays},
		{"call in a later fragment", carol, bob, ethIPv4, fragment(four(carol.v4, bob, protoUDP, transport(40000, 53)), 185), stays},
		{"call in a later fragment, IPv6", carol, bob, ethIPv6, six(carol.v6, bob, protoFragment, fragment6(protoUDP, 8, transport(40000, 53))), stays},
		{"too short for ports", carol, bob, ethIPv4, four(carol.v4, bob, protoTCP, []byte{0, 80}).bytes(), stays},
		{"behind a destination header, IPv6", carol, bob, ethIPv6, six(carol.v6, bob, protoDestOpts, hopByHop(protoTCP, transport(40000, 80))), stays},

		{"answer by TCP", bob, carol, ethIPv4, four(host4, carol, protoTCP, transport(8080, 40000)).bytes(), passes},
		{"answer by UDP", bob, carol, ethIPv4, four(host4, carol, protoUDP, transport(5353, 40000)).bytes(), passes},
		{"answer by TCP, IPv6", bob, carol, ethIPv6, six(host6, carol, protoTCP, transport(8080, 40000)), passes},
		{"answer in a first fragment", bob, carol, ethIPv4, fragment(four(host4, carol, protoUDP, transport(5353, 40000)), 0x2000), passes},

		{"from bob's own address and the host's number", bob, carol, ethIPv4, four(bob.v4, carol, protoTCP, transport(8080, 40000)).bytes(), stays},
		{"the same, IPv6", bob, carol, ethIPv6, six(bob.v6, carol, protoTCP, transport(8080, 40000)), stays},
		{"from bob's own address and number", bob, carol, ethIPv4, four(bob.v4, carol, protoTCP, transport(80, 40000)).bytes(), stays},
		{"answer of a number that is not the host's", bob, carol, ethIPv4, four(host4, carol, protoTCP, transport(80, 40000)).bytes(), stays},
		{"answer by another protocol", bob, carol, ethIPv4, four(host4, carol, protoUDP, transport(8080, 40000)).bytes(), stays},
		{"answer of a port that is not open", bob, carol, ethIPv4, four(host4, carol, protoTCP, transport(8443, 40000)).bytes(), stays},
		{"answer of alice, who publishes nothing", alice, carol, ethIPv4, four(host4, carol, protoTCP, transport(8080, 40000)).bytes(), stays},
		{"answer in a later fragment", bob, carol, ethIPv4, fragment(four(host4, carol, protoUDP, transport(5353, 40000)), 185), stays},
	} {
		got := w.run(t, w.to, c.to, ethernet(c.to.mac, c.to.hostMAC, c.ethertype, c.payload), context{IngressIfIndex: uint32(c.from.ifindex), GSOSize: bigOnly(c.name)})
		t.Run(c.name, func(t *testing.T) {
			if got != c.want {
				t.Errorf("%s to %s: got %q, want %q", c.from.name, c.to.name, got, c.want)
			}
		})
	}
}

// TestPublishedByClosedHost has alice, to whose network the host is closed, call port
// 8080 of the host, which bob publishes: the host speaks for alice, and hears bob.
func TestPublishedByClosedHost(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	b := w.bob
	b.told.HostClosed = true
	w.mustTell(t, b)
	must(t, w.h.Publish(1, b.ifindex, []Port{
		{Protocol: protoTCP, HostAddr: netip.MustParseAddr("192.0.2.1"), HostPort: 8080, Addr: b.v4, Port: 80, Open: true},
	}))
	host4, host6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	closed := dropped("host")
	for i, c := range []struct {
		name       string
		from       *actor // whose interface the call came in by
		src4, src6 netip.Addr
		port       uint16
		want       string // of IPv4 and of IPv6
	}{
		{"nobody calls", nil, host4, host6, 80, closed},
		{"alice, for whom the host speaks", w.alice, host4, host6, 80, toStack},
		{"alice by herself", w.alice, w.alice.v4, w.alice.v6, 80, closed},
		{"a port that is not published", w.alice, host4, host6, 81, closed},
		{"carol of another network", w.carol, host4, host6, 80, closed},
		{"bob himself, for whom the host speaks", b, host4, host6, 80, toStack},
	} {
		client := uint16(40000 + i)
		if c.from != nil {
			for ethertype, call := range map[uint16][]byte{
				ethIPv4: ip4{src: c.src4, dst: b.v4, proto: protoTCP, payload: transport(client, c.port)}.bytes(),
				ethIPv6: ip6{src: c.src6, dst: b.v6, next: protoTCP, payload: transport(client, c.port)}.bytes(),
			} {
				if got := w.run(t, w.to, b, ethernet(b.mac, b.hostMAC, ethertype, call), context{IngressIfIndex: uint32(c.from.ifindex)}); got != "pass, in" {
					t.Errorf("%s: the call: %s", c.name, got)
				}
			}
		}
		got4 := w.run(t, w.from, b, ethernet(b.hostMAC, b.mac, ethIPv4, ip4{src: b.v4, dst: host4, proto: protoTCP, payload: transport(c.port, client)}.bytes()), context{})
		got6 := w.run(t, w.from, b, ethernet(b.hostMAC, b.mac, ethIPv6, ip6{src: b.v6, dst: host6, next: protoTCP, payload: transport(c.port, client)}.bytes()), context{})
		if got4 != c.want || got6 != c.want {
			t.Errorf("%s: bob's answer to the host: %s, IPv6 %s, want %s", c.name, got4, got6, c.want)
		}
	}
}
