// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// bulk is enough for TCP to have its segments put together, bytes.
const bulk = 1 << 20

// sized is a host with containers a, b and so on on the network of pathConfig, each
// with an MTU of its own.
func sized(t *testing.T, mtus ...int) *host {
	t.Helper()
	h := newHost(t)
	for i, mtu := range mtus {
		id := string(rune('a' + i))
		if i > 1 {
			testutil.Netns(t, id)
		}
		h.config = strings.Replace(pathConfig, "{", fmt.Sprintf(`{"mtu":%d,`, mtu), 1)
		h.must("ADD", id)
	}
	return h
}

// Between containers of different MTUs all goes the fast path, for TCP knows both.
func TestMTUMix(t *testing.T) {
	t.Parallel()
	h := sized(t, 9000, 1500, 1280)
	for _, f := range families() {
		for _, pair := range []string{"ab", "ba", "ac", "ca", "bc", "cb"} {
			from, to := pair[:1], pair[1:]
			before := h.counted(from)
			if err := echoTCP(from, to, f.of(to), reachWait, bulk); err != nil {
				t.Fatalf("%s, %s to %s: %v", f.name, from, to, err)
			}
			after := h.counted(from)
			if fast, stack := after.FastBytes-before.FastBytes, after.OutBytes-before.OutBytes; fast < bulk || stack > background {
				t.Errorf("%s, %s to %s: %d bytes directly, %d by the stack", f.name, from, to, fast, stack)
			}
		}
	}
}

// A datagram that must not be taken apart and is too big for the receiver, or for
// the uplink, comes back with the MTU that it may have.
func TestMTUIsTold(t *testing.T) {
	t.Parallel()
	sized(t, 9000, 1500, 1280)
	testutil.Run(t, "ip", "link", "set", "uplink0", "mtu", "1400")
	testutil.Run(t, "ip", "-n", "outside", "link", "set", "eth0", "mtu", "1400")
	for _, f := range families() {
		for _, way := range []struct {
			from, to, addr, hop string
			mtu, larger         int
		}{
			{"a", "b", f.of("b"), f.of("gateway"), 1500, 9000},
			{"a", "c", f.of("c"), f.of("gateway"), 1280, 9000},
			{"b", "c", f.of("c"), f.of("gateway"), 1280, 1500},
			{"a", "outside", f.outside, f.of("gateway"), 1400, 9000},
			{"host", "c", f.of("c"), "", 1280, 1280},
			{"outside", "c", f.of("c"), f.host, 1280, 1400},
		} {
			name := fmt.Sprintf("%s, %s to %s", f.name, way.from, way.to)
			if way.from == "outside" {
				testutil.Run(t, "ip", "-n", "outside", "route", "add", f.network+"0/"+f.bits(), "via", f.host)
			}
			server, at := listenBare(t, f, way.to, way.addr)
			s := dialBare(t, f, way.from, at)
			s.set(f.level, f.option(unix.IP_MTU_DISCOVER, unix.IPV6_MTU_DISCOVER), unix.IP_PMTUDISC_DO)
			fits := pattern(way.mtu - f.header - 8)
			if way.hop != "" {
				send := func() { _, _ = unix.Write(s.fd, pattern(way.larger-f.header-8)) }
				send()
				if got, want := s.icmp(send), (icmpError{unix.EMSGSIZE, way.hop, way.mtu}); got != want {
					t.Errorf("%s: told %v, want %v", name, got, want)
				}
			}
			if got := s.pmtu(); got != way.mtu {
				t.Errorf("%s: the way is for %d bytes, want %d", name, got, way.mtu)
			}
			if _, err := unix.Write(s.fd, append(fits, 0)); !errors.Is(err, unix.EMSGSIZE) {
				t.Errorf("%s: one byte too many: %v", name, err)
			}
			send := func() { say(t, s, netip.AddrPort{}, string(fits)) }
			send()
			if got, _ := server.datagram(send); !bytes.Equal(got, fits) {
				t.Errorf("%s: %d bytes come, others than were sent", name, len(got))
			}
		}
	}
}

// bits is the length of the network's prefix.
func (f family) bits() string {
	if f.level == unix.IPPROTO_IP {
		return "24"
	}
	return "64"
}

// noDAD lets a namespace use an address at once. The option nodad does not do for the
// address that neighbour discovery speaks from, which is the kernel's own.
const noDAD = "net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"

// A TCP connection whose ends do not know of the narrow part between them goes on:
// to a container that asks for more than it can take, and to far behind outside,
// when only the uplink is narrow.
func TestMTUNoBlackHole(t *testing.T) {
	t.Parallel()
	sized(t, 9000, 1280)
	testutil.Netns(t, "far")
	for _, line := range []string{
		"netns exec outside sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 " + noDAD,
		"netns exec far sysctl -qw " + noDAD,
		"link set uplink0 mtu 1300",
		"-n outside link set eth0 mtu 1300",
		"-n outside link add far0 mtu 9000 type veth peer name eth0 mtu 9000 netns far",
		"-n outside addr add 198.51.100.1/24 dev far0",
		"-n outside addr add 2001:db8:f::1/64 dev far0 nodad",
		"-n outside link set far0 up",
		"-n far addr add 198.51.100.2/24 dev eth0",
		"-n far addr add 2001:db8:f::2/64 dev eth0 nodad",
		"-n far link set eth0 up",
		"-n far route add default via 198.51.100.1",
		"-n far route add default via 2001:db8:f::1",
	} {
		testutil.Run(t, "ip", strings.Fields(line)...)
	}
	for _, f := range families() {
		testutil.Run(t, "ip", "-n", "b", "route", "add", f.of("a"), "via", f.of("gateway"), "dev", "eth0", "advmss", "8900")
		far := map[string]string{"IPv4": "198.51.100.2", "IPv6": "2001:db8:f::2"}[f.name]
		for _, way := range []struct {
			to, addr string
			mtu      int
		}{{"b", f.of("b"), 1280}, {"far", far, 1300}} {
			if err := echoTCP("a", way.to, way.addr, reachWait, bulk); err != nil {
				t.Errorf("%s to %s: %v", f.name, way.to, err)
			}

			s := dialBare(t, f, "a", netip.AddrPortFrom(netip.MustParseAddr(way.addr), 9))
			if got := s.pmtu(); got != way.mtu {
				t.Errorf("%s to %s: the way is for %d bytes, want %d", f.name, way.to, got, way.mtu)
			}
			mustContain(t, testutil.Run(t, "ip", "-n", "a", "route", "get", way.addr), fmt.Sprintf("mtu %d", way.mtu))
		}
	}
}
