// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
)

// TestToContainer sends from the host stack: what it forwards has come in by
// somebody's host end, by the uplink, or is its own.
func TestToContainer(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	const forwarded = "pass, in"
	unknown := w.erin.ifindex + 1000 // an uplink, say
	mustSet := func(a *actor, isolated bool, allowed ...NetworkID) {
		a.told.Isolated, a.told.Allowed = isolated, allowed
		w.mustTell(t, a)
	}
	for _, c := range []struct {
		name                     string
		from                     *actor // nil: nobody that the maps know
		ingress                  int
		to                       *actor
		fromIsolated, toIsolated bool
		want                     string
	}{
		{name: "carol to bob, nobody isolated", from: w.carol, to: w.bob, want: forwarded},
		{name: "carol to bob, who is isolated", from: w.carol, to: w.bob, toIsolated: true, want: dropped("isolation")},
		{name: "carol, who is isolated, to bob", from: w.carol, to: w.bob, fromIsolated: true, want: dropped("isolation")},
		{name: "carol to bob, both isolated", from: w.carol, to: w.bob, fromIsolated: true, toIsolated: true, want: dropped("isolation")},
		{name: "bob to carol, who is isolated", from: w.bob, to: w.carol, toIsolated: true, want: dropped("isolation")},
		{name: "alice to bob of the same network", from: w.alice, to: w.bob, fromIsolated: true, toIsolated: true, want: forwarded},
		{name: "bob to himself", from: w.bob, to: w.bob, toIsolated: true, want: forwarded},
		{name: "the outside to bob", ingress: unknown, to: w.bob, toIsolated: true, want: forwarded},
		{name: "the host to bob", to: w.bob, toIsolated: true, want: forwarded},
	} {
		mustSet(c.to, c.toIsolated)
		ingress := c.ingress
		if c.from != nil && c.from != c.to {
			mustSet(c.from, c.fromIsolated)
		}
		if c.from != nil {
			ingress = c.from.ifindex
		}
		frame := ethernet(c.to.mac, c.to.hostMAC, ethIPv4, ip4{src: w.carol.v4, dst: c.to.v4}.bytes())
		got := w.run(t, w.to, c.to, frame, context{IngressIfIndex: uint32(ingress)})
		t.Run(c.name, func(t *testing.T) {
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}

	// One network allows the other: that opens both ways, and no third.
	mustSet(w.bob, true, IDOf("other"))
	mustSet(w.carol, true)
	frank := w.mustAdd(t, "frank", 7, "third", 1500)
	mustSet(frank, true)
	for _, c := range []struct {
		from, to *actor
		want     string
	}{
		{w.carol, w.bob, forwarded},
		{w.bob, w.carol, forwarded},
		{frank, w.bob, dropped("isolation")},
		{w.bob, frank, dropped("isolation")},
		{frank, w.carol, dropped("isolation")},
	} {
		frame := ethernet(c.to.mac, c.to.hostMAC, ethIPv4, ip4{src: c.from.v4, dst: c.to.v4}.bytes())
		got := w.run(t, w.to, c.to, frame, context{IngressIfIndex: uint32(c.from.ifindex)})
		t.Run(fmt.Sprintf("%s to %s with one network allowed", c.from.name, c.to.name), func(t *testing.T) {
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}

	// To an interface that the maps do not know.
	if err := w.h.Unregister(w.bob.told); err != nil {
		t.Fatal(err)
	}
	code, err := w.to.Run(&ebpf.RunOptions{
		Data:    ethernet(w.bob.mac, w.bob.hostMAC, ethIPv4, ip4{src: w.carol.v4, dst: w.bob.v4}.bytes()),
		Context: context{IfIndex: uint32(w.bob.ifindex), IngressIfIndex: uint32(w.carol.ifindex)},
	})
	if err != nil || verdict(code) != "pass" {
		t.Errorf("frame to an unknown interface: %s, %v", verdict(code), err)
	}
}
