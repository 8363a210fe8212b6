// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

var limitedKey = state.Key{Network: "net", ContainerID: "a", IfName: "eth0"}

// withLimits is a host whose network has limits, with what stays of a first use gone.
func withLimits(t *testing.T) (h *host, before string) {
	t.Helper()
	needsLimits(t)
	h = newHost(t)
	h.config = withKeys(pathConfig, limitKeys)
	return h, h.snapshot()
}

func (h *host) mustBeGone(before, when string) {
	h.t.Helper()
	h.mustCLI("gc", "--keep-none") // the pins, and nothing else
	h.forgetShared()
	h.nothingLeft(before, when)
}

func TestBandwidthLeavesNothing(t *testing.T) {
	t.Parallel()
	h, before := withLimits(t)
	ifb := limitedKey.IfbName()
	gone := func(when string) {
		t.Helper()
		if out, err := exec.Command("ip", "link", "show", ifb).CombinedOutput(); err == nil {
			t.Errorf("%s: %s", when, out)
		}
		h.resetContainer("a")
		h.mustBeGone(before, when)
	}
	vanish := func() { // the namespace, and first what the kernel would delete later on its own
		t.Helper()
		testutil.Run(t, "ip", "-n", "a", "link", "del", "eth0")
		testutil.Run(t, "ip", "netns", "del", "a")
	}
	h.must("ADD", "a")
	testutil.Run(t, "ip", "link", "show", ifb)
	h.must("DEL", "a")
	gone("DEL")

	h.must("ADD", "a")
	testutil.Run(t, "ip", "link", "set", ifb, "down")
	testutil.Run(t, "ip", "link", "set", ifb, "name", "renamed")
	h.must("DEL", "a")
	gone("DEL of a device that was renamed")

	// Its route is somebody's: an ADD that fails late.
	testutil.Run(t, "ip", "route", "add", "10.1.0.4/32", "dev", "uplink0")
	mustContain(t, h.refused(h.command("ADD", "a"), 102), "in use")
	testutil.Run(t, "ip", "route", "del", "10.1.0.4/32", "dev", "uplink0")
	gone("failed ADD")

	for _, how := range [][]string{{"gc", "--dead"}, {"gc", "--keep-none"}, {"del", "-c", "a", "-i", "eth0"}} {
		h.must("ADD", "a")
		vanish()
		testutil.Run(t, "ip", "link", "show", ifb)
		h.mustCLI(how...)
		testutil.Netns(t, "a")
		gone("namespace deleted, then " + how[0])
	}

	// Without a record: its alias says whose it is, to GC.
	for _, verb := range []string{"GC", "DEL", "ADD"} {
		h.must("ADD", "a")
		vanish()
		testutil.Netns(t, "a")
		testutil.Run(t, "sh", "-c", "rm -r /var/lib/cni/emerita /var/lib/cni/networks")
		if verb == "GC" {
			h.mustCLI("gc", "--keep-none")
		} else {
			h.must(verb, "a")
		}
		if verb == "ADD" {
			h.must("DEL", "a")
		}
		if out, err := exec.Command("ip", "link", "show", ifb).CombinedOutput(); err == nil {
			t.Errorf("record lost, then %s: %s", verb, out)
		}
	}
}

// An interface of the derived name that is somebody else's.
func TestBandwidthNameTaken(t *testing.T) {
	t.Parallel()
	h, _ := withLimits(t)
	testutil.Run(t, "ip", "link", "add", limitedKey.IfbName(), "type", "bridge")
	before := h.snapshot()
	mustContain(t, h.refused(h.command("ADD", "a"), 102), limitedKey.IfbName(), "not Emerita's")
	h.mustBeGone(before, "refused")
}

// Killed anywhere, an ADD with limits is cleared up by DEL, and a DEL by the next.
func TestBandwidthKilled(t *testing.T) {
	t.Parallel()
	h, before := withLimits(t)
	clear := func(when string) {
		h.must("DEL", "a")
		h.resetContainer("a")
		h.mustBeGone(before, when)
	}
	h.sweep("ADD", mutations, 20, func() {}, clear)
	h.sweep("DEL", slices.Concat(mutations, boundaries), 20, func() { h.must("ADD", "a") }, clear)
}

// What somebody removes CHECK names, and repair puts back.
func TestBandwidthRepaired(t *testing.T) {
	t.Parallel()
	h, _ := withLimits(t)
	h.must("ADD", "a")
	end, ifb := h.hostEnd("a"), limitedKey.IfbName()
	now := func() string {
		t.Helper()
		return testutil.Run(t, "sh", "-c", "tc qdisc show dev "+end+"; tc filter show dev "+end+" ingress; tc qdisc show dev "+ifb)
	}
	mustContain(t, now(), "rate 40Mbit burst", "rate 60Mbit burst", "Egress Redirect to device "+ifb)
	for _, test := range []struct{ does, named string }{
		{"tc qdisc del dev END root", "END"},
		{"tc qdisc replace dev END root handle 1: tbf rate 1gbit burst 50000 limit 50000", "END"},
		{"tc qdisc del dev END root; tc qdisc add dev END root handle 1: pfifo", "END"},
		{"tc qdisc del dev IFB root", "IFB"},
		{"tc qdisc replace dev IFB root handle 1: tbf rate 60mbit burst 500000 limit 50000", "IFB"},
		{"tc filter del dev END ingress pref 58594", "no u32 filter"},
		{"tc filter del dev END ingress", "ingress"},
		{"tc qdisc del dev END clsact", "gress"},
		{"ip link set IFB down", "IFB"},
		{"ip link del IFB", "IFB"},
	} {
		fill := strings.NewReplacer("END", end, "IFB", ifb)
		testutil.Run(t, "sh", "-c", fill.Replace(test.does))
		out, code := h.check("a")
		if code != 102 || !strings.Contains(out, fill.Replace(test.named)) {
			t.Errorf("%s: CHECK says %d: %s", test.does, code, out)
		}
		h.mustCLI("repair")
		if out, code := h.check("a"); code != 0 {
			t.Errorf("%s, then repair: CHECK says %s", test.does, out)
		}
		mustContain(t, now(), "rate 40Mbit burst", "rate 60Mbit burst", "Egress Redirect to device "+ifb)
	}
	mustKeepTo(t, limitOut, "a", "outside", "192.0.2.2")
	mustKeepTo(t, limitIn, "host", "a", "10.1.0.2")
	out := testutil.Run(t, "sh", "-c", "emerita status <<X\n"+h.config+"\nX")
	mustContain(t, out, "40000000 in, 60000000 out")
}

func TestBandwidthRefused(t *testing.T) {
	t.Parallel()
	h, before := withLimits(t)
	for _, test := range []struct{ keys, says string }{
		{`"ingressRate":1000000`, "ingressRate 1000000: a rate needs a burst"},
		{`"egressBurst":1000000`, "egressBurst 1000000: a burst needs a rate"},
		{`"ingressRate":-1,"ingressBurst":1000`, "ingressRate -1"},
		{`"ingressRate":1.5,"ingressBurst":1000`, "ingressRate 1.5"},
		{`"egressRate":1e6,"egressBurst":1000`, "egressRate 1e6"},
		{`"egressRate":"1M","egressBurst":1000`, "egressRate"},
		{`"egressRate":1000,"egressBurst":18446744073709551616`, "egressBurst 18446744073709551616"},
		{`"egressRate":1000,"egressBurst":34359738360`, "egressBurst 34359738360"},
		{`"ingressRate":18446744073709551615,"ingressBurst":1000`, "ingressRate 18446744073709551615"},
		{`"ingressRate":7,"ingressBurst":1000`, "ingressRate 7"},
		{`"unshapedSubnets":["10.0.0.0/8"]`, "unshapedSubnets are not supported"},
		{`"runtimeConfig":{"bandwidth":{"ingressRate":1000}}`, "runtimeConfig.bandwidth.ingressRate 1000"},
		{`"runtimeConfig":{"bandwidth":{"shapedSubnets":["10.0.0.0/8"]}}`, "runtimeConfig.bandwidth.shapedSubnets"},
		{`"runtimeConfig":{"bandwidth":7}`, "runtimeConfig.bandwidth"},
	} {
		h.config = withKeys(pathConfig, test.keys+",")
		mustContain(t, h.refused(h.command("ADD", "a"), 7), strings.ReplaceAll(test.says, `"`, `\"`))
		h.nothingLeft(before, test.keys)
	}
}

// A runtime gives the limits by the capability, unless the list has some.
func TestBandwidthByCapability(t *testing.T) {
	testutil.Root(t)
	needsLimits(t)
	testutil.EnterHost(t)
	path := toolPath(t)
	asked := map[string]any{"bandwidth": map[string]any{"ingressRate": 8000000, "ingressBurst": 8000000, "egressRate": 16000000, "egressBurst": 8000000}}
	head := strings.Replace(chainHead, `"ipMasq"`, `"capabilities":{"bandwidth":true},"ipMasq"`, 1)
	c := newChain(t, path, asked, head)
	end := hostEnd(t, c.mustAdd())
	mustContain(t, testutil.Run(t, "tc", "qdisc", "show", "dev", end), "tbf", "rate 8Mbit burst 1000000b")
	mustContain(t, testutil.Run(t, "tc", "qdisc", "show"), "rate 16Mbit burst 1000000b")
	c.mustCheck()
	c.mustDel()
	if out, err := os.ReadFile("/proc/net/dev"); err != nil || strings.Contains(string(out), " ei") {
		t.Errorf("left: %s (%v)", out, err)
	}
	own := *c
	own.list = pluginList(t, withKeys(head, `"ingressRate":4000000,"ingressBurst":4000000,`))
	end = hostEnd(t, own.mustAdd())
	mustContain(t, testutil.Run(t, "tc", "qdisc", "show", "dev", end), "rate 4Mbit burst 500000b")
	mustLack(t, testutil.Run(t, "tc", "qdisc", "show"), "rate 16Mbit")
	own.mustDel()
}
