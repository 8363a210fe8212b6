// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// joined is a host with containers on the network of pathConfig: a has the
// addresses that end in 2, b those in 3, and so on.
func joined(t *testing.T, ids ...string) *host {
	t.Helper()
	h := newHost(t)
	h.config = pathConfig
	for _, id := range ids {
		if id != "a" && id != "b" {
			testutil.Netns(t, id)
		}
		h.must("ADD", id)
	}
	return h
}

// counted reads what the programs count for a container.
func (h *host) counted(id string) datapath.Counters {
	h.t.Helper()
	link, err := net.InterfaceByName(h.hostEnd(id))
	if err != nil {
		h.t.Fatal(err)
	}
	p, err := datapath.Open()
	if err != nil {
		h.t.Fatal(err)
	}
	defer p.Close()
	c, err := p.Counters(link.Index)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// background is what containers say of themselves (MLD, router solicitations)
// while something is counted, bytes at most.
const background = 2000

// TestPaths says which way each kind of traffic takes, by the bytes counted at the
// sender: between containers directly, to the host and beyond by its stack.
func TestPaths(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	for _, test := range []struct {
		kind, to, addr string
		fast           bool
	}{
		{"tcp", "b", "10.1.0.3", true}, {"tcp", "b", "fd00:1::3", true},
		{"udp", "b", "10.1.0.3", true}, {"udp", "b", "fd00:1::3", true},
		{"icmp", "b", "10.1.0.3", true}, {"icmp", "b", "fd00:1::3", true},
		{"tcp", "host", "10.1.0.1", false}, {"tcp", "host", "fd00:1::1", false},
		{"udp", "host", "10.1.0.1", false}, {"icmp", "host", "fd00:1::1", false},
		{"tcp", "outside", "192.0.2.2", false}, {"tcp", "outside", "2001:db8::2", false},
		{"udp", "outside", "192.0.2.2", false}, {"icmp", "outside", "2001:db8::2", false},
	} {
		before := h.counted("a")
		var err error
		switch test.kind {
		case "icmp":
			testutil.Run(t, "ip", "netns", "exec", "a", "ping", "-q", "-c", "5", "-i", "0.01", "-s", "1000", "-W", "2", test.addr)
		case "udp": // small ones: fragments are the host's
			err = floodUDP("a", test.to, test.addr, 100)
		default:
			err = reach(test.kind, "a", test.to, test.addr, reachWait)
		}
		name := test.kind + " to " + test.addr
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		after := h.counted("a")
		fast, stack := after.FastBytes-before.FastBytes, after.OutBytes-before.OutBytes
		if test.fast && (fast < 5000 || stack > background) || !test.fast && (fast > 0 || stack < 5000) {
			t.Errorf("%s: %d bytes directly, %d by the stack", name, fast, stack)
		}
	}
	if c := h.counted("a"); c.Drops != (datapath.Counters{}).Drops {
		t.Errorf("drops: %v", h.reasons("a"))
	}
	if in := h.counted("b").InBytes; in > background {
		t.Errorf("%d bytes came to b by the stack", in)
	}
}

// floodUDP exchanges datagrams of 1000 bytes, one after the other.
func floodUDP(from, to, addr string, count int) error {
	s, err := startStream("udp", from, to, addr)
	if err != nil {
		return err
	}
	err = s.await(count)
	return errors.Join(err, s.stop())
}

// A container's own firewall, TTL and multicast work as on any other path.
func TestContainersOwnRules(t *testing.T) {
	t.Parallel()
	joined(t, "a", "b")
	if err := reach("tcp", "a", "b", "10.1.0.3", reachWait); err != nil {
		t.Fatal(err)
	}
	testutil.Run(t, "ip", "netns", "exec", "b", "nft", "add table inet own; add chain inet own in { type filter hook input priority 0; }; add rule inet own in meta l4proto tcp drop")
	for _, addr := range []string{"10.1.0.3", "fd00:1::3"} {
		if err := reach("tcp", "a", "b", addr, unreachWait); !unanswered(err) {
			t.Errorf("the container's own firewall does not keep %s: %v", addr, err)
		}
		if err := floodUDP("a", "b", addr, 3); err != nil {
			t.Errorf("it keeps what it should not: %v", err)
		}
	}
	testutil.Run(t, "ip", "netns", "exec", "b", "nft", "flush ruleset")
	// The host is the hop between, and answers for it.
	for _, addr := range []string{"10.1.0.3", "fd00:1::3"} {
		cmd := exec.Command("ip", "netns", "exec", "a", "ping", "-c", "1", "-W", "2", "-t", "1", addr)
		out, _ := cmd.CombinedOutput()
		if text := strings.ToLower(string(out)); !strings.Contains(text, "time to live exceeded") && !strings.Contains(text, "hop limit") {
			t.Errorf("the first hop to %s does not answer: %s", addr, out)
		}
		testutil.Run(t, "ip", "netns", "exec", "a", "ping", "-c", "1", "-W", "2", "-t", "2", addr)
	}
	// IP options: the host forwards record-route, and both sides are on record.
	out := testutil.Run(t, "ip", "netns", "exec", "a", "ping", "-R", "-c", "1", "-W", "2", "10.1.0.3")
	mustContain(t, out, "RR:", "10.1.0.3")
}

// A network whose configuration becomes isolated cuts the flows that stand.
func TestIsolationCutsEstablished(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	config := func(n int, isolation string) string {
		return fmt.Sprintf(`{"cniVersion":"1.1.0","name":"n%d","type":"emerita","fastPath":"required","isolation":%q,`+
			`"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.%d.0.0/24","rangeEnd":"10.%d.0.2"}]]}}`, n, isolation, n, n)
	}
	h.config = config(1, "off")
	h.must("ADD", "a")
	h.config = config(2, "off")
	h.must("ADD", "b")
	again := func(isolation string) {
		h.must("DEL", "b")
		h.config = config(2, isolation)
		h.must("ADD", "b")
	}
	for _, kind := range []string{"udp", "tcp"} {
		s, err := startStream(kind, "a", "b", "10.2.0.2")
		if err != nil {
			t.Fatal(err)
		}
		again("off")
		if err := s.await(10); err != nil {
			t.Fatalf("%s does not survive that b is attached anew: %v", kind, err)
		}
		again("network")
		// Whatever was under way has arrived when a ping from the host has.
		h.ping("", "10.2.0.2")
		h.ping("", "10.1.0.2")
		if err := s.awaitFor(1, unreachWait); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s goes on: %v", kind, err)
		}
		if h.reasonsOf("n2", "b")["isolation"] == "" {
			t.Errorf("%s: isolation is not counted", kind)
		}
		again("off")
		if err := s.await(1); err != nil {
			t.Errorf("%s does not come back with isolation off: %v", kind, err)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
}
