// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// congestionConfig is a network of both families with a congestion control for local
// connections ("" leaves the key out).
func congestionConfig(n int, choice string) string {
	key := ""
	if choice != "" {
		key = fmt.Sprintf(`"localCongestionControl":%q,`, choice)
	}
	return fmt.Sprintf(`{"cniVersion":"1.1.0","name":"n%d","type":"emerita","ipMasq":true,"isolation":"off",%s`+
		`"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}],"ranges":[[{"subnet":"10.%d.0.0/24"}],[{"subnet":"fd00:%d::/64"}]]}}`, n, key, n, n)
}

// ask sets a congestion control on a socket before it is used; "" leaves it.
func ask(name string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if name == "" {
			return nil
		}
		cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		})
		if cerr != nil {
			return cerr
		}
		return err
	}
}

func congestionOf(c net.Conn) (name string, err error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return "", err
	}
	cerr := raw.Control(func(fd uintptr) {
		name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	if cerr != nil {
		return "", cerr
	}
	return name, err
}

// connected is the congestion control of both sides of a connection from one
// namespace to an address in another, as in "cubic to bbr". listen is where the
// server listens, without a port.
func connected(t *testing.T, from, to, listen, addr, clientAsks, serverAsks string) string {
	t.Helper()
	var l net.Listener
	if err := inSpace(to, func() (err error) {
		l, err = (&net.ListenConfig{Control: ask(serverAsks)}).Listen(t.Context(), "tcp", net.JoinHostPort(listen, "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var client net.Conn
	if err := inSpace(from, func() (err error) {
		d := net.Dialer{Timeout: reachWait, Control: ask(clientAsks)}
		client, err = d.DialContext(t.Context(), "tcp", net.JoinHostPort(addr, port))
		return err
	}); err != nil {
		t.Fatalf("%s to %s: %v", from, addr, err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var names [2]string
	for i, c := range []net.Conn{client, server} {
		if names[i], err = congestionOf(c); err != nil {
			t.Fatal(err)
		}
	}
	return names[0] + " to " + names[1]
}

// usual is the congestion control that sockets of a namespace have.
func usual(t *testing.T, space string) string {
	t.Helper()
	return strings.TrimSpace(testutil.Run(t, "ip", "netns", "exec", space, "cat", "/proc/sys/net/ipv4/tcp_congestion_control"))
}

// TestLocalCongestion connects containers a and b of one network, c of another, the
// host, and the outside.
func TestLocalCongestion(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.SockOps, testutil.Cgroup2)
	h := newHost(t)
	testutil.Netns(t, "c")
	h.config = congestionConfig(1, "reno")
	h.must("ADD", "a")
	h.must("ADD", "b")
	h.config = congestionConfig(2, "reno")
	h.must("ADD", "c")
	host := usual(t, "a")
	both := host + " to " + host
	if host == "reno" {
		t.Fatal("the test takes reno for what no host has by itself")
	}
	for _, test := range []struct {
		name, from, to, listen, addr string
		client, server               string // ask for
		want                         string
	}{
		{name: "IPv4", from: "a", to: "b", listen: "10.1.0.3", addr: "10.1.0.3", want: "reno to reno"},
		{name: "IPv6", from: "a", to: "b", listen: "fd00:1::3", addr: "fd00:1::3", want: "reno to reno"},
		{name: "IPv4 to a listener of both families", from: "b", to: "a", listen: "", addr: "10.1.0.2", want: "reno to reno"},
		{name: "mapped to IPv4", from: "b", to: "a", listen: "10.1.0.2", addr: "::ffff:10.1.0.2", want: "reno to reno"},
		{name: "to itself", from: "a", to: "a", listen: "10.1.0.2", addr: "10.1.0.2", want: "reno to reno"},
		{name: "by loopback", from: "a", to: "a", listen: "127.0.0.1", addr: "127.0.0.1", want: both},
		{name: "to another network", from: "a", to: "c", listen: "10.2.0.2", addr: "10.2.0.2", want: both},
		{name: "to the host", from: "a", to: "host", listen: "10.1.0.1", addr: "10.1.0.1", want: both},
		{name: "from the host", from: "host", to: "a", listen: "fd00:1::2", addr: "fd00:1::2", want: both},
		{name: "to the outside", from: "a", to: "outside", listen: "192.0.2.2", addr: "192.0.2.2", want: both},
		{name: "IPv6 to the outside", from: "a", to: "outside", listen: "2001:db8::2", addr: "2001:db8::2", want: both},
		{name: "client that has chosen", from: "a", to: "b", listen: "10.1.0.3", addr: "10.1.0.3", client: host, want: host + " to reno"},
		{name: "server that has chosen", from: "a", to: "b", listen: "fd00:1::3", addr: "fd00:1::3", server: host, want: "reno to " + host},
	} {
		if got := connected(t, test.from, test.to, test.listen, test.addr, test.client, test.server); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}

	// The pins are its life.
	testutil.Run(t, "rm", filepath.Join(pins, "local_congestion_link"))
	// The kernel takes the program off the cgroup when it has time for it.
	for late, got := time.After(reachWait), ""; got != both; {
		select {
		case <-late:
			t.Fatalf("without the link: %s", got)
		default:
			got = connected(t, "a", "b", "10.1.0.3", "10.1.0.3", "", "")
		}
	}
	h.mustCLI("repair")
	if got := connected(t, "a", "b", "10.1.0.3", "10.1.0.3", "", ""); got != "reno to reno" {
		t.Errorf("after repair: %s", got)
	}
	otherBuild(t)
	h.mustCLI("install")
	if got := connected(t, "a", "b", "10.1.0.3", "10.1.0.3", "", ""); got != "reno to reno" {
		t.Errorf("another build: %s", got)
	}
	h.must("DEL", "c")
	h.config = congestionConfig(1, "reno")
	h.must("DEL", "a")
	h.must("DEL", "b")
	h.noEntries("DEL")
}

// TestLocalCongestionAuto acts where the host's is one that paces, and for no other.
func TestLocalCongestionAuto(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.SockOps, testutil.Cgroup2, testutil.BBR)
	h := newHost(t)
	h.config = congestionConfig(1, "")
	link := filepath.Join(pins, "local_congestion_link")
	set := func(space, name string) {
		testutil.Run(t, "ip", "netns", "exec", space, "sh", "-c", "echo "+name+" > /proc/sys/net/ipv4/tcp_congestion_control")
	}
	testutil.Run(t, "sh", "-c", "echo reno > /proc/sys/net/ipv4/tcp_congestion_control")
	h.must("ADD", "a")
	if _, err := os.Stat(link); err == nil {
		t.Error("the program is loaded where the host does not pace")
	}
	h.must("DEL", "a")
	testutil.Run(t, "sh", "-c", "echo bbr > /proc/sys/net/ipv4/tcp_congestion_control")
	var b string
	for _, id := range []string{"a", "b"} {
		set(id, "bbr")
		b = h.address(h.must("ADD", id))
	}
	if got := connected(t, "a", "b", b, b, "", ""); got != "cubic to cubic" {
		t.Errorf("where both pace: %s", got)
	}
	set("b", "reno")
	if got := connected(t, "a", "b", b, b, "", ""); got != "cubic to reno" {
		t.Errorf("where one does not pace: %s", got)
	}
	h.must("DEL", "a")
	h.config = congestionConfig(1, "off")
	h.must("ADD", "a")
	if got := connected(t, "a", "b", b, b, "", ""); got != "bbr to reno" {
		t.Errorf("off: %s", got)
	}
	// A limit is a bottleneck, whoever of the two has it.
	h.must("DEL", "a")
	set("b", "bbr")
	h.config = strings.Replace(congestionConfig(1, ""), "{", `{"ingressRate":100000000,"ingressBurst":1000000,`, 1)
	a := h.address(h.must("ADD", "a"))
	if got := connected(t, "b", "a", a, a, "", ""); got != "bbr to bbr" {
		t.Errorf("to one with a limit: %s", got)
	}
}
