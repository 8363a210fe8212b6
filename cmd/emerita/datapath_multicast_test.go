// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// netConfig is the network n<number>, with an address of each family for each
// container: 10.N.0.2 and fdNN::2 for the first.
func netConfig(number int, keys string) string {
	return fmt.Sprintf(`{"cniVersion":"1.1.0","name":"n%d","type":"emerita","ipMasq":true,%s,"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}],`+
		`"ranges":[[{"subnet":"10.%d.0.0/24"}],[{"subnet":"fd00:%d::/64"}]]}}`, number, keys, number, number)
}

// in is an address in a network of netConfig.
func (f family) in(network, n int) string {
	if f.level == unix.IPPROTO_IP {
		return fmt.Sprintf("10.%d.0.%d", network, n)
	}
	return fmt.Sprintf("fd00:%d::%x", network, n)
}

// What a container says to many is heard by no other container and not outside: not by
// those that have joined the group, nor on the wire. With the programs and without.
func TestMulticast(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	at := map[string]struct {
		network, n int
		fastPath   string
	}{"a": {1, 2, "required"}, "b": {1, 3, "required"}, "c": {2, 2, "required"}, "d": {3, 2, "off"}, "e": {3, 3, "off"}}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if id > "b" {
			testutil.Netns(t, id)
		}
		h.config = netConfig(at[id].network, fmt.Sprintf(`"fastPath":%q,"isolation":"off"`, at[id].fastPath))
		h.must("ADD", id)
	}
	groups := map[string][]string{
		"IPv4": {"224.0.0.1", "224.0.0.251", "239.1.2.3", "255.255.255.255"},
		"IPv6": {"ff02::1", "ff02::fb", "ff05::fb", "ff0e::fb"},
	}
	for _, f := range families() {
		for _, from := range []string{"a", "d"} {
			ears := map[string]bare{}
			wires := map[string]sniffer{}
			for _, who := range []string{"a", "b", "c", "d", "e", "outside"} {
				if who == from {
					continue
				}
				ears[who] = f.ear(t, who, groups[f.name])
				wires[who] = sniff(t, who)
			}
			all := groups[f.name]
			if f.level == unix.IPPROTO_IP {
				all = append(all, f.in(at[from].network, 255))
			}
			for _, group := range all {
				s := newBare(t, f, from)
				s.set(unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
				s.set(f.level, f.option(unix.IP_MULTICAST_TTL, unix.IPV6_MULTICAST_HOPS), 9)
				to := netip.AddrPortFrom(netip.MustParseAddr(group), multicastPort)
				if err := unix.Sendto(s.fd, marker, 0, sockaddrOn(t, from, to)); err != nil {
					t.Errorf("%s to %s: %v", from, group, err)
				}
			}
			if from == "d" { // ears are no worse than to hear what is for them
				end := state.Key{Network: "n1", ContainerID: "b", IfName: "eth0"}.HostIfName()
				f.sayTo(t, end, groups[f.name][2], "to your group")
				if got, _ := ears["b"].datagram(); string(got) != "to your group" {
					t.Errorf("%s: b hears %q of the host", f.name, got)
				}
			}
			// Packets stay in order: what was sent before is there, or never will be.
			for who, ear := range ears {
				addr := f.outside
				if who != "outside" {
					addr = f.in(at[who].network, at[who].n)
				}
				s := dialBare(t, f, from, netip.AddrPortFrom(netip.MustParseAddr(addr), multicastPort))
				send := func() { say(t, s, netip.AddrPort{}, "to you alone") }
				send()
				if got, _ := ear.datagram(send); string(got) != "to you alone" {
					t.Errorf("%s: %s hears %q of %s", f.name, who, got, from)
				}
				if n := wires[who].heard(t, marker); n > 0 {
					t.Errorf("%s: %d packets of %s come to %s", f.name, n, from, who)
				}
			}
		}
	}
	if out := testutil.Run(t, "emerita", "drops"); strings.Contains(out, "eth0") {
		t.Errorf("dropped:\n%s", out)
	}
}

const multicastPort = 5353

// sayTo sends to a group by an interface of the host.
func (f family) sayTo(t *testing.T, link, group, text string) {
	t.Helper()
	s, _ := listenBare(t, f, "host", f.in(1, 1))
	if err := unix.SetsockoptString(s.fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, link); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(s.fd, []byte(text), 0, sockaddr(netip.AddrPortFrom(netip.MustParseAddr(group), multicastPort))); err != nil {
		t.Fatal(err)
	}
}

// ear is a socket that hears what comes to any address, and to groups.
func (f family) ear(t *testing.T, space string, groups []string) bare {
	t.Helper()
	s := newBare(t, f, space)
	s.set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	s.set(unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
	any := netip.IPv4Unspecified()
	if f.level == unix.IPPROTO_IPV6 {
		any = netip.IPv6Unspecified()
	}
	if err := unix.Bind(s.fd, sockaddr(netip.AddrPortFrom(any, multicastPort))); err != nil {
		t.Fatal(err)
	}
	index := indexOf(t, space)
	for _, g := range groups {
		addr := netip.MustParseAddr(g)
		var err error
		switch {
		case !addr.IsMulticast():
		case addr.Is4():
			err = unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: addr.As4(), Ifindex: int32(index)})
		default:
			err = unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: addr.As16(), Interface: uint32(index)})
		}
		if err != nil {
			t.Fatalf("%s: join %s: %v", space, g, err)
		}
	}
	return s
}

// indexOf is the index of eth0.
func indexOf(t *testing.T, space string) (index int) {
	t.Helper()
	err := inSpace(space, func() error {
		link, err := net.InterfaceByName("eth0")
		if err == nil {
			index = link.Index
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// sockaddrOn is an address by eth0.
func sockaddrOn(t *testing.T, space string, to netip.AddrPort) unix.Sockaddr {
	t.Helper()
	addr := sockaddr(to)
	if six, ok := addr.(*unix.SockaddrInet6); ok {
		six.ZoneId = uint32(indexOf(t, space))
	}
	return addr
}
