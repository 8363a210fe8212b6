// SPDX-License-Identifier: MIT OR Apache-2.0

package conntrack

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestForget: of all that outside has begun only what is to the named ports goes.
func TestForget(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	if Tracked() {
		t.Error("a new namespace tracks something")
	}
	testutil.Run(t, "nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c ct state new counter")
	// 192.0.2.9 is routed by the host to outside: not the host's own.
	testutil.Run(t, "ip", "-n", "outside", "addr", "add", "198.51.100.9/32", "dev", "lo")
	send := func(to string) {
		t.Helper()
		c, err := net.Dial("udp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{
		"192.0.2.1:53", "192.0.2.1:54", "127.0.0.1:53", "[2001:db8::1]:53", "[::1]:53", "192.0.2.2:53", "198.51.100.9:53", "[2001:db8::2]:53",
	}
	local := func(a netip.Addr) bool {
		return a.IsLoopback() || a == netip.MustParseAddr("192.0.2.1") || a == netip.MustParseAddr("2001:db8::1")
	}
	for _, test := range []struct {
		ports []Port
		gone  string
	}{
		{nil, ""},
		{[]Port{now(unix.IPPROTO_TCP, "0.0.0.0:53")}, ""},
		{[]Port{now(unix.IPPROTO_UDP, "0.0.0.0:55")}, ""},
		{[]Port{now(unix.IPPROTO_UDP, "0.0.0.0:53")}, "192.0.2.1:53 127.0.0.1:53"},
		{[]Port{now(unix.IPPROTO_UDP, "[::]:53")}, "[2001:db8::1]:53 [::1]:53"},
		{[]Port{now(unix.IPPROTO_UDP, "192.0.2.1:53")}, "192.0.2.1:53"},
		{[]Port{now(unix.IPPROTO_UDP, "[2001:db8::1]:53"), now(unix.IPPROTO_UDP, "0.0.0.0:54")}, "[2001:db8::1]:53 192.0.2.1:54"},
		// By where they lead: 127.0.0.1 answers for itself.
		{[]Port{lead(false, "0.0.0.0:53", "127.0.0.1:53")}, "192.0.2.1:53"},
		{[]Port{lead(true, "0.0.0.0:53", "127.0.0.1:53")}, "127.0.0.1:53"},
		{[]Port{lead(true, "0.0.0.0:53", "127.0.0.1:54")}, ""},
	} {
		for _, to := range all {
			send(to)
		}
		if !Tracked() {
			t.Fatal("nothing is tracked")
		}
		n, err := Forget(test.ports, local)
		if err != nil {
			t.Fatal(err)
		}
		if (n > 0) != (test.gone != "") {
			t.Errorf("%v: %d forgotten, want %s", test.ports, n, test.gone)
		}
		for _, to := range all {
			if gone := strings.Contains(" "+test.gone+" ", " "+to+" "); tracked(t, to) == gone {
				t.Errorf("%v: %s is tracked: %v", test.ports, to, !gone)
			}
		}
	}
}

// now is a port that leads to a container that nobody has called yet.
func now(protocol uint8, at string) Port {
	p := lead(false, at, "10.88.0.2:53")
	p.Protocol = protocol
	return p
}

func lead(gone bool, at, to string) Port {
	a := netip.MustParseAddrPort(at)
	return Port{Protocol: unix.IPPROTO_UDP, Addr: a.Addr(), Port: a.Port(), Target: netip.MustParseAddrPort(to), Gone: gone}
}

// tracked looks into the kernel's own list.
func tracked(t *testing.T, to string) bool {
	t.Helper()
	raw, err := os.ReadFile("/proc/thread-self/net/nf_conntrack")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(to)
	addr := at.Addr().String()
	if at.Addr().Is6() {
		addr = at.Addr().StringExpanded()
	}
	for line := range strings.Lines(string(raw)) {
		first, _, _ := strings.Cut(line, fmt.Sprintf("dport=%d ", at.Port()))
		if first != line && strings.Contains(first, " dst="+addr+" ") && strings.Count(first, "dst=") == 1 {
			return true
		}
	}
	return false
}
