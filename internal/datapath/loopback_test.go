// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// mustCookie is the cookie of the test's network namespace.
func mustCookie(t *testing.T) uint64 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	must(t, err)
	return cookie
}

// both are a port of TCP and one of UDP.
func both(host string, hostPort uint16, container string, port uint16) []Port {
	tcp := web(host, hostPort, container, port)
	udp := tcp
	udp.Protocol = unix.IPPROTO_UDP
	return []Port{tcp, udp}
}

// Who asks.
var (
	tcp      = asker{proto: unix.IPPROTO_TCP}
	udp      = asker{}
	loose    = asker{loose: true}
	tcpBoth  = asker{proto: unix.IPPROTO_TCP, socket: unix.AF_INET6} // of both families
	udpBoth  = asker{socket: unix.AF_INET6}
	looseTwo = asker{loose: true, socket: unix.AF_INET6}
)

// from binds an asker to an address, or a device.
func (a asker) from(source string) asker {
	if _, err := netip.ParseAddr(source); err != nil {
		a.device = source
	} else {
		a.source = source
	}
	return a
}

// enterLoopback makes a host with a container. Ports 80 and 81 of the container are
// published as 8080, but on ::1 and 127.0.0.3 as 81; the host itself listens on 8080 and 8082.
func enterLoopback(t *testing.T, h *Handle) (cookie uint64, ports []Port) {
	t.Helper()
	c := mustHaveContainer(t)
	mustServe(t, c, ":80", "container")
	mustServe(t, c, ":81", "second")
	mustServe(t, "", ":8080", "host")
	mustServe(t, "", ":8082", "host")
	for _, p := range [][]Port{
		both("0.0.0.0", 8080, "10.88.0.2", 80), both("127.0.0.3", 8080, "10.88.0.2", 81), both("127.0.0.4", 8084, "10.88.0.2", 80),
		both("::", 8080, "fd00:88::2", 80), both("::1", 8081, "fd00:88::2", 81),
	} {
		ports = append(ports, p...)
	}
	cookie = mustCookie(t)
	must(t, h.Publish(cookie, 7, ports))
	return cookie, ports
}

func TestLoopbackPorts(t *testing.T) {
	t.Parallel()
	onPorts(t, "asked by processes of the host", func(t *testing.T, h *Handle) {
		enterLoopback(t, h)
		for _, c := range []struct {
			name string
			by   asker
			to   string
			want string
		}{
			{"TCP", tcp, "127.0.0.1:8080", "container at 127.0.0.1:8080"},
			{"TCP to another loopback address", tcp, "127.9.8.7:8080", "container at 127.9.8.7:8080"},
			{"TCP to an address with a port of its own", tcp, "127.0.0.3:8080", "second at 127.0.0.3:8080"},
			{"TCP to 0.0.0.0, which is loopback", tcp, "0.0.0.0:8080", "container at 127.0.0.1:8080"},
			{"TCP, IPv6", tcp, "[::1]:8080", "container at [::1]:8080"},
			{"TCP to ::, which is loopback", tcp, "[::]:8080", "container at [::1]:8080"},
			{"TCP to an IPv6 address with a port of its own", tcp, "[::1]:8081", "second at [::1]:8081"},
			{"TCP by a socket of both families", tcpBoth, "127.0.0.1:8080", "container at [::ffff:127.0.0.1]:8080"},
			{"TCP by one to 0.0.0.0", tcpBoth, "0.0.0.0:8080", "container at [::ffff:127.0.0.1]:8080"},
			{"TCP from an address of the host's", tcp.from("192.0.2.1"), "127.0.0.1:8080", "container at 127.0.0.1:8080"},

			{"UDP", udp, "127.0.0.1:8080", "container at 127.0.0.1:8080"},
			{"UDP to an address with a port of its own", udp, "127.0.0.3:8080", "second at 127.0.0.3:8080"},
			{"UDP, IPv6", udp, "[::1]:8080", "container at [::1]:8080"},
			{"UDP by a socket of both families", udpBoth, "127.0.0.1:8080", "container at [::ffff:127.0.0.1]:8080"},
			{"datagram", loose, "127.0.0.1:8080", "container from 127.0.0.1:8080"},
			{"datagram to an address with a port of its own", loose, "127.0.0.3:8080", "second from 127.0.0.3:8080"},
			{"datagram to 0.0.0.0", loose, "0.0.0.0:8080", "container from 127.0.0.1:8080"},
			{"datagram, IPv6", loose, "[::1]:8080", "container from [::1]:8080"},
			{"datagram to ::", loose, "[::]:8080", "container from [::1]:8080"},
			{"datagram by a socket of both families", looseTwo, "127.0.0.1:8080", "container from [::ffff:127.0.0.1]:8080"},

			{"a port that is not published", tcp, "127.0.0.1:8082", "host at 127.0.0.1:8082"},
			{"the same, IPv6", tcp, "[::1]:8082", "host at [::1]:8082"},
			{"the same, UDP", udp, "127.0.0.1:8082", "host at 127.0.0.1:8082"},
			{"the same, datagram", loose, "[::1]:8082", "host from [::1]:8082"},
			{"an address that is not loopback", tcp, "192.0.2.1:8080", "host at 192.0.2.1:8080"},
			{"the same, datagram", loose, "192.0.2.1:8080", "host from 192.0.2.1:8080"},
			{"the same, IPv6", tcp, "[2001:db8::1]:8080", "host at [2001:db8::1]:8080"},
			{"the container itself", tcp, "10.88.0.2:80", "container at 10.88.0.2:80"},

			{"TCP from loopback", tcp.from("127.0.0.1"), "127.0.0.1:8080", "host at 127.0.0.1:8080"},
			{"TCP from loopback, IPv6", tcp.from("::1"), "[::1]:8080", "host at [::1]:8080"},
			{"TCP from loopback by a socket of both families", tcpBoth.from("127.0.0.1"), "127.0.0.1:8080", "host at [::ffff:127.0.0.1]:8080"},
			{"TCP from a device", tcp.from("lo"), "127.0.0.1:8080", "host at 127.0.0.1:8080"},
			{"TCP to 0.0.0.0 from an address", tcp.from("192.0.2.1"), "0.0.0.0:8080", "host at 192.0.2.1:8080"},
			{"UDP from loopback", udp.from("127.0.0.1"), "127.0.0.1:8080", "host at 127.0.0.1:8080"},
			{"datagram from loopback", loose.from("127.0.0.1"), "127.0.0.1:8080", "host from 127.0.0.1:8080"},
			{"datagram from loopback, IPv6", loose.from("::1"), "[::1]:8080", "host from [::1]:8080"},
			{"datagram with a loopback source", asker{loose: true, packet: "127.0.0.1"}, "127.0.0.1:8080", "host from 127.0.0.1:8080"},
			{"datagram with another source", asker{loose: true, packet: "192.0.2.1"}, "127.0.0.1:8080", "container from 127.0.0.1:8080"},
			{"datagram from a device", loose.from("lo"), "127.0.0.1:8080", "host from 127.0.0.1:8080"},
		} {
			if got, err := c.by.ask(c.to); got != c.want {
				t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
			}
		}
	})
	onPorts(t, "asked in another namespace", func(t *testing.T, h *Handle) {
		enterLoopback(t, h)
		other := testutil.Netns(t, "other")
		testutil.Run(t, "ip", "-n", "other", "link", "set", "lo", "up")
		mustServe(t, other, ":8080", "other")
		for _, a := range []struct {
			by   asker
			to   string
			want string
		}{
			{tcp, "127.0.0.1:8080", "other at 127.0.0.1:8080"},
			{udp, "[::1]:8080", "other at [::1]:8080"},
			{loose, "127.0.0.1:8080", "other from 127.0.0.1:8080"},
		} {
			var got string
			mustIn(t, other, func() (err error) { got, err = a.by.ask(a.to); return err })
			if got != a.want {
				t.Errorf("%s: %q, want %q", a.to, got, a.want)
			}
		}
	})
	onPorts(t, "asked by one socket after another", func(t *testing.T, h *Handle) {
		enterLoopback(t, h)
		fd, err := loose.open("127.0.0.1:8080")
		must(t, err)
		defer unix.Close(fd)
		ask := func(by asker, to, want string) {
			t.Helper()
			if got, err := by.on(fd, to); got != want {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
		// Two that lead to one port of the container: the last that was asked counts.
		for _, to := range []string{"127.0.0.1:8080", "127.0.0.4:8084", "127.0.0.1:8080", "127.0.0.3:8080"} {
			name := "container"
			if to == "127.0.0.3:8080" {
				name = "second"
			}
			ask(loose, to, name+" from "+to)
		}
		ask(loose, "127.0.0.1:8082", "host from 127.0.0.1:8082")
		// As resolvers do: one connection, none, another.
		disconnect := func() {
			var none unix.RawSockaddr // AF_UNSPEC
			if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), unsafe.Sizeof(none)); errno != 0 {
				t.Fatal(errno)
			}
		}
		ask(udp, "127.0.0.1:8080", "container at 127.0.0.1:8080")
		disconnect()
		ask(udp, "127.0.0.1:8082", "host at 127.0.0.1:8082")
		disconnect()
		ask(udp, "127.0.0.3:8080", "second at 127.0.0.3:8080")
		disconnect()
		ask(loose, "127.0.0.1:8080", "container from 127.0.0.1:8080")
		ask(udp, "127.0.0.1:8080", "container at 127.0.0.1:8080")
		disconnect()
		ask(loose, "127.0.0.4:8084", "container from 127.0.0.4:8084") // the same port of the container
		ask(udp, "127.0.0.1:8080", "container at 127.0.0.1:8080")
	})
	onPorts(t, "asked by MPTCP, which is told of the container itself", func(t *testing.T, h *Handle) {
		testutil.Needs(t, testutil.MPTCP)
		enterLoopback(t, h)
		for to, want := range map[string]string{
			"127.0.0.1:8080": "container at 10.88.0.2:80", "[::1]:8081": "second at [fd00:88::2]:81", "127.0.0.1:8082": "host at 127.0.0.1:8082",
		} {
			if got, err := (asker{proto: unix.IPPROTO_MPTCP}).ask(to); got != want {
				t.Errorf("%s: %q, %v, want %q", to, got, err, want)
			}
		}
	})
	onPorts(t, "until they are not published", func(t *testing.T, h *Handle) {
		cookie, ports := enterLoopback(t, h)
		must(t, h.Unpublish(cookie, 7, ports))
		if got, err := tcp.ask("127.0.0.1:8080"); got != "host at 127.0.0.1:8080" {
			t.Errorf("%q, %v", got, err)
		}
	})
	onPorts(t, "until the links are gone", func(t *testing.T, h *Handle) {
		enterLoopback(t, h)
		links, err := filepath.Glob(filepath.Join(v1Dir, "port_*_link"))
		must(t, err)
		for _, l := range links {
			must(t, os.Remove(l))
		}
		// The kernel takes the programs off the cgroup when it has time for it.
		for _, a := range []asker{tcp, loose} {
			got := ""
			for start := time.Now(); got != "host at 127.0.0.1:8080" && got != "host from 127.0.0.1:8080"; {
				if time.Since(start) > 10*time.Second {
					t.Fatalf("without links: %q, %v", got, err)
				}
				got, err = a.ask("127.0.0.1:8080")
			}
		}
		must(t, h.LoadPorts())
		if got, err := tcp.ask("127.0.0.1:8080"); got != "container at 127.0.0.1:8080" {
			t.Errorf("loaded again: %q, %v", got, err)
		}
	})
	onPorts(t, "by another build, then by this", func(t *testing.T, h *Handle) {
		enterLoopback(t, h)
		for build := range 3 {
			must(t, os.Rename(programDir(v1Dir), fmt.Sprintf("%s/programs-%016x", v1Dir, build)))
			must(t, h.LoadPorts())
			if got, err := loose.ask("[::1]:8080"); got != "container from [::1]:8080" {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
}
