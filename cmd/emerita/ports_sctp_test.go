// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestPublishedSCTP: an association through a port of the host, and another container's
// port of the same number by TCP.
func TestPublishedSCTP(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.SCTP)
	p := newPublisher(t)
	p.add("a", `[{"hostPort":2905,"containerPort":2905,"protocol":"sctp"}]`)
	p.serve("b", "tcp", p.add("b", `[{"hostPort":2905,"containerPort":80,"protocol":"tcp"}]`)+":80", "b")
	for _, f := range []struct{ server, host string }{{"10.1.0.2:2905", "192.0.2.1:2905"}, {"[fd00:1::2]:2905", "[2001:db8::1]:2905"}} {
		heard := make(chan error, 1)
		var listener int
		err := inSpace("a", func() (err error) {
			listener, err = sctp(f.server, func(fd int, sa unix.Sockaddr) error {
				if err := unix.Bind(fd, sa); err != nil {
					return os.NewSyscallError("bind", err)
				}
				return os.NewSyscallError("listen", unix.Listen(fd, 1))
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			fd, _, err := unix.Accept(listener)
			if err == nil {
				_, err = unix.Write(fd, []byte("a"))
				unix.Close(fd)
			}
			heard <- err
		}()
		err = inSpace("outside", func() error {
			fd, err := sctp(f.host, func(fd int, sa unix.Sockaddr) error {
				wait := unix.NsecToTimeval(reachWait.Nanoseconds())
				return os.NewSyscallError("connect", firstError(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
					unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait), unix.Connect(fd, sa)))
			})
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			buf := make([]byte, 8)
			n, err := unix.Read(fd, buf)
			if err == nil && string(buf[:n]) != "a" {
				err = fmt.Errorf("heard %q", buf[:n])
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", f.host, err)
		}
		unix.Close(listener)
	}
	p.hears("outside", "tcp", "192.0.2.1:2905", "b hears 192.0.2.2")
	// The kernel has no hook for SCTP on loopback.
	p.must("DEL", "a")
	p.refusedAdd("a", `[{"hostPort":2905,"containerPort":2905,"protocol":"sctp","hostIP":"127.0.0.1"}]`, cniproto.CodeNotAvailable)
}

// sctp opens a socket for an address and prepares it.
func sctp(at string, prepare func(fd int, sa unix.Sockaddr) error) (int, error) {
	a := netip.MustParseAddrPort(at)
	family := unix.AF_INET6
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if a.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := prepare(fd, sa); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
