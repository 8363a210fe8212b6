// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// acceleratedConfig is a network of both families; keys are those of its own, each with
// a comma behind it.
func acceleratedConfig(n int, keys string) string {
	return fmt.Sprintf(`{"cniVersion":"1.1.0","name":"n%d","type":"emerita","ipMasq":true,%s`+
		`"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}],"ranges":[[{"subnet":"10.%d.0.0/24"}],[{"subnet":"fd00:%d::/64"}]]}}`, n, keys, n, n)
}

const accelerated = `"socketAcceleration":true,`

// newAcceleratedHost has containers a and b on network n1, 10.1.0.2 and .3 there.
func newAcceleratedHost(t *testing.T) *host {
	t.Helper()
	testutil.Needs(t, testutil.SockMapLink, testutil.SockOps, testutil.Cgroup2)
	h := newHost(t)
	h.config = acceleratedConfig(1, accelerated)
	h.must("ADD", "a")
	h.must("ADD", "b")
	return h
}

// flow is a line of emerita flows.
type flow struct{ network, from, to, path, bytes string }

func (h *host) flows() (out []flow) {
	h.t.Helper()
	text, err := exec.Command("emerita", "flows").Output()
	if err != nil {
		h.t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		f := strings.Fields(line)
		if len(f) != 5 {
			h.t.Fatalf("emerita flows: %q", line)
		}
		if i > 0 {
			out = append(out, flow{f[0], f[1], f[2], f[3], f[4]})
		}
	}
	return out
}

// paths are those of a connection, there and back, as in "socket tcp"; empty if it is
// not enrolled.
func (h *host) paths(c net.Conn) string {
	h.t.Helper()
	plain := func(a net.Addr) string {
		p := netip.MustParseAddrPort(a.String())
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()).String()
	}
	var there, back string
	for _, f := range h.flows() {
		switch {
		case f.from == plain(c.LocalAddr()) && f.to == plain(c.RemoteAddr()):
			there = f.path
		case f.to == plain(c.LocalAddr()) && f.from == plain(c.RemoteAddr()):
			back = f.path
		}
	}
	return strings.TrimSpace(there + " " + back)
}

// talk is a connection to an echo server.
type talk struct {
	t      *testing.T
	client net.Conn
	closer io.Closer
}

// startTalk connects from one namespace to an address in another; the server listens at
// listen, with TCP of many paths only if asked for.
func startTalk(t *testing.T, from, to, listen, addr string, mptcp bool) *talk {
	t.Helper()
	var l net.Listener
	if err := inSpace(to, func() (err error) {
		var c net.ListenConfig
		c.SetMultipathTCP(mptcp)
		l, err = c.Listen(t.Context(), "tcp", net.JoinHostPort(listen, "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 1<<16)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					if _, err := c.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	k := &talk{t: t, closer: l}
	k.client = k.dial(from, net.JoinHostPort(addr, port))
	return k
}

func (k *talk) dial(from, to string) (c net.Conn) {
	k.t.Helper()
	if err := inSpace(from, func() (err error) {
		c, err = net.DialTimeout("tcp", to, reachWait)
		return err
	}); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { c.Close(); k.closer.Close() })
	return c
}

// exchange sends messages and wants each back before the next.
func exchange(t *testing.T, c net.Conn, messages, size int) {
	t.Helper()
	out, in := pattern(size), make([]byte, size)
	for i := range messages {
		out[0] = byte(i)
		if _, err := c.Write(out); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if _, err := io.ReadFull(c, in); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if !slices.Equal(in, out) {
			t.Fatalf("message %d came back as another", i)
		}
	}
}

// TestAcceleration connects containers a, b and d of one network, of which d is not
// accelerated, nor e, which has a limit; c of another; the host, and the outside.
func TestAcceleration(t *testing.T) {
	t.Parallel()
	h := newAcceleratedHost(t)
	for _, name := range []string{"c", "d", "e"} {
		testutil.Netns(t, name)
	}
	h.config = acceleratedConfig(2, accelerated+`"allowNetworks":["n1"],`)
	h.must("ADD", "c")
	h.config = acceleratedConfig(1, accelerated+`"allowNetworks":["n2"],"args":{"cni":{"socketAcceleration":false}},`)
	h.must("ADD", "d")
	h.config = acceleratedConfig(1, accelerated+`"ingressRate":1000000000,"ingressBurst":10000000,`)
	h.must("ADD", "e")
	for _, test := range []struct {
		name, from, to, listen, addr, want string
		mptcp                              bool
	}{
		{name: "IPv4", from: "a", to: "b", listen: "10.1.0.3", addr: "10.1.0.3", want: "socket socket"},
		{name: "IPv6", from: "a", to: "b", listen: "fd00:1::3", addr: "fd00:1::3", want: "socket socket"},
		{name: "IPv4 to a listener of both families", from: "b", to: "a", addr: "10.1.0.2", want: "socket socket"},
		{name: "IPv6 to a listener of both families", from: "b", to: "a", addr: "fd00:1::2", want: "socket socket"},
		{name: "mapped to IPv4", from: "b", to: "a", listen: "10.1.0.2", addr: "::ffff:10.1.0.2", want: "socket socket"},
		{name: "to a listener of MPTCP", from: "a", to: "b", addr: "10.1.0.3", mptcp: true},
		{name: "to itself", from: "a", to: "a", listen: "10.1.0.2", addr: "10.1.0.2"},
		{name: "by loopback", from: "a", to: "a", listen: "127.0.0.1", addr: "127.0.0.1"},
		{name: "to one that is not", from: "a", to: "d", listen: "10.1.0.4", addr: "10.1.0.4"},
		{name: "from one that is not", from: "d", to: "a", listen: "10.1.0.2", addr: "10.1.0.2"},
		{name: "to one with a limit", from: "a", to: "e", listen: "10.1.0.5", addr: "10.1.0.5"},
		{name: "from one with a limit", from: "e", to: "a", listen: "fd00:1::2", addr: "fd00:1::2"},
		{name: "to another network", from: "d", to: "c", listen: "10.2.0.2", addr: "10.2.0.2"},
		{name: "to the host", from: "a", to: "host", listen: "10.1.0.1", addr: "10.1.0.1"},
		{name: "from the host", from: "host", to: "a", listen: "10.1.0.2", addr: "10.1.0.2"},
		{name: "to the outside", from: "a", to: "outside", listen: "192.0.2.2", addr: "192.0.2.2"},
	} {
		k := startTalk(t, test.from, test.to, test.listen, test.addr, test.mptcp)
		exchange(t, k.client, 10, 100)
		if got := h.paths(k.client); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		k.client.Close()
		k.closer.Close()
	}
	for _, id := range []string{"a", "b"} {
		h.config = acceleratedConfig(1, accelerated)
		if out, code := h.check(id); code != 0 {
			t.Errorf("CHECK %s: %s", id, out)
		}
	}
	for _, id := range []string{"a", "b", "d", "e"} {
		h.must("DEL", id)
	}
	h.config = acceleratedConfig(2, accelerated)
	h.must("DEL", "c")
	h.noEntries("DEL")
}

// withoutCgroup2 takes the unified hierarchy from the test's mounts.
func withoutCgroup2(t *testing.T) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/thread-self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[2] == "cgroup2" {
			if err := unix.Unmount(f[1], unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAccelerationRefused: what was asked for in so many words, and cannot be had.
func TestAccelerationRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	before := h.snapshot()
	h.config = acceleratedConfig(1, `"socketAcceleration":"sometimes",`)
	h.refused(h.command("ADD", "a"), cniproto.CodeInvalidConfig)
	h.config = acceleratedConfig(1, `"args":{"cni":{"socketAcceleration":1}},`)
	h.refused(h.command("ADD", "a"), cniproto.CodeInvalidConfig)
	h.config = acceleratedConfig(1, accelerated+`"localCongestionControl":"nope",`)
	h.refused(h.command("ADD", "a"), cniproto.CodeNotAvailable)
	if _, err := os.Stat(pins); err == nil {
		t.Error("the programs are loaded for a network that cannot be had")
	}
	if testutil.Probe(testutil.SockMapLink) != nil {
		h.config = acceleratedConfig(1, accelerated)
		out := h.refused(h.command("ADD", "a"), cniproto.CodeNotAvailable)
		if !strings.Contains(out, "older than 6.12") {
			t.Errorf("refused for another reason: %s", out)
		}
	} else {
		withoutCgroup2(t)
		h.config = acceleratedConfig(1, accelerated)
		out := h.refused(h.command("ADD", "a"), cniproto.CodeNotAvailable)
		if !strings.Contains(out, "cgroup v2") {
			t.Errorf("refused for another reason: %s", out)
		}
		h.refused(h.command("STATUS", "a"), cniproto.CodeNotAvailable)
	}
	h.nothingLeft(before, "ADD refused")
}
