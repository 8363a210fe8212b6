// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An end of a connection, or a listener, is a socket as the kernel has it: Go's of
// their own accord neither block nor are of TCP alone.
type end struct {
	bare
	at netip.AddrPort
}

// A conn is a connection of a half, by its ends: the caller's and the answerer's.
type conn struct {
	ends [2]end
}

func (c conn) close() {
	for _, e := range c.ends {
		e.close()
	}
}

// reset closes both ends so that their ports can be used at once.
func (c conn) reset() {
	for _, e := range c.ends {
		e.linger(0)
		e.close()
	}
}

// option is one of a socket's, set before it listens or connects.
type option struct{ level, name, value int }

func newEnd(t *testing.T, fd int) end {
	e := end{bare: bare{t: t, fd: fd}}
	e.close = sync.OnceFunc(func() { unix.Close(fd) })
	t.Cleanup(e.close)
	return e
}

// open makes a socket of a container's, for an address. Protocol 0 is TCP.
func (x *half) open(who int, addr netip.Addr, protocol int, opts ...option) end {
	x.t.Helper()
	kind, fd := unix.AF_INET6, 0
	if addr.Is4() {
		kind = unix.AF_INET
	}
	err := x.spaces[who].Do(func() (err error) {
		fd, err = unix.Socket(kind, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	if err != nil {
		x.t.Fatalf("socket of %s: %v", x.ids[who], err)
	}
	e := newEnd(x.t, fd)
	for _, o := range append(opts, option{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}) {
		e.set(o.level, o.name, o.value)
	}
	return e
}

// listen has the answerer listen, at a port of the kernel's choice.
func (x *half) listen(w way, protocol int, opts ...option) end {
	x.t.Helper()
	l := x.open(1, x.in(w.listen), protocol, opts...)
	if err := unix.Bind(l.fd, sockaddr(netip.AddrPortFrom(x.in(w.listen), 0))); err != nil {
		x.t.Fatalf("bind: %v", err)
	}
	if err := unix.Listen(l.fd, 1024); err != nil {
		x.t.Fatalf("listen: %v", err)
	}
	l.at = netip.AddrPortFrom(x.in(w.dial), l.name().Port())
	return l
}

// call connects the caller to a listener. It may have a port of its own to call from.
func (x *half) call(l end, protocol int, from uint16, opts ...option) end {
	x.t.Helper()
	e := x.open(0, l.at.Addr(), protocol, opts...)
	if from != 0 {
		own := netip.IPv6Unspecified()
		if l.at.Addr().Is4() {
			own = netip.IPv4Unspecified()
		}
		if err := unix.Bind(e.fd, sockaddr(netip.AddrPortFrom(own, from))); err != nil {
			x.t.Fatalf("bind to port %d: %v", from, err)
		}
	}
	e.connect(l.at)
	return e
}

// connect waits until the other side has answered, whatever signals come.
func (e *end) connect(to netip.AddrPort) {
	e.t.Helper()
	e.block(false)
	for late := deadline(tortureWait); ; runtime.Gosched() {
		err := unix.Connect(e.fd, sockaddr(to))
		if errors.Is(err, unix.EADDRNOTAVAIL) && !late() {
			continue // the port's earlier connection has not heard yet that it is over
		}
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			e.t.Fatalf("connect to %s: %v", to, err)
		}
		break
	}
	e.connected(to)
}

func (e *end) connected(to netip.AddrPort) {
	e.t.Helper()
	if err := e.wait(unix.POLLOUT, tortureWait); err != nil {
		e.t.Fatalf("connect to %s: %v", to, err)
	}
	if errno := e.option(unix.SOL_SOCKET, unix.SO_ERROR); errno != 0 {
		e.t.Fatalf("connect to %s: %v", to, unix.Errno(errno))
	}
	e.block(true)
	e.at = unmap(e.name())
}

func (e end) block(on bool) {
	e.t.Helper()
	if err := unix.SetNonblock(e.fd, !on); err != nil {
		e.t.Fatal(err)
	}
}

// accept takes the next connection of a listener.
func (l end) accept() end {
	l.t.Helper()
	if err := l.wait(unix.POLLIN, tortureWait); err != nil {
		l.t.Fatalf("accept: %v", err)
	}
	fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
	if err != nil {
		l.t.Fatalf("accept: %v", err)
	}
	e := newEnd(l.t, fd)
	e.at = unmap(e.name())
	return e
}

// connect makes a connection by a listener of its own.
func (x *half) connect(w way, opts ...option) conn {
	x.t.Helper()
	l := x.listen(w, 0, opts...)
	defer l.close()
	return x.again(l, 0, opts...)
}

// again makes one more by a listener.
func (x *half) again(l end, from uint16, opts ...option) conn {
	x.t.Helper()
	caller := x.call(l, 0, from, opts...)
	return conn{[2]end{caller, l.accept()}}
}

// name is the end's own address.
func (e end) name() netip.AddrPort {
	e.t.Helper()
	name, err := unix.Getsockname(e.fd)
	if err != nil {
		e.t.Fatal(err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port))
	}
	e.t.Fatalf("a socket of %T", name)
	return netip.AddrPort{}
}

func (e end) option(level, name int) int {
	e.t.Helper()
	n, err := unix.GetsockoptInt(e.fd, level, name)
	if err != nil {
		e.t.Fatalf("option %d of level %d: %v", name, level, err)
	}
	return n
}

// linger makes close send a reset (0 s), or wait.
func (e end) linger(seconds int32) {
	e.t.Helper()
	if err := unix.SetsockoptLinger(e.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: seconds}); err != nil {
		e.t.Fatal(err)
	}
}

// stream hands the end over to Go, for what many goroutines do at once.
func (e end) stream() *net.TCPConn {
	e.t.Helper()
	fd, err := unix.FcntlInt(uintptr(e.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	e.close()
	file := os.NewFile(uintptr(fd), "stream")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * tortureWait))
	return c.(*net.TCPConn)
}
