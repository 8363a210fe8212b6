// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

func port(protocol uint8, host string, to string, owner string) Port {
	h, a := netip.MustParseAddrPort(host), netip.MustParseAddrPort(to)
	return Port{Protocol: protocol, HostAddr: h.Addr(), HostPort: h.Port(), Addr: a.Addr(), Port: a.Port(), Owner: owner}
}

func mustHave(t *testing.T, want bool, ports ...Port) {
	t.Helper()
	got, err := HasPorts(ports)
	must(t, err)
	if got != want {
		t.Errorf("HasPorts(%v) = %v, want %v", ports, got, want)
	}
}

func mustDelete(t *testing.T, ports ...Port) {
	t.Helper()
	c, err := DeletePorts(ports)
	if c != nil {
		c.Close()
	}
	must(t, err)
}

func TestPortsComeAndGo(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	web := port(unix.IPPROTO_TCP, "0.0.0.0:8080", "10.88.0.2:80", "em1")
	web6 := port(unix.IPPROTO_TCP, "[::]:8080", "[fd00::2]:80", "em1")
	dns := port(unix.IPPROTO_UDP, "192.0.2.1:53", "10.88.0.3:5353", "em2")
	dns6 := port(unix.IPPROTO_UDP, "[2001:db8::1]:53", "[fd00::3]:5353", "em2")
	signal := port(unix.IPPROTO_SCTP, "0.0.0.0:2905", "10.88.0.4:2905", "em3")
	all := []Port{web, web6, dns, dns6, signal}
	networks := []Network{network("10.88.0.0/16", true)}

	mustDelete(t, all...) // no table at all
	if err := AddPorts(all); err == nil {
		t.Error("ports were added to a table that is not there")
	}
	must(t, Add(networks, []Port{web}))
	must(t, AddPorts(all)) // web again
	mustHave(t, true, all...)
	out := testutil.Run(t, "nft", "list", "table", "inet", "emerita")
	for _, want := range []string{
		`tcp . 8080 comment "em1" : 10.88.0.2 . 80`, `tcp . 8080 comment "em1" : fd00::2 . 80`,
		`udp . 192.0.2.1 . 53 comment "em2" : 10.88.0.3 . 5353`, `udp . 2001:db8::1 . 53 comment "em2" : fd00::3 . 5353`,
		`sctp . 2905 comment "em3" : 10.88.0.4 . 2905`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	if n, err := CountPorts(); n != len(all) || err != nil {
		t.Errorf("%d ports, %v", n, err)
	}

	next := port(unix.IPPROTO_TCP, "0.0.0.0:8080", "10.88.0.9:80", "em9")
	must(t, AddPorts([]Port{next, signal})) // somebody left web behind
	mustHave(t, true, next, signal)
	mustHave(t, false, web)
	mustDelete(t, next, web6)
	mustDelete(t, next, dns) // one of them is gone
	mustHave(t, false, next)
	mustHave(t, false, dns)
	mustHave(t, true, dns6, signal)
	mustPresent(t, true, networks...)

	must(t, Replace(networks, []Port{dns6})) // signal's container is gone
	mustHave(t, false, signal)
	mustHave(t, true, dns6)
}

// TestManyPorts: more than fit a message, an attribute and a default socket buffer.
func TestManyPorts(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	var all []Port
	for n := range 10000 {
		p := port(unix.IPPROTO_TCP, "0.0.0.0:1", "10.88.0.2:80", "em0123456789012")
		p.HostPort = uint16(1 + n)
		all = append(all, p)
	}
	must(t, Add([]Network{network("10.88.0.0/16", false)}, all))
	mustHave(t, true, all[0], all[9999])
	mustDelete(t, all...)
	if n, err := CountPorts(); n != 0 || err != nil {
		t.Errorf("%d ports are left, %v", n, err)
	}
	must(t, AddPorts(all))
	if n, err := CountPorts(); n != len(all) || err != nil {
		t.Errorf("%d ports, %v", n, err)
	}
}

func TestASavedRulesetWithPortsLoads(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	ports := []Port{port(unix.IPPROTO_TCP, "0.0.0.0:8080", "10.88.0.2:80", "em1"), port(unix.IPPROTO_UDP, "[2001:db8::1]:53", "[fd00::3]:5353", "em2")}
	must(t, Add([]Network{network("10.88.0.0/16", true)}, ports))
	saved := testutil.Run(t, "nft", "list", "ruleset")
	testutil.Run(t, "nft", "flush", "ruleset")
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(saved)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	mustHave(t, true, ports...)
	if d := cmp.Diff(saved, testutil.Run(t, "nft", "list", "ruleset")); d != "" {
		t.Error(d)
	}
}
