// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// family is IPv4 or IPv6, and where things are on the hosts of the tests.
type family struct {
	name    string
	network string // what the addresses of pathConfig begin with
	host    string // on the uplink
	outside string
	header  int // bytes
	level   int // of socket options
}

func families() []family {
	return []family{
		{"IPv4", "10.1.0.", "192.0.2.1", "192.0.2.2", 20, unix.IPPROTO_IP},
		{"IPv6", "fd00:1::", "2001:db8::1", "2001:db8::2", 40, unix.IPPROTO_IPV6},
	}
}

// of is the address of a container, of which a is the first, or of the gateway.
func (f family) of(who string) string {
	if who == "gateway" {
		return f.network + "1"
	}
	return f.network + strconv.Itoa(int(who[0]-'a')+2)
}

// option is what an option is called in the family.
func (f family) option(four, six int) int {
	if f.level == unix.IPPROTO_IP {
		return four
	}
	return six
}

// bare is a UDP socket as the kernel has it: Go's hide errors and control messages.
type bare struct {
	close func() // early; else at the end of the test
	t     *testing.T
	f     family
	fd    int
}

func newBare(t *testing.T, f family, space string) bare {
	t.Helper()
	s := bare{t: t, f: f}
	err := inSpace(space, func() (err error) {
		s.fd, err = unix.Socket(f.option(unix.AF_INET, unix.AF_INET6), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Once: a number that is closed again is another test's by then.
	s.close = sync.OnceFunc(func() { unix.Close(s.fd) })
	t.Cleanup(s.close)
	return s
}

// dialBare connects a socket to an address. All errors of the way come back to it.
func dialBare(t *testing.T, f family, space string, to netip.AddrPort) bare {
	t.Helper()
	s := newBare(t, f, space)
	s.set(f.level, f.option(unix.IP_RECVERR, unix.IPV6_RECVERR), 1)
	if err := unix.Connect(s.fd, sockaddr(to)); err != nil {
		t.Fatalf("connect from %s to %s: %v", space, to, err)
	}
	return s
}

// listenBare binds a socket to a port of its own at an address.
func listenBare(t *testing.T, f family, space, addr string) (bare, netip.AddrPort) {
	t.Helper()
	s := newBare(t, f, space)
	at := netip.AddrPortFrom(netip.MustParseAddr(addr), 0)
	if err := unix.Bind(s.fd, sockaddr(at)); err != nil {
		t.Fatalf("bind in %s to %s: %v", space, at, err)
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return s, netip.AddrPortFrom(at.Addr(), uint16(name.Port))
	case *unix.SockaddrInet6:
		return s, netip.AddrPortFrom(at.Addr(), uint16(name.Port))
	}
	t.Fatalf("bound to %#v", name)
	return s, at
}

func sockaddr(to netip.AddrPort) unix.Sockaddr {
	if to.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
}

func (s bare) set(level, option, value int) {
	s.t.Helper()
	if err := unix.SetsockoptInt(s.fd, level, option, value); err != nil {
		s.t.Fatalf("set option %d of level %d: %v", option, level, err)
	}
}

// wait waits for an event; the error is os.ErrDeadlineExceeded when there is none.
func (s bare) wait(events int16, longest time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: events}}
	for deadline := time.Now().Add(longest); ; {
		// A negative time is for ever, which after EINTR it would be.
		n, err := unix.Poll(fds, max(0, int(time.Until(deadline).Milliseconds())+1))
		switch {
		case n > 0:
			return nil
		case err == nil:
			return os.ErrDeadlineExceeded
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
}

// lossWait is when something is sent again: a busy machine drops packets, for all
// namespaces have one backlog for each processor.
const lossWait = 500 * time.Millisecond

// await waits for an event, and has what causes it sent again now and then.
func (s bare) await(event int16, again ...func()) error {
	for deadline := time.Now().Add(reachWait); ; {
		err := s.wait(event, lossWait)
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(deadline) {
			return err
		}
		for _, send := range again {
			send()
		}
	}
}

// datagram is the next, with its control messages.
func (s bare) datagram(again ...func()) (data []byte, control []unix.SocketControlMessage) {
	s.t.Helper()
	return s.receive(unix.POLLIN, 0, again...)
}

func (s bare) receive(event int16, flags int, again ...func()) (data []byte, control []unix.SocketControlMessage) {
	s.t.Helper()
	if err := s.await(event, again...); err != nil {
		s.t.Fatalf("nothing comes: %v", err)
	}
	data, oob := make([]byte, 1<<16), make([]byte, 512)
	n, oobn, _, _, err := unix.Recvmsg(s.fd, data, oob, flags)
	if err != nil {
		s.t.Fatalf("receive: %v", err)
	}
	control, err = unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		s.t.Fatal(err)
	}
	return data[:n], control
}

// An icmpError is what somebody answered to what a socket has sent.
type icmpError struct {
	errno unix.Errno
	from  string
	info  int // MTU
}

// icmp is the next error from the net (struct sock_extended_err, ip(7)).
func (s bare) icmp(again ...func()) icmpError {
	s.t.Helper()
	_, control := s.receive(0, unix.MSG_ERRQUEUE, again...)
	for _, c := range control {
		if int(c.Header.Level) != s.f.level || int(c.Header.Type) != s.f.option(unix.IP_RECVERR, unix.IPV6_RECVERR) {
			continue
		}
		from := c.Data[16+4:][:4]
		if s.f.level == unix.IPPROTO_IPV6 {
			from = c.Data[16+8:][:16]
		}
		if origin := c.Data[4]; origin == unix.SO_EE_ORIGIN_LOCAL {
			from = nil
		}
		return icmpError{
			errno: unix.Errno(binary.NativeEndian.Uint32(c.Data)),
			from:  net.IP(from).String(),
			info:  int(binary.NativeEndian.Uint32(c.Data[8:])),
		}
	}
	s.t.Fatalf("an error without its reason: %v", control)
	return icmpError{}
}

// pmtu is what the kernel knows of the way to the other end.
func (s bare) pmtu() int {
	s.t.Helper()
	n, err := unix.GetsockoptInt(s.fd, s.f.level, s.f.option(unix.IP_MTU, unix.IPV6_MTU))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}
