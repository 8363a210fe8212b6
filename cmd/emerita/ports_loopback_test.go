// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestPortsOnLoopback: the host's processes call 127.0.0.1 and ::1, and come from the
// gateway; nobody else does, and a container's loopback is its own.
func TestPortsOnLoopback(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.add("a", `[{"hostPort":8080,"containerPort":80},{"hostPort":5353,"containerPort":53,"protocol":"udp"},
		{"hostPort":8081,"containerPort":80,"hostIP":"127.0.0.1"},{"hostPort":8082,"containerPort":80,"hostIP":"::1"},
		{"hostPort":8083,"containerPort":80,"hostIP":"192.0.2.1"}]`)
	p.must("ADD", "b")
	for _, addr := range []string{"10.1.0.2", "fd00:1::2"} {
		p.serve("a", "tcp", net.JoinHostPort(addr, "80"), "a")
		p.serve("a", "udp", net.JoinHostPort(addr, "53"), "a")
	}
	all := func() {
		t.Helper()
		p.hears("host", "tcp", "127.0.0.1:8080", "a hears 10.1.0.1")
		p.hears("host", "tcp", "[::1]:8080", "a hears fd00:1::1")
		p.hears("host", "tcp", "127.1.2.3:8080", "a hears 10.1.0.1")
		p.hears("host", "udp", "127.0.0.1:5353", "a hears 10.1.0.1")
		p.hears("host", "udp", "[::1]:5353", "a hears fd00:1::1")
		p.hears("host", "tcp", "127.0.0.1:8081", "a hears 10.1.0.1")
		p.hears("host", "tcp", "[::1]:8082", "a hears fd00:1::1")
	}
	all()
	for _, c := range []struct{ from, at string }{
		{"host", "127.1.2.3:8081"}, {"host", "[::1]:8081"}, {"host", "127.0.0.1:8082"}, {"host", "127.0.0.1:8083"}, {"host", "127.0.0.1:80"},
		{"host", "192.0.2.1:8081"}, {"outside", "192.0.2.1:8081"}, {"outside", "[2001:db8::1]:8082"}, {"b", "10.1.0.1:8081"},
		{"b", "127.0.0.1:8080"}, {"b", "[::1]:8080"}, {"outside", "127.0.0.1:8080"},
	} {
		p.hearsNothing(c.from, c.at)
	}
	// A neighbour on the wire who says that the host's loopback is behind the host.
	testutil.Run(t, "ip", "netns", "exec", "outside", "sh", "-c",
		"echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 192.0.2.1 dev eth0 src 192.0.2.2")
	p.hearsNothing("outside", "127.0.0.1:8080")
	p.hearsNothing("outside", "127.0.0.1:8081")

	// Gone with the pins, seen by CHECK, put back by repair.
	links, err := filepath.Glob("/sys/fs/bpf/emerita-v2/port_*_link")
	if err != nil || len(links) == 0 {
		t.Fatalf("links: %q, %v", links, err)
	}
	testutil.Run(t, "rm", links...)
	for end := time.Now().Add(reachWait); time.Now().Before(end); { // the kernel lets go in a work queue
		if _, err := p.call("host", "tcp", "127.0.0.1:8080", unreachWait); err != nil {
			break
		}
	}
	p.hearsNothing("host", "127.0.0.1:8080")
	const same = `[{"hostPort":8080,"containerPort":80}]`
	if out := p.checked("a", same, cniproto.CodeNetlink); !strings.Contains(out, "emerita repair") {
		t.Error(out)
	}
	p.mustCLI("repair")
	p.checked("a", same, 0)
	all()

	p.must("DEL", "a")
	p.hearsNothing("host", "127.0.0.1:8080")
	p.hearsNothing("host", "127.0.0.1:8081")
	p.must("DEL", "b")
	p.mustCLI("gc", "--keep-none")
	if out, err := exec.Command("ls", "/sys/fs/bpf/emerita-v2").CombinedOutput(); err == nil {
		t.Errorf("pins are left: %s", out)
	}
}

// TestPortsWithoutPrograms: without eBPF, and on a network that wants none, ports are
// served but for what only eBPF can do, which is an error if it is asked for by name.
func TestPortsWithoutPrograms(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.config = strings.NewReplacer(`"fastPath":"required"`, `"fastPath":"off"`, `"isolation":"network"`, `"isolation":"off"`).Replace(pathConfig)
	const web = `{"hostPort":8080,"containerPort":80}`
	p.serve("a", "tcp", p.add("a", "["+web+"]")+":80", "a")
	p.must("ADD", "b")
	p.hears("host", "tcp", "127.0.0.1:8080", "a hears 10.1.0.1") // the cgroup's programs alone
	p.hears("b", "tcp", "192.0.2.1:8080", "a hears 192.0.2.1")
	p.must("DEL", "a")
	p.must("DEL", "b")
	p.mustCLI("gc", "--keep-none")

	add := func(mappings string, code cniproto.Code) string {
		t.Helper()
		config := p.config
		p.config = with(config, mappings)
		defer func() { p.config = config }()
		out, got := p.outcome(p.command("ADD", "a", "without", "bpf", "EPERM"))
		if got != code {
			t.Fatalf("ports %s: code %d, want %d: %s", mappings, got, code, out)
		}
		return out
	}
	before := p.snapshot()
	add(fmt.Sprintf(`[%s,{"hostPort":8081,"containerPort":80,"hostIP":"127.0.0.1"}]`, web), cniproto.CodeNotAvailable)
	if diff := lineDiff(before, p.snapshot()); !strings.Contains(diff, "table inet emerita") && diff != "" {
		t.Errorf("the host differs:\n%s", diff)
	}
	p.serve("a", "tcp", p.address(add("["+web+"]", 0))+":80", "a")
	p.hears("outside", "tcp", "192.0.2.1:8080", "a hears 192.0.2.2")
	p.hears("host", "tcp", "192.0.2.1:8080", "a hears 192.0.2.1")
	p.hearsNothing("host", "127.0.0.1:8080")
	p.checked("a", "["+web+"]", 0)
}

// TestPortsOfClosedHost: a network that may not call the host answers whoever calls its
// ports, and calls none.
func TestPortsOfClosedHost(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	testutil.Netns(t, "far")
	p.config = strings.Replace(pathConfig, "{", `{"hostAccess":false,`, 1)
	p.serve("a", "tcp", p.add("a", `[{"hostPort":8080,"containerPort":80}]`)+":80", "a")
	p.config = otherConfig
	p.must("ADD", "far")
	p.hears("outside", "tcp", "192.0.2.1:8080", "a hears 192.0.2.2")
	p.hears("host", "tcp", "192.0.2.1:8080", "a hears 192.0.2.1")
	p.hears("host", "tcp", "127.0.0.1:8080", "a hears 10.1.0.1")
	p.hears("far", "tcp", "192.0.2.1:8080", "a hears 10.2.0.2")
	p.hearsNothing("a", "192.0.2.1:8080")
}

// TestPortsBesideClosedHost: a network that may not call the host sends nothing to a port
// of another one, by the container's own address either.
func TestPortsBesideClosedHost(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	testutil.Netns(t, "far")
	addr := p.add("a", `[{"hostPort":5353,"containerPort":53,"protocol":"udp"}]`)
	p.config = strings.Replace(otherConfig, "{", `{"hostAccess":false,`, 1)
	p.must("ADD", "far")
	p.serve("a", "udp", addr+":53", "a")
	wire := sniff(t, "a") // a counter has what the host itself tells its neighbours
	if got, err := p.call("far", "udp", addr+":53", unreachWait); err == nil {
		t.Errorf("far hears %q", got)
	}
	if n := wire.heard(t, []byte("hello")); n > 0 {
		t.Errorf("%d packets came to a", n)
	}
}
