// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// publisher is a host whose containers publish ports.
type publisher struct{ *host }

// newPublisher has containers a and b on the network of pathConfig, none attached yet.
func newPublisher(t *testing.T) publisher {
	t.Helper()
	h := newHost(t)
	h.config = pathConfig
	return publisher{h}
}

// with is a configuration with port mappings as a runtime gives them.
func with(config, mappings string) string {
	return strings.Replace(config, `{`, `{"capabilities":{"portMappings":true},"runtimeConfig":{"portMappings":`+mappings+`},`, 1)
}

// add attaches a container with port mappings, and returns its IPv4 address.
func (p publisher) add(id, mappings string) string {
	p.t.Helper()
	config := p.config
	p.config = with(config, mappings)
	defer func() { p.config = config }()
	return p.address(p.must("ADD", id))
}

// refusedAdd has to fail with a code, and to leave nothing.
func (p publisher) refusedAdd(id, mappings string, code cniproto.Code) string {
	p.t.Helper()
	before := p.snapshot()
	config := p.config
	p.config = with(config, mappings)
	defer func() { p.config = config }()
	out := p.refused(p.command("ADD", id), code)
	if diff := lineDiff(before, p.snapshot()); diff != "" {
		p.t.Errorf("ports %s: the host differs:\n%s", mappings, diff)
	}
	return out
}

// serve answers everything that comes to a port in a namespace with NAME and the address
// of the caller as it is seen there.
func (p publisher) serve(space, proto, at, name string) {
	p.t.Helper()
	err := inSpace(space, func() error {
		if proto == "udp" {
			c, err := net.ListenPacket("udp", at)
			if err != nil {
				return err
			}
			p.t.Cleanup(func() { c.Close() })
			go func() {
				buf := make([]byte, 2000)
				for {
					_, peer, err := c.ReadFrom(buf)
					if err != nil {
						return
					}
					_, _ = c.WriteTo([]byte(answer(name, peer)), peer)
				}
			}()
			return nil
		}
		l, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		p.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, answer(name, c.RemoteAddr()))
				c.Close()
			}
		}()
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func answer(name string, peer net.Addr) string {
	a := netip.MustParseAddrPort(peer.String()).Addr().Unmap()
	return name + " hears " + a.String()
}

// call says what answers at an address, or an error.
func (p publisher) call(from, proto, at string, wait time.Duration) (string, error) {
	var got []byte
	err := inSpace(from, func() error {
		c, err := net.DialTimeout(proto, at, wait)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		if proto == "udp" {
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			got = make([]byte, 2000)
			n, err := c.Read(got)
			got = got[:n]
			return err
		}
		got, err = io.ReadAll(c)
		return err
	})
	if err == nil && len(got) == 0 {
		err = errors.New("no answer")
	}
	return string(got), err
}

func (p publisher) hears(from, proto, at, want string) {
	p.t.Helper()
	got, err := p.call(from, proto, at, reachWait)
	if err != nil || got != want {
		p.t.Errorf("%s calls %s by %s: %q, %v, want %q", from, at, proto, got, err, want)
	}
}

func (p publisher) hearsNothing(from, at string) {
	p.t.Helper()
	if got, err := p.call(from, "tcp", at, unreachWait); err == nil {
		p.t.Errorf("%s calls %s and hears %q", from, at, got)
	}
}

// otherConfig is a second network, isolated from that of pathConfig.
var otherConfig = strings.NewReplacer(`"name":"net"`, `"name":"other"`, "10.1.0.", "10.2.0.", "fd00:1:", "fd00:2:").Replace(pathConfig)

// TestPublishedPorts calls a's ports from everywhere, and says whom a hears. The address
// of the caller stays but where it belongs to the same network.
func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	testutil.Netns(t, "far")
	p.add("a", `[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},{"hostPort":5353,"containerPort":53,"protocol":"udp"},
		{"hostPort":8081,"containerPort":81,"protocol":"tcp","hostIP":"192.0.2.1"},{"hostPort":8082,"containerPort":81,"protocol":"tcp","hostIP":"2001:db8::1"}]`)
	p.must("ADD", "b")
	p.config = otherConfig
	p.must("ADD", "far")
	for _, proto := range []string{"tcp", "udp"} {
		port := map[string]string{"tcp": "80", "udp": "53"}[proto]
		p.serve("a", proto, net.JoinHostPort("10.1.0.2", port), "a")
		p.serve("a", proto, net.JoinHostPort("fd00:1::2", port), "a")
	}
	p.serve("a", "tcp", "10.1.0.2:81", "a")
	p.serve("a", "tcp", "[fd00:1::2]:81", "a")
	p.serve("outside", "tcp", "0.0.0.0:8080", "outside")
	p.serve("outside", "udp", "192.0.2.2:5353", "outside")

	for proto, port := range map[string]string{"tcp": "8080", "udp": "5353"} {
		for _, c := range []struct{ from, host, heard string }{
			{"outside", "192.0.2.1", "192.0.2.2"}, {"outside", "2001:db8::1", "2001:db8::2"},
			{"host", "192.0.2.1", "192.0.2.1"}, {"host", "2001:db8::1", "2001:db8::1"},
			{"host", "10.1.0.1", "192.0.2.1"}, {"host", "fd00:1::1", "fd00:1::1"},
			{"far", "192.0.2.1", "10.2.0.2"}, {"far", "2001:db8::1", "fd00:2::2"},
			{"far", "10.2.0.1", "10.2.0.2"}, {"far", "10.1.0.1", "10.2.0.2"},
			// By the host's address to a neighbour: the answer has to come by the host.
			{"b", "192.0.2.1", "192.0.2.1"}, {"b", "2001:db8::1", "fd00:1::1"}, {"b", "10.1.0.1", "192.0.2.1"},
			{"a", "192.0.2.1", "192.0.2.1"}, {"a", "2001:db8::1", "fd00:1::1"}, {"a", "fd00:1::1", "fd00:1::1"},
		} {
			p.hears(c.from, proto, net.JoinHostPort(c.host, port), "a hears "+c.heard)
		}
		// The same port of another machine is not the host's.
		for _, from := range []string{"a", "b", "host"} {
			if proto == "tcp" || from == "host" {
				got, err := p.call(from, proto, net.JoinHostPort("192.0.2.2", port), reachWait)
				if err != nil || !strings.HasPrefix(got, "outside hears ") {
					t.Errorf("%s calls outside: %q, %v", from, got, err)
				}
			}
		}
	}
	p.hears("b", "tcp", "10.1.0.2:80", "a hears 10.1.0.3") // directly, as ever
	p.hears("outside", "tcp", "192.0.2.1:8081", "a hears 192.0.2.2")
	p.hears("outside", "tcp", "[2001:db8::1]:8082", "a hears 2001:db8::2")
	p.hearsNothing("outside", "[2001:db8::1]:8081")
	p.hearsNothing("host", "10.1.0.1:8081")
	// The networks stay apart but for the ports.
	p.serve("a", "tcp", "10.1.0.2:9999", "a")
	p.hearsNothing("far", "10.1.0.2:9999")
	p.checked("far", "[]", 0)
}

// TestPortConflicts: what another container or a process of the host has is refused, with
// the names of both, and nothing is left.
func TestPortConflicts(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	testutil.Netns(t, "c")
	p.add("a", `[{"hostPort":8080,"containerPort":80},{"hostPort":53,"containerPort":53,"protocol":"udp","hostIP":"192.0.2.1"}]`)
	for _, m := range []string{
		`[{"hostPort":8080,"containerPort":80}]`,
		`[{"hostPort":1,"containerPort":1},{"hostPort":8080,"containerPort":99,"hostIP":"192.0.2.1"}]`,
		`[{"hostPort":8080,"containerPort":80,"hostIP":"::"}]`,
		`[{"hostPort":8080,"containerPort":80,"hostIP":"127.0.0.1"}]`,
		`[{"hostPort":53,"containerPort":53,"protocol":"udp"}]`,
	} {
		out := p.refusedAdd("b", m, cniproto.CodePortTaken)
		for _, name := range []string{"net/a/eth0", "net/b/eth0"} {
			if !strings.Contains(out, name) {
				t.Errorf("ports %s: the error does not name %s: %s", m, name, out)
			}
		}
	}
	p.add("b", `[{"hostPort":8080,"containerPort":80,"protocol":"udp"},{"hostPort":53,"containerPort":53,"protocol":"udp","hostIP":"2001:db8::1"},
		{"hostPort":53,"containerPort":53,"protocol":"tcp"}]`)

	for _, l := range []struct{ proto, at, mapping string }{
		{"tcp", "0.0.0.0:7000", `{"hostPort":7000,"containerPort":80}`},
		{"tcp", "[::]:7001", `{"hostPort":7001,"containerPort":80,"hostIP":"0.0.0.0"}`},
		{"tcp", "127.0.0.1:7002", `{"hostPort":7002,"containerPort":80}`},
		{"udp", "192.0.2.1:7003", `{"hostPort":7003,"containerPort":80,"protocol":"udp"}`},
		{"udp", "[::]:7004", `{"hostPort":7004,"containerPort":80,"protocol":"udp","hostIP":"2001:db8::1"}`},
	} {
		p.serve("host", l.proto, l.at, "host")
		out := p.refusedAdd("c", "["+l.mapping+"]", cniproto.CodePortTaken)
		if !strings.Contains(out, "a process of the host listens") {
			t.Errorf("%s: %s", l.mapping, out)
		}
	}
	// A connection that has the port for its own end does not listen.
	p.serve("outside", "tcp", "192.0.2.2:99", "outside")
	out, err := (&net.Dialer{LocalAddr: &net.TCPAddr{Port: 7010}}).Dial("tcp", "192.0.2.2:99")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.add("c", `[{"hostPort":7002,"containerPort":80,"hostIP":"192.0.2.1"},{"hostPort":7010,"containerPort":80}]`)
	p.must("DEL", "c")
	p.config = strings.Replace(p.config, "{", `{"portConflict":"ignore",`, 1)
	addr := p.add("c", `[{"hostPort":7000,"containerPort":80},{"hostPort":7004,"containerPort":80,"protocol":"udp"}]`)
	p.serve("c", "tcp", addr+":80", "c")
	p.hears("outside", "tcp", "192.0.2.1:7000", "c hears 192.0.2.2")
}

// TestPortsOfTwoNetworks: runtimes give all ports of a container to each of its networks.
// The first has them, and keeps them when the other goes.
func TestPortsOfTwoNetworks(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	const web = `[{"hostPort":8080,"containerPort":80}]`
	p.serve("a", "tcp", p.add("a", web)+":80", "a")
	second := func(verb string) {
		t.Helper()
		config := p.config
		defer func() { p.config = config }()
		p.config = with(otherConfig, web)
		cmd := p.command(verb, "a")
		cmd.Env = append(cmd.Env, "CNI_IFNAME=eth1")
		if out, code := p.outcome(cmd); code != 0 {
			t.Fatal(out)
		}
	}
	second("ADD")
	p.hears("outside", "tcp", "192.0.2.1:8080", "a hears 192.0.2.2")
	if out := testutil.Run(t, "emerita", "ports"); strings.Count(out, "8080") != 2 || strings.Contains(out, "other") {
		t.Errorf("emerita ports: %s", out)
	}
	second("DEL")
	p.hears("outside", "tcp", "192.0.2.1:8080", "a hears 192.0.2.2")
	p.checked("a", web, 0)
}

// TestBadPorts: what cannot be published leaves nothing.
func TestBadPorts(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.must("ADD", "a") // so that what all share is there
	for mapping, want := range map[string]string{
		`{"hostPort":0,"containerPort":80}`:                                                                             "hostPort 0",
		`{"hostPort":65536,"containerPort":80}`:                                                                         "hostPort 65536",
		`{"hostPort":80,"containerPort":80,"protocol":"icmp"}`:                                                          "icmp",
		`{"hostPort":80,"containerPort":80,"hostIP":"192.0.2.77"}`:                                                      "the host does not have that address",
		`{"hostPort":80,"containerPort":80,"hostIP":"2001:db8::77"}`:                                                    "the host does not have that address",
		`{"hostPort":80,"containerPort":80},{"hostPort":80,"containerPort":81}`:                                         "leads to port 80 already",
		`{"hostPort":80,"containerPort":80,"hostIP":"0.0.0.0"},{"hostPort":80,"containerPort":81,"hostIP":"192.0.2.1"}`: "leads to 80 already",
	} {
		out := p.refusedAdd("b", "["+mapping+"]", cniproto.CodeInvalidConfig)
		if !strings.Contains(out, want) {
			t.Errorf("%s: %s, want %q", mapping, out, want)
		}
	}
	p.config = strings.NewReplacer(`,[{"subnet":"fd00:1::/64"}]`, "", `,{"dst":"::/0"}`, "").Replace(p.config)
	out := p.refusedAdd("b", `[{"hostPort":80,"containerPort":80,"hostIP":"2001:db8::1"}]`, cniproto.CodeInvalidConfig)
	if !strings.Contains(out, "no address of that family") {
		t.Error(out)
	}
	p.add("b", `[{"hostPort":80,"containerPort":80,"hostIP":"::"},{"hostPort":81,"containerPort":80}]`) // as runtimes send it to everybody
	p.config = strings.Replace(p.config, "{", `{"portConflict":"sometimes",`, 1)
	p.refusedAdd("b", `[]`, cniproto.CodeInvalidConfig)
}

// TestOddHostIPs: addresses that a socket can be bound to and nobody has.
func TestOddHostIPs(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.must("ADD", "a")
	testutil.Run(t, "sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1")
	for _, ip := range []string{"192.0.2.255", "255.255.255.255", "127.255.255.255", "192.0.2.0", "192.0.2.77"} {
		p.refusedAdd("b", fmt.Sprintf(`[{"hostPort":80,"containerPort":80,"hostIP":%q}]`, ip), cniproto.CodeInvalidConfig)
	}
}

// TestManyPortsOfOne: what belongs to a container stays its own however much it is.
func TestManyPortsOfOne(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	var all []string
	for i := range 5000 {
		all = append(all, fmt.Sprintf(`{"hostPort":%d,"containerPort":%[1]d,"protocol":"udp"}`, 10000+i))
	}
	many := "[" + strings.Join(all, ",") + "]"
	p.add("a", many)
	p.checked("a", many, 0)
	p.refusedAdd("b", `[{"hostPort":12000,"containerPort":80,"protocol":"udp"}]`, cniproto.CodePortTaken)
	p.must("DEL", "a")
	p.add("b", `[{"hostPort":12000,"containerPort":80,"protocol":"udp"}]`)
	if out := testutil.Run(t, "emerita", "ports"); strings.Count(out, "\n") != 3 {
		t.Errorf("emerita ports: %s", out)
	}
}

// TestPortsComeAndGoWithContainers: lost DELs, a lost record, GC, a flushed ruleset.
func TestPortsComeAndGoWithContainers(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.must("ADD", "b")
	p.must("DEL", "b")
	p.mustCLI("gc", "--keep-none") // what stays by design is there
	before := p.snapshot()
	const web = `[{"hostPort":8080,"containerPort":80}]`
	p.serve("a", "tcp", p.add("a", web)+":80", "a")
	p.hears("outside", "tcp", "192.0.2.1:8080", "a hears 192.0.2.2")
	p.checked("a", web, 0)

	for damage, wants := range map[string]string{
		"flush ruleset": "table inet emerita", "delete element inet emerita ports4 { tcp . 8080 }": "does not lead port 8080",
	} {
		testutil.Run(t, "nft", strings.Fields(damage)...)
		if out := p.checked("a", web, cniproto.CodeNetlink); !strings.Contains(out, wants) {
			t.Errorf("%s: CHECK says %s", damage, out)
		}
		p.mustCLI("repair")
		p.checked("a", web, 0)
		p.hears("outside", "tcp", "192.0.2.1:8080", "a hears 192.0.2.2")
	}
	testutil.Run(t, "nft", "flush", "ruleset")
	p.add("b", `[{"hostPort":8081,"containerPort":80}]`) // the next ADD mends it for all
	p.hears("outside", "tcp", "192.0.2.1:8080", "a hears 192.0.2.2")
	p.must("DEL", "b")

	// The namespace goes, and no DEL comes: the port is free for the next one, and the
	// late DEL takes nothing from that.
	testutil.Run(t, "ip", "link", "del", p.hostEnd("a"))
	p.serve("b", "tcp", p.add("b", web)+":80", "b")
	p.hears("outside", "tcp", "192.0.2.1:8080", "b hears 192.0.2.2")
	p.must("DEL", "a")
	p.hears("outside", "tcp", "192.0.2.1:8080", "b hears 192.0.2.2")
	p.checked("b", web, 0)
	// Without a record only GC can know.
	testutil.Run(t, "sh", "-c", "rm /var/lib/cni/emerita/net@*")
	p.must("DEL", "b")
	p.mustCLI("gc", "--keep-none")
	p.nothingLeft(before, "after GC")
	if out, err := exec.Command("nft", "list", "table", "inet", "emerita").CombinedOutput(); err == nil {
		t.Errorf("a table is left: %s", out)
	}
}

// checked runs CHECK with the mappings, and returns what it says.
func (p publisher) checked(id, mappings string, code cniproto.Code) string {
	p.t.Helper()
	config := p.config
	defer func() { p.config = config }()
	p.config = with(config, mappings)
	cmd := exec.Command("emerita", "check", "-n", "/run/netns/"+id, "-c", id, "-i", "eth0")
	cmd.Stdin = strings.NewReader(p.config)
	out, got := p.outcome(cmd)
	if got != code {
		p.t.Errorf("CHECK of %s: code %d, want %d: %s", id, got, code, out)
	}
	return out
}

// TestUDPFollowsThePort: a client that never stops sending from one port is heard by
// whoever has the port now, and its neighbour port is left alone.
func TestUDPFollowsThePort(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.add("b", `[{"hostPort":5354,"containerPort":53,"protocol":"udp"}]`)
	p.serve("b", "udp", "10.1.0.2:53", "b")
	var client, other net.Conn
	err := inSpace("outside", func() (err error) {
		if client, err = net.Dial("udp", "192.0.2.1:5353"); err == nil {
			other, err = net.Dial("udp", "192.0.2.1:5354")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	defer other.Close()
	awaitUDP(t, other, "b hears 192.0.2.2")
	for i, id := range []string{"a", "a"} {
		_, _ = client.Write([]byte("nobody is there")) // the kernel tracks this one to the host
		addr := p.add(id, `[{"hostPort":5353,"containerPort":53,"protocol":"udp"}]`)
		p.serve("a", "udp", addr+":53", fmt.Sprintf("a%d", i))
		awaitUDP(t, client, fmt.Sprintf("a%d hears 192.0.2.2", i))
		p.must("DEL", id)
	}
	awaitUDP(t, other, "b hears 192.0.2.2")
}

// awaitUDP sends until the answer comes, for a second.
func awaitUDP(t *testing.T, c net.Conn, want string) {
	t.Helper()
	buf := make([]byte, 2000)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		_, _ = c.Write([]byte("hello"))
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := c.Read(buf); err == nil && string(buf[:n]) == want {
			return
		}
	}
	t.Errorf("no %q within a second", want)
}
