// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// isolated is a host with container a in network n1 and b in n2, each the first of its
// network, and each network for itself. keys come before the others of both.
func isolated(t *testing.T, keys string) *host {
	t.Helper()
	h := newHost(t)
	for i, id := range []string{"a", "b"} {
		h.config = netConfig(i+1, keys+`"fastPath":"required","isolation":"network"`)
		h.must("ADD", id)
	}
	return h
}

// never says that a datagram of a's has not come to b. What the host sends to b comes
// after it, for both go the same way.
func never(t *testing.T, server bare, f family, what string, at netip.AddrPort) {
	t.Helper()
	s := dialBare(t, f, "host", at)
	send := func() { say(t, s, at, "honest") }
	send()
	if got, _ := server.datagram(send); string(got) != "honest" {
		t.Errorf("%s, %s: b hears %d bytes of a", f.name, what, len(got))
	}
}

// Whatever a says it is, and by whatever address of the host it goes, b does not hear
// it; and the host is asked for what it offers to all.
func TestIsolationByAnyAddress(t *testing.T) {
	t.Parallel()
	testIsolationByAnyAddress(t, isolated(t, ""))
}

// What a limit puts off is known still by where it came in.
func TestIsolationOfLimited(t *testing.T) {
	t.Parallel()
	needsLimits(t)
	testIsolationByAnyAddress(t, isolated(t, limitKeys))
}

func testIsolationByAnyAddress(t *testing.T, h *host) {
	t.Helper()
	for _, f := range families() {
		server, at := listenBare(t, f, "b", f.in(2, 2))
		for _, as := range []struct{ what, addr string }{
			{"a itself", f.in(1, 2)},
			{"its gateway", f.in(1, 1)},
			{"b's gateway", f.in(2, 1)},
			{"b's neighbour", f.in(2, 9)},
			{"b itself", f.in(2, 2)},
			{"the host", f.host},
			{"somebody outside", f.outside},
		} {
			s := newBare(t, f, "a")
			s.set(f.level, f.option(unix.IP_TRANSPARENT, unix.IPV6_TRANSPARENT), 1) // any address is as its own
			if err := unix.Bind(s.fd, sockaddr(netip.AddrPortFrom(netip.MustParseAddr(as.addr), 0))); err != nil {
				t.Fatal(err)
			}
			for _, size := range []int{len(marker), 8 << 10} {
				say(t, s, at, string(pattern(size)))
			}
			never(t, server, f, "from "+as.what, at)
		}
		// A port of the host that leads to b is for the outside, not for a.
		nat := map[string]string{"IPv4": "ip pub", "IPv6": "ip6 pub"}[f.name]
		testutil.Run(t, "nft", fmt.Sprintf("add table %[1]s; add chain %[1]s in { type nat hook prerouting priority -100; }; add rule %[1]s in fib daddr type local udp dport 8053 dnat to %[2]s", nat, at))
		for _, by := range []string{f.in(1, 1), f.in(2, 1), f.host} {
			s := dialBare(t, f, "a", netip.AddrPortFrom(netip.MustParseAddr(by), 8053))
			if _, err := unix.Write(s.fd, marker); err != nil {
				t.Fatal(err)
			}
			never(t, server, f, "by port 8053 of "+by, at)
		}
		s := dialBare(t, f, "outside", netip.AddrPortFrom(netip.MustParseAddr(f.host), 8053))
		send := func() { say(t, s, netip.AddrPort{}, "from outside") }
		send()
		if got, _ := server.datagram(send); string(got) != "from outside" {
			t.Errorf("%s: b hears %q by a port of the host", f.name, got)
		}
	}
	if n := h.reasonsOf("n2", "b")["isolation"]; n == "" {
		t.Error("isolation is not counted")
	}
	if n := h.reasonsOf("n1", "a"); n["source-ipv4"] == "" || n["source-ipv6"] == "" {
		t.Errorf("lies of a are not counted: %v", n)
	}
}

// Nor does a come to b by way of the outside, which routes back what it gets: the host
// takes neither a source route nor, of IPv4, its own address from there.
func TestIsolationHairpin(t *testing.T) {
	t.Parallel()
	isolated(t, "")
	key := state.Key{Network: "n1", ContainerID: "a", IfName: "eth0"}
	mallory, outside, f := sniff(t, "a"), sniff(t, "outside"), families()[0]
	server, at := listenBare(t, f, "b", f.in(2, 2))
	testutil.Run(t, "ip", "netns", "exec", "outside", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.accept_source_route=1")
	testutil.Run(t, "ip", "-n", "outside", "route", "add", f.in(2, 0)+"/"+f.bits(), "via", f.host)
	testutil.Run(t, "ip", "netns", "exec", "outside", "nft",
		fmt.Sprintf("add table ip back; add chain ip back in { type nat hook prerouting priority -100; }; add rule ip back in udp dport 8053 dnat to %s", at))
	say(t, dialBare(t, f, "a", netip.AddrPortFrom(netip.MustParseAddr(f.outside), 8053)), netip.AddrPort{}, string(marker))
	for start := time.Now(); len(outside.conversation(t, string(marker))) < 2; { // in and out
		if time.Since(start) > reachWait {
			t.Fatal("the outside does not send it back")
		}
	}
	never(t, server, f, "by an address of the outside", at)

	for _, by := range []string{f.outside, f.in(1, 1), f.in(2, 1), f.host} {
		b := netip.MustParseAddr(f.in(2, 2))
		p := ipv4(netip.MustParseAddr(f.in(1, 2)), netip.MustParseAddr(by), append(append([]byte{131, 7, 4}, b.AsSlice()...), 0)...)
		binary.BigEndian.PutUint16(p[28+2:], at.Port())
		mallory.send(t, frame(key.HostMAC(), key.ContainerMAC(), unix.ETH_P_IP, p))
		never(t, server, f, "by a source route over "+by, at)
	}
}
