// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// What b sends to c never comes by a, who would like to forward it, even if b and c say
// that a is the way. Nor do others hear whom a forwards for, but as a itself.
func TestRouterInContainer(t *testing.T) {
	t.Parallel()
	m := &masquerader{host: joined(t, "a", "b", "c"), n: 2}
	testutil.Netns(t, "nested")
	key := func(id string) state.Key { return state.Key{Network: "net", ContainerID: id, IfName: "eth0"} }
	m.do(`link set eth0 promisc on
		sysctl net.ipv4.conf.all.forwarding=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.eth0.proxy_arp=1 net.ipv6.conf.eth0.proxy_ndp=1
		neigh add proxy fd00:1::4 dev eth0
		link add inner0 type veth peer name eth0 netns nested
		addr add 10.9.9.1/24 dev inner0
		addr add fd09::1/64 dev inner0 nodad
		link set inner0 up`)
	for _, l := range []string{
		"addr add 10.9.9.2/24 dev eth0", "addr add fd09::2/64 dev eth0 nodad", "link set eth0 up",
		"route add default via 10.9.9.1", "route add default via fd09::1",
	} {
		testutil.Run(t, "ip", append([]string{"-n", "nested"}, strings.Fields(l)...)...)
	}
	for _, f := range families() {
		for _, way := range []struct {
			name, via string
			heard     bool
		}{
			{"nobody says where a is", "", false},
			{"the MAC of a", key("a").ContainerMAC().String(), false},
			{"the host's MAC for a", key("b").HostMAC().String(), true},
		} {
			testutil.Run(t, "ip", "-n", "b", "route", "replace", f.of("c"), "via", f.of("a"), "dev", "eth0", "onlink")
			if way.via != "" {
				testutil.Run(t, "ip", "-n", "b", "neigh", "replace", f.of("a"), "lladdr", way.via, "dev", "eth0", "nud", "permanent")
			}
			mallory := sniff(t, "a")
			server, at := listenBare(t, f, "c", f.of("c"))
			client, _ := listenBare(t, f, "b", f.of("b"))
			say(t, client, at, string(marker))
			testutil.Run(t, "ip", "-n", "b", "route", "del", f.of("c"))
			say(t, client, at, "by the host")
			want := "by the host"
			if way.heard {
				want = string(marker)
			}
			if got, _ := server.datagram(func() { say(t, client, at, want) }); string(got) != want {
				t.Errorf("%s, %s: c hears %q", f.name, way.name, got)
			}
			if n := mallory.heard(t, marker); n > 0 {
				t.Errorf("%s, %s: mallory hears it", f.name, way.name)
			}
		}
		testutil.Run(t, "ip", "-n", "b", "neigh", "del", f.of("a"), "dev", "eth0")
		// Behind a: first under its own address, then under a's.
		server, at := listenBare(t, f, "c", f.of("c"))
		s := dialBare(t, f, "nested", at)
		m.awaitReason(func() { say(t, s, netip.AddrPort{}, string(marker)) }, "a", map[string]string{"IPv4": "source-ipv4", "IPv6": "source-ipv6"}[f.name])
		nat := map[string]string{"IPv4": "ip own", "IPv6": "ip6 own"}[f.name]
		testutil.Run(t, "ip", "netns", "exec", "a", "nft", "add table "+nat+"; add chain "+nat+" out { type nat hook postrouting priority 100; }; add rule "+nat+" out masquerade")
		s = dialBare(t, f, "nested", at)
		send := func() { say(t, s, netip.AddrPort{}, "as a") }
		send()
		if got, _ := server.datagram(send); string(got) != "as a" {
			t.Errorf("%s: c hears %q of the one behind a", f.name, got)
		}
	}
}

// awaitReason sends until something of a container is dropped for a reason.
func (h *host) awaitReason(send func(), id, reason string) {
	h.t.Helper()
	send()
	for deadline := time.Now().Add(reachWait); h.reasons(id)[reason] == ""; send() {
		if time.Now().After(deadline) {
			h.t.Fatalf("nothing of %s is dropped as %s: %v", id, reason, h.reasons(id))
		}
	}
}
