// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// deviceConfig is a network of both families on a kind of device.
func deviceConfig(network string, n int, device, more string) string {
	return fmt.Sprintf(`{"cniVersion":"1.1.0","name":%q,"type":"emerita","ipMasq":true,"fastPath":"required","isolation":"network","device":%q,%s`+
		`"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}],"ranges":[[{"subnet":"10.%d.0.0/24"}],[{"subnet":"fd00:%d::/64"}]]}}`,
		network, device, more, n, n)
}

// TestNetkit has containers a and b on netkit devices, c of the same network on a veth
// pair, and d of another network on a netkit device.
func TestNetkit(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.Netkit)
	h := newHost(t)
	testutil.Netns(t, "c")
	testutil.Netns(t, "d")
	for _, id := range []string{"a", "b"} {
		h.config = deviceConfig("net", 1, "netkit", "")
		h.must("ADD", id)
	}
	h.config = deviceConfig("net", 1, "veth", "")
	h.must("ADD", "c")
	h.config = deviceConfig("other", 2, "netkit", "")
	h.must("ADD", "d")
	mustContain(t, testutil.Run(t, "ip", "-n", "a", "-d", "link", "show", "eth0"), "netkit")
	all := func(when string) {
		t.Helper()
		for _, v := range []struct{ from, to, four, six string }{
			{"a", "b", "10.1.0.3", "fd00:1::3"}, {"b", "a", "10.1.0.2", "fd00:1::2"},
			{"a", "c", "10.1.0.4", "fd00:1::4"}, {"c", "a", "10.1.0.2", "fd00:1::2"},
			{"a", "host", "10.1.0.1", "fd00:1::1"}, {"host", "a", "10.1.0.2", "fd00:1::2"},
			{"a", "outside", "192.0.2.2", "2001:db8::2"}, {"d", "outside", "192.0.2.2", "2001:db8::2"},
		} {
			for _, kind := range []string{"tcp", "udp"} {
				for _, addr := range []string{v.four, v.six} {
					if err := reach(kind, v.from, v.to, addr, reachWait); err != nil {
						t.Errorf("%s: %s from %s to %s: %v", when, kind, v.from, addr, err)
					}
				}
			}
		}
		for _, addr := range []string{"10.2.0.2", "fd00:2::2"} {
			if err := reach("tcp", "a", "d", addr, unreachWait); !unanswered(err) {
				t.Errorf("%s: a reaches another network: %v", when, err)
			}
		}
		for _, id := range []string{"a", "b", "c"} {
			if out, code := h.check(id); code != 0 {
				t.Errorf("%s: CHECK %s: %s", when, id, out)
			}
		}
	}
	h.config = deviceConfig("net", 1, "netkit", "")
	all("at first")
	for _, id := range []string{"a", "b", "c"} {
		if n := h.counted(id); n.FastBytes < reachSize || n.FastInBytes < reachSize {
			t.Errorf("%s: sent %d bytes directly, and got %d", id, n.FastBytes, n.FastInBytes)
		}
	}
	if n := h.counted("b").InBytes; n > 100_000 { // fragments, and what the host says
		t.Errorf("%d bytes came to b by the stack", n)
	}

	// Nobody speaks as another.
	testutil.Run(t, "ip", "-n", "a", "addr", "add", "10.1.0.99/32", "dev", "eth0")
	if err := exec.Command("ip", "netns", "exec", "a", "ping", "-c", "1", "-W", "1", "-I", "10.1.0.99", "10.1.0.3").Run(); err == nil {
		t.Error("a speaks as somebody else")
	}
	if h.reasons("a")["source-ipv4"] == "" {
		t.Errorf("drops: %v", h.reasons("a"))
	}

	h.mustCLI("repair")
	all("nothing to repair")
	otherBuild(t)
	h.mustCLI("repair")
	all("another build")
	testutil.Run(t, "rm", "-r", pins)
	h.mustCLI("repair")
	all("pins lost")
	for _, id := range []string{"a", "b", "c"} {
		h.must("DEL", id)
	}
	h.config = deviceConfig("other", 2, "netkit", "")
	h.must("DEL", "d")
	h.noEntries("DEL")
	h.mustCLI("gc", "--keep-none")
}

// TestNetkitClosed asks for a netkit device without the programs that open it.
func TestNetkitClosed(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.Netkit)
	h := newHost(t)
	h.config = strings.Replace(deviceConfig("net", 1, "netkit", `"hostAccess":true,`), `"fastPath":"required","isolation":"network"`, `"fastPath":"off","isolation":"off"`, 1)
	h.must("ADD", "a")
	h.must("ADD", "b")
	if err := reach("tcp", "a", "b", "10.1.0.3", reachWait); err != nil {
		t.Errorf("without programs: %v", err)
	}
}

// TestNoNetkit asks for a netkit device of a kernel that has none.
func TestNoNetkit(t *testing.T) {
	t.Parallel()
	testutil.Root(t)
	if testutil.Probe(testutil.Netkit) == nil {
		t.Log("the kernel has netkit: see TestNetkit")
		return
	}
	h := newHost(t)
	h.config = deviceConfig("net", 1, "veth", "")
	h.must("ADD", "b")
	h.must("DEL", "b")
	h.resetContainer("b")
	before := h.snapshot()
	h.config = deviceConfig("net", 1, "netkit", "")
	out := h.refused(h.command("ADD", "a"), 50)
	mustContain(t, out, "netkit", "CONFIG_NETKIT", "set device to auto")
	h.nothingLeft(before, "refused")
	h.config = deviceConfig("net", 1, "netsuit", "")
	mustContain(t, h.refused(h.command("ADD", "a"), 7), "device", "netsuit", "veth")
}
