// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// BenchmarkPublish is what publishing takes of an ADD, with opening the maps, and
// unpublishing of a DEL.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 32, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			testutil.Root(b)
			testutil.EnterHost(b)
			mustLoadPorts(b)
			var ports []Port
			for i := range n {
				p := web("0.0.0.0", uint16(8000+i), "10.0.0.2", uint16(80+i))
				p.Open = true
				ports = append(ports, p)
			}
			for b.Loop() {
				h, err := Open()
				if err == nil {
					err = h.Publish(1, 7, ports)
				}
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := h.Unpublish(1, 7, ports); err != nil {
					b.Fatal(err)
				}
				h.Close()
				b.StartTimer()
			}
		})
	}
}

func mustLoadPorts(b *testing.B) {
	b.Helper()
	testutil.Needs(b, testutil.Cgroup2, testutil.PeerName)
	h, _, err := OpenOrLoad()
	if err == nil {
		err = h.LoadPorts()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Close)
}

// BenchmarkOthers is what the programs take of calls that they do not change, of any
// process of the machine.
func BenchmarkOthers(b *testing.B) {
	outside, loopback := netip.MustParseAddrPort("192.0.2.2:9"), netip.MustParseAddrPort("127.0.0.1:9")
	for _, c := range []struct {
		name string
		call func(fd int, self unix.Sockaddr) error
	}{
		{"connect outside", func(fd int, _ unix.Sockaddr) error { return unix.Connect(fd, address(unix.AF_INET, outside)) }},
		{"connect loopback", func(fd int, _ unix.Sockaddr) error { return unix.Connect(fd, address(unix.AF_INET, loopback)) }},
		{"getpeername", func(fd int, _ unix.Sockaddr) error { _, err := unix.Getpeername(fd); return err }},
		{"datagram to itself and back", func(fd int, self unix.Sockaddr) error {
			if err := unix.Sendto(fd, nil, 0, self); err != nil {
				return err
			}
			_, _, err := unix.Recvfrom(fd, make([]byte, 1), 0)
			return err
		}},
	} {
		for _, loaded := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s, programs %v", c.name, loaded), func(b *testing.B) {
				testutil.Root(b)
				testutil.EnterHost(b)
				if loaded {
					mustLoadPorts(b)
				}
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer unix.Close(fd)
				if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
					b.Fatal(err)
				}
				self, err := unix.Getsockname(fd)
				if err == nil && c.name == "getpeername" {
					err = unix.Connect(fd, address(unix.AF_INET, outside))
				}
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if err := c.call(fd, self); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
