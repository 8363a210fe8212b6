// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// A port where nobody listens is refused by whoever has the address, and the socket
// that asked is told, no other.
func TestPortUnreachable(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	for _, f := range families() {
		testutil.Run(t, "ip", "-n", "outside", "route", "add", f.network+"0/"+f.bits(), "via", f.host)
		for _, way := range []struct {
			from, to, addr string
			fast           bool // the error too
		}{
			{"a", "b", f.of("b"), true}, {"b", "a", f.of("a"), true},
			{"a", "host", f.of("gateway"), false}, {"host", "a", f.of("a"), false},
			{"a", "outside", f.outside, false}, {"outside", "a", f.of("a"), false},
		} {
			name := f.name + ", " + way.from + " to " + way.to
			server, at := listenBare(t, f, way.to, way.addr)
			shut, closed := listenBare(t, f, way.to, way.addr)
			shut.close()
			open, refused := dialBare(t, f, way.from, at), dialBare(t, f, way.from, closed)
			before := h.counted("a").FastPackets + h.counted("b").FastPackets
			ask := func() { say(t, open, netip.AddrPort{}, name) }
			knock := func() { say(t, refused, netip.AddrPort{}, name) }
			ask()
			knock()
			if err := refused.await(0, knock); err != nil || soError(refused) != unix.ECONNREFUSED {
				t.Errorf("%s: the socket is not told (%v)", name, err)
			}
			if got, want := refused.icmp(), (icmpError{unix.ECONNREFUSED, way.addr, 0}); got != want {
				t.Errorf("%s: told %v, want %v", name, got, want)
			}
			if got, _ := server.datagram(ask); string(got) != name {
				t.Errorf("%s: the open port got %q", name, got)
			}
			if err := soError(open); err != 0 {
				t.Errorf("%s: the other socket is told %v", name, err)
			}
			if fast := h.counted("a").FastPackets + h.counted("b").FastPackets - before; way.fast && fast < 3 || !way.fast && fast > 0 {
				t.Errorf("%s: %d packets directly", name, fast)
			}
		}
	}
}

func soError(s bare) unix.Errno {
	s.t.Helper()
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		s.t.Fatal(err)
	}
	return unix.Errno(n)
}

// hop sends with a time to live, and says who answers.
func hop(t *testing.T, f family, from, to string, ttl int) icmpError {
	t.Helper()
	s := dialBare(t, f, from, netip.AddrPortFrom(netip.MustParseAddr(to), 33434))
	s.set(f.level, f.option(unix.IP_TTL, unix.IPV6_UNICAST_HOPS), ttl)
	send := func() { say(t, s, netip.AddrPort{}, "where is this") }
	send()
	return s.icmp(send)
}

// traceroute shows the host as the only hop to another container and as the first to
// the outside, by the gateway's address; from the outside it has that of the uplink.
func TestTraceroute(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	for _, f := range families() {
		testutil.Run(t, "ip", "-n", "outside", "route", "add", f.network+"0/"+f.bits(), "via", f.host)
		for _, way := range []struct{ from, to, first string }{
			{"a", f.of("b"), f.of("gateway")}, {"b", f.of("a"), f.of("gateway")},
			{"a", f.outside, f.of("gateway")}, {"outside", f.of("a"), f.host},
		} {
			if got, want := hop(t, f, way.from, way.to, 1), (icmpError{unix.EHOSTUNREACH, way.first, 0}); got != want {
				t.Errorf("%s to %s, first hop: %v, want %v", way.from, way.to, got, want)
			}
			for _, ttl := range []int{2, 3} {
				if got, want := hop(t, f, way.from, way.to, ttl), (icmpError{unix.ECONNREFUSED, way.to, 0}); got != want {
					t.Errorf("%s to %s, hop %d: %v, want %v", way.from, way.to, ttl, got, want)
				}
			}
		}
	}
	for _, id := range []string{"a", "b"} {
		if got := h.reasons(id); len(got) > 0 {
			t.Errorf("dropped of %s: %v", id, got)
		}
	}
}
