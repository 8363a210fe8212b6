// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/emerita-cni/emerita/internal/netns"
)

// spaceOf opens the network namespace of a container, or the caller's own for
// "host". The caller closes it.
func spaceOf(name string) (*netns.NS, error) {
	if name == "host" {
		return netns.Open("/proc/thread-self/ns/net")
	}
	return netns.Open("/run/netns/" + name)
}

// inSpace runs fn in a container's namespace, or on the "host". The caller is
// locked to its thread.
func inSpace(name string, fn func() error) error {
	ns, err := spaceOf(name)
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Do(fn)
}

// reachSize is more than one segment, and than any MTU of the tests.
const reachSize = 200_000

// reach sends bytes from one namespace to an address in another and back again,
// by tcp or udp, and compares what comes. wait bounds all of it.
func reach(proto, from, to, addr string, wait time.Duration) error {
	if proto == "udp" {
		return echoUDP(from, to, addr, wait, udpSizes[:]...)
	}
	return echoTCP(from, to, addr, wait, reachSize)
}

func echoTCP(from, to, addr string, wait time.Duration, size int) error {
	var l net.Listener
	err := inSpace(to, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		return err
	}
	defer l.Close()
	deadline := time.Now().Add(wait)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = c.SetDeadline(deadline)
		_, _ = io.Copy(c, c)
	}()
	sent := pattern(size)
	got := make([]byte, len(sent))
	err = inSpace(from, func() error {
		c, err := net.DialTimeout("tcp", l.Addr().String(), wait)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(deadline)
		go func() { _, _ = c.Write(sent) }()
		_, err = io.ReadFull(c, got)
		return err
	})
	if err == nil && !bytes.Equal(sent, got) {
		return errors.New("other bytes than were sent")
	}
	return err
}

// udpSizes are datagrams without and with fragments.
var udpSizes = [...]int{1, 1000, 4000}

func echoUDP(from, to, addr string, wait time.Duration, sizes ...int) error {
	var server, client net.PacketConn
	err := inSpace(to, func() (err error) {
		server, err = net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
		return err
	})
	if err != nil {
		return err
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 65536)
		for {
			n, peer, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], peer)
		}
	}()
	network := "udp4"
	if netip.MustParseAddr(addr).Is6() {
		network = "udp6"
	}
	err = inSpace(from, func() (err error) {
		client, err = net.ListenPacket(network, ":0")
		return err
	})
	if err != nil {
		return err
	}
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(wait))
	for _, size := range sizes {
		sent, got := pattern(size), make([]byte, 65536)
		if _, err := client.WriteTo(sent, server.LocalAddr()); err != nil {
			return err
		}
		n, _, err := client.ReadFrom(got)
		if err != nil {
			return fmt.Errorf("datagram of %d bytes: %w", size, err)
		}
		if !bytes.Equal(sent, got[:n]) {
			return fmt.Errorf("datagram of %d bytes: other bytes than were sent", size)
		}
	}
	return nil
}

// pattern is data in which no two near parts are alike.
func pattern(n int) []byte {
	out := make([]byte, n)
	x := uint32(2463534242)
	for i := range out {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		out[i] = byte(x)
	}
	return out
}

// The longest waits for what must come, and for what must not.
const (
	reachWait   = 5 * time.Second
	unreachWait = 300 * time.Millisecond
)

// cmdReach is "[!] reach tcp|udp FROM TO ADDR": bytes get from one container to an
// address of another and back, or not. Either may be "host".
func cmdReach(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 4 || args[0] != "tcp" && args[0] != "udp" {
		ts.Fatalf("usage: [!] reach tcp|udp FROM TO ADDR")
	}
	wait := reachWait
	if neg {
		wait = unreachWait
	}
	err := reach(args[0], args[1], args[2], args[3], wait)
	switch {
	case neg && err == nil:
		ts.Fatalf("%s reaches %s (%s) by %s", args[1], args[2], args[3], args[0])
	case neg && !unanswered(err):
		ts.Fatalf("unexpected: %v", err)
	case !neg && err != nil:
		ts.Fatalf("%v", err)
	}
}

// unanswered says whether an error is that of packets which went nowhere.
func unanswered(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || os.IsTimeout(err) ||
		errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}
