// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// Somebody changes a running attachment, as udev and network managers do: CHECK
// reports each change, and DEL still finds everything.
func TestCheckSeesMeddling(t *testing.T) {
	for _, test := range []struct {
		name string
		do   string // a shell script; $H is the host's end
		want string // in the error
	}{
		{"host end renamed", "ip link set $H down; ip link set $H name stolen0; ip link set stolen0 up", "host interface"},
		{"host end down", "ip link set $H down", "is down"},
		{"host end's MAC changed", "ip link set $H address 02:00:00:00:00:99", "02:00:00:00:00:99"},
		{"host route gone", "ip route del 10.88.0.2/32", "lacks route 10.88.0.2/32"},
		{"host neighbour gone", "ip neigh del 10.88.0.2 dev $H", "10.88.0.2"},
		{"host end does not forward", "sysctl -qw net.ipv4.conf.$H.forwarding=0", "forwarding is off"},
		{"container end renamed", "ip -n a link set eth0 down; ip -n a link set eth0 name eth7; ip -n a link set eth7 up", "container interface"},
		{"container end down", "ip -n a link set eth0 down", "is down"},
		{"container end's MAC changed", "ip -n a link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"},
		{"container address gone", "ip -n a addr del 10.88.0.2/24 dev eth0", "lacks address 10.88.0.2/24"},
		{"default route gone", "ip -n a route del default", "lacks route 0.0.0.0/0"},
		{"route to the gateway gone", "ip -n a route flush dev eth0", "lacks route"},
		{"container end replaced", "ip -n a link del eth0; ip -n a link add eth0 type veth peer name x", "host interface"},
		{"reservation gone", "rm /var/lib/cni/networks/net/10.88.0.2", "10.88.0.2"},
		{"reservation of another", "echo other >/var/lib/cni/networks/net/10.88.0.2", "10.88.0.2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.must("ADD", "b")
			h.must("DEL", "b")
			h.resetContainer("b")
			before := h.snapshot()
			h.config = strings.Replace(hostConfig, `"subnet"`, `"rangeStart":"10.88.0.2","rangeEnd":"10.88.0.2","subnet"`, 1)
			h.must("ADD", "a")
			check := func() (string, cniproto.Code) {
				cmd := exec.Command("emerita", "check", "-n", "/run/netns/a", "-c", "a", "-i", "eth0")
				cmd.Stdin = strings.NewReader(h.config)
				return h.outcome(cmd)
			}
			if out, code := check(); code != 0 {
				t.Fatalf("before: %s", out)
			}
			testutil.Run(t, "sh", "-ec", "H="+h.hostEnd("a")+"; "+test.do)
			if out, code := check(); code == 0 || !strings.Contains(out, test.want) {
				t.Errorf("CHECK does not say %q: code %d: %s", test.want, code, out)
			}
			h.must("DEL", "a")
			if test.name == "reservation of another" {
				testutil.Run(t, "rm", "/var/lib/cni/networks/net/10.88.0.2") // not ours to remove
			}
			h.nothingLeft(before, "DEL")
		})
	}
}

// While ADD works, somebody grabs every new interface. Either it fails cleanly,
// or CHECK tells whether it is as it should be; DEL leaves nothing in any case.
func TestMeddlerDuringAdd(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must("ADD", "a")
	h.must("DEL", "a")
	before := h.snapshot()
	meddler := exec.Command("sh", "-c", `while :; do for l in $(ip -o link | grep -o 'em[a-z0-9]\{13\}'); do
		ip link set $l down; ip link set $l address 02:00:00:00:00:99; ip link set $l name grabbed0; done 2>/dev/null; done`)
	if err := meddler.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		_ = meddler.Process.Kill()
		_ = meddler.Wait()
	}
	defer stop()
	for range 25 {
		h.outcome(h.command("ADD", "a")) // a CNI error, or a result
		h.outcome(h.command("CHECK", "a"))
		h.must("DEL", "a")
	}
	stop()
	h.must("DEL", "a")
	h.nothingLeft(before, "DEL after meddling")
}
