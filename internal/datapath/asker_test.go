// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// mustServe answers everybody on a port of TCP and UDP with a name, in a network
// namespace or, without a path, in the test's own.
func mustServe(t *testing.T, path, address, name string) {
	t.Helper()
	var l net.Listener
	var u net.PacketConn
	mustIn(t, path, func() (err error) {
		if l, err = net.Listen("tcp", address); err != nil {
			return err
		}
		u, err = net.ListenPacket("udp", address)
		return err
	})
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(name))
			c.Close()
		}
	}()
	go func() {
		var b [16]byte
		for {
			_, from, err := u.ReadFrom(b[:])
			if err != nil {
				return
			}
			_, _ = u.WriteTo([]byte(name), from)
		}
	}()
}

// mustIn does something in the network namespace at a path.
func mustIn(t *testing.T, path string, fn func() error) {
	t.Helper()
	if path == "" {
		must(t, fn())
		return
	}
	ns, err := netns.Open(path)
	must(t, err)
	defer ns.Close()
	must(t, ns.Do(fn))
}

// asker is a process of the host that asks who is at an address.
type asker struct {
	socket int // domain of the socket, 0: that of the address
	proto  int // 0: UDP
	source string
	device string // to which the socket is bound
	loose  bool   // sends without connection
	packet string // source of the packet alone (IP_PKTINFO)
}

// address is of a socket's domain, for which IPv4 may be mapped.
func address(domain int, a netip.AddrPort) unix.Sockaddr {
	if domain == unix.AF_INET {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addressText(a unix.Sockaddr) string {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String()
	}
	return fmt.Sprint(a)
}

// ask says who answered at an address, and what the socket calls that one.
func (a asker) ask(to string) (string, error) {
	fd, err := a.open(to)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return a.on(fd, to)
}

func (a asker) domain(to netip.AddrPort) int {
	switch {
	case a.socket != 0:
		return a.socket
	case to.Addr().Is4():
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (a asker) open(text string) (int, error) {
	to, err := netip.ParseAddrPort(text)
	if err != nil {
		return -1, err
	}
	kind := unix.SOCK_STREAM
	if a.proto == 0 {
		kind, a.proto = unix.SOCK_DGRAM, unix.IPPROTO_UDP
	}
	fd, err := unix.Socket(a.domain(to), kind|unix.SOCK_CLOEXEC, a.proto)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &lossWait)
	if err == nil && a.device != "" {
		err = unix.BindToDevice(fd, a.device)
	}
	if err == nil && a.source != "" {
		err = unix.Bind(fd, address(a.domain(to), netip.AddrPortFrom(netip.MustParseAddr(a.source), 0)))
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// on asks by a socket that is open.
func (a asker) on(fd int, text string) (string, error) {
	to, err := netip.ParseAddrPort(text)
	if err != nil {
		return "", err
	}
	var answer [32]byte
	if a.loose {
		var control []byte
		if a.packet != "" {
			control = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: netip.MustParseAddr(a.packet).As4()})
		}
		n, from, err := answerOf(fd, answer[:], true, func() error {
			return unix.Sendmsg(fd, []byte("?"), control, address(a.domain(to), to), 0)
		})
		if err != nil {
			return "", fmt.Errorf("answer of %s: %w", to, err)
		}
		return string(answer[:n]) + " from " + addressText(from), nil
	}
	if err := unix.Connect(fd, address(a.domain(to), to)); err != nil {
		return "", fmt.Errorf("connect to %s: %w", to, err)
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return "", err
	}
	// A connected socket is told the source of a datagram as well.
	n, from, err := answerOf(fd, answer[:], a.proto == 0, func() error {
		_, err := unix.Write(fd, []byte("?"))
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) { // it has answered already
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("answer of %s: %w", to, err)
	}
	said := string(answer[:n]) + " at " + addressText(peer)
	if a.proto == 0 && addressText(from) != addressText(peer) {
		said += " from " + addressText(from)
	}
	return said, nil
}

// mustHaveContainer makes a network namespace "c" with 10.88.0.2 and fd00:88::2, behind a
// host with 10.88.0.1 and fd00:88::1 on another interface, and returns its path.
func mustHaveContainer(t *testing.T) string {
	t.Helper()
	path := testutil.Netns(t, "c")
	for _, line := range []string{
		"link add c0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns c",
		"link set c0 addrgenmode none up",
		"link add gateway type veth peer name gateway-c",
		"link set gateway addrgenmode none up",
		"addr add 10.88.0.1/32 dev gateway",
		"addr add fd00:88::1/128 dev gateway nodad",
		"-n c link set lo up",
		"-n c addr add 10.88.0.2/24 dev eth0",
		"-n c addr add fd00:88::2/64 dev eth0 nodad",
		"-n c link set eth0 up",
		"-n c route add default via 10.88.0.1",
		"route add 10.88.0.2/32 dev c0 src 10.88.0.1",
		"-6 route add fd00:88::2/128 dev c0 src fd00:88::1",
		"-6 neigh add fd00:88::2 lladdr 02:00:00:00:00:02 dev c0",
		"-n c -6 neigh add fd00:88::1 lladdr 02:00:00:00:00:01 dev eth0",
		"-n c -6 route add default via fd00:88::1",
	} {
		testutil.Run(t, "ip", strings.Fields(line)...)
	}
	return path
}

// lossWait is when a datagram is sent again: a busy machine drops some, for all network
// namespaces have one backlog for each processor.
var lossWait = unix.Timeval{Usec: 500_000}

// answerOf asks, and waits for 10 s for what is answered. It goes on where a signal of Go's
// scheduler has interrupted it: with a timeout on the socket the kernel does not.
func answerOf(fd int, buf []byte, datagram bool, ask func() error) (n int, from unix.Sockaddr, err error) {
	const tries = 20
	if err := ask(); err != nil {
		return 0, nil, err
	}
	for try := 0; try < tries; {
		n, from, err = unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return n, from, err
		}
		try++
		if datagram {
			if err := ask(); err != nil {
				return 0, nil, err
			}
		}
	}
	return n, from, err
}
