// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// masquerader is mallory, who is root in container a and may do anything to the
// network there. b (10.1.0.3) and c (10.1.0.4) are honest.
type masquerader struct {
	*host
	n int // a's addresses end in it
}

// anew makes container a as it was.
func (m *masquerader) anew() {
	m.t.Helper()
	m.must("DEL", "a")
	testutil.Run(m.t, "ip", "netns", "del", "a")
	testutil.Netns(m.t, "a")
	m.n = int(netip.MustParseAddr(m.address(m.must("ADD", "a"))).As4()[3])
}

// do runs commands of ip, and of sysctl, in the container, a line each.
func (m *masquerader) do(text string) {
	m.t.Helper()
	key := func(id string) state.Key { return state.Key{Network: "net", ContainerID: id, IfName: "eth0"} }
	fill := strings.NewReplacer(
		"{mac}", key("a").ContainerMAC().String(), "{host}", key("a").HostMAC().String(), "{b}", key("b").ContainerMAC().String())
	var script strings.Builder
	for l := range strings.Lines(fill.Replace(text)) {
		l = strings.TrimSpace(l)
		if settings, ok := strings.CutPrefix(l, "sysctl "); ok {
			l = "netns exec a sysctl -qw " + settings
		} else {
			l = "-n a " + l
		}
		fmt.Fprintf(&script, "ip %s\n", l)
	}
	testutil.Run(m.t, "sh", "-ec", script.String())
}

// TestNetAdmin lets mallory take other identities with the means of the kernel. None
// of the others hears it, and none learns anything of it.
func TestNetAdmin(t *testing.T) {
	t.Parallel()
	m := &masquerader{host: joined(t, "a", "b", "c"), n: 2}
	key := state.Key{Network: "net", ContainerID: "a", IfName: "eth0"}
	const newLink = `
		addr flush dev eth0
		-6 route flush dev eth0
		link set %[1]s up
		addr add 10.1.0.3/24 dev %[1]s
		addr add fd00:1::3/64 dev %[1]s nodad
		neigh add 10.1.0.4 lladdr {host} dev %[1]s
		neigh add fd00:1::4 lladdr {host} dev %[1]s`
	// The kernel forgets neighbours when the MAC changes.
	const known = `
		neigh replace 10.1.0.1 lladdr 02:00:00:00:00:01 dev eth0
		neigh replace fd00:1::1 lladdr 02:00:00:00:00:01 dev eth0`
	for _, test := range []struct {
		name, reason string // empty: nothing is counted as a lie
		does         string
		as           int  // the address that it speaks from, 0: its own
		silent       bool // all is said by what it does
	}{
		{name: "a MAC of nobody", reason: "source-mac", does: "link set eth0 address 02:00:00:00:00:99" + known},
		{name: "a neighbour's MAC", reason: "source-mac", does: "link set eth0 address {b}" + known},
		{name: "the gateway's MAC", reason: "source-mac", does: "link set eth0 address {host}" + known},
		{name: "a neighbour's address", reason: "source-ip", does: "addr add 10.1.0.3/32 dev eth0\naddr add fd00:1::3/128 dev eth0 nodad", as: 3},
		{name: "the gateway's address", reason: "source-ip", does: "addr add 10.1.0.1/32 dev lo\naddr add fd00:1::1/128 dev lo nodad", as: 1},
		{name: "a free address", reason: "source-ip", does: "addr add 10.1.0.99/32 dev eth0\naddr add fd00:1::63/128 dev eth0 nodad", as: 99},
		{name: "announcing a neighbour's address", reason: "arp", does: "sysctl net.ipv4.conf.eth0.arp_notify=1\naddr add 10.1.0.3/32 dev eth0\nlink set eth0 down\nlink set eth0 up", silent: true},
		{name: "advertising a neighbour's address", reason: "source-ipv6", does: "sysctl net.ipv6.conf.eth0.ndisc_notify=1\naddr add fd00:1::3/128 dev eth0 nodad\nlink set eth0 address 02:00:00:00:00:99\nlink set eth0 address {mac}", silent: true},
		{name: "a neighbour behind macvlan", reason: "source-mac", does: "link add link eth0 name lie address {b} type macvlan mode bridge" + fmt.Sprintf(newLink, "lie"), as: 3},
		{name: "a neighbour behind macvlan without a MAC", reason: "source-ip", does: "link add link eth0 name lie type macvlan mode passthru" + fmt.Sprintf(newLink, "lie"), as: 3},
		{name: "a neighbour behind a bridge", reason: "source-mac", does: "link add lie address {b} type bridge\nlink set eth0 master lie" + fmt.Sprintf(newLink, "lie"), as: 3},
		{name: "another MAC for the gateway", does: "neigh replace 10.1.0.1 lladdr {b} dev eth0\nneigh replace fd00:1::1 lladdr {b} dev eth0"},
		{name: "a neighbour on the link", does: "route replace 10.1.0.4/32 dev eth0\nroute replace fd00:1::4/128 dev eth0\nneigh replace 10.1.0.4 lladdr {b} dev eth0\nneigh replace fd00:1::4 lladdr {b} dev eth0"},
		{name: "proxy for all", does: "sysctl net.ipv4.conf.all.forwarding=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.eth0.proxy_arp=1 net.ipv6.conf.eth0.proxy_ndp=1\nneigh add proxy fd00:1::3 dev eth0\nneigh add proxy fd00:1::1 dev eth0", silent: true},
	} {
		m.anew()
		victims := []sniffer{sniff(t, "b"), sniff(t, "c"), sniff(t, "outside")}
		knew := neighbours(t)
		m.do(test.does) // which may well take the interface down
		mallory := sniff(t, "a")
		as := test.as
		if as == 0 {
			as = m.n
		}
		for _, f := range families() {
			if test.silent {
				break
			}
			s, _ := listenBare(t, f, "a", f.in(1, as))
			say(t, s, netip.AddrPortFrom(netip.MustParseAddr(f.of("c")), 9), string(marker))
			if test.reason != "" && !strings.Contains(test.does, "addr flush") { // else there is no way there
				say(t, s, netip.AddrPortFrom(netip.MustParseAddr(f.outside), 9), string(marker))
			}
		}
		// Packets stay in order: what was said before has been heard, or never will be.
		a4, b4, c4 := netip.MustParseAddr(fmt.Sprintf("10.1.0.%d", m.n)), netip.MustParseAddr("10.1.0.3"), netip.MustParseAddr("10.1.0.4")
		for i, to := range []netip.Addr{b4, c4} {
			packet := ipv4(a4, to)
			copy(packet[28:], "honest to b or c")
			m.awaitLast(victims[i], func() { mallory.send(t, frame(key.HostMAC(), key.ContainerMAC(), 0x0800, packet)) }, []byte("honest to b or c"))
		}
		for _, v := range victims {
			if n := v.heard(t, marker); n > 0 {
				t.Errorf("%s: %s hears it", test.name, v.who)
			}
		}
		mustSame(t, test.name+": others believe it", knew, neighbours(t))
		if told := m.reasons("a"); test.reason == "" && len(told) > 0 || !strings.Contains(fmt.Sprint(told), test.reason) {
			t.Errorf("%s: not counted as %q: %v", test.name, test.reason, told)
		}
	}
}
