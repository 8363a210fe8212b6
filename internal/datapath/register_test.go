// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, a := range texts {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func sameIDs(a, b []ebpf.MapID) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func endpointNamed(name string, ifindex int, texts ...string) Endpoint {
	return Endpoint{Network: IDOf("net"), Owner: OwnerOf(name), IfIndex: ifindex, MAC: make([]byte, 6), MTU: 1500, Addrs: addrs(texts...)}
}

func mustRegister(t *testing.T, h *Handle, e Endpoint) {
	t.Helper()
	must(t, h.Register(e))
	must(t, h.RegisterAddrs(e))
}

func expectKnown(t *testing.T, h *Handle, e Endpoint, want bool) {
	t.Helper()
	if known, err := h.Knows(e); known != want || err != nil {
		t.Errorf("knows the one at %d: %v, %v, want %v", e.IfIndex, known, err, want)
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	onHost(t, "and forget", func(t *testing.T) {
		h := mustOpen(t)
		alice := endpointNamed("alice", 7, "10.0.0.1", "fd00::1")
		expectKnown(t, h, alice, false)
		must(t, h.Register(alice))
		expectKnown(t, h, alice, false) // its addresses are not there yet
		must(t, h.RegisterAddrs(alice))
		expectKnown(t, h, alice, true)
		if c, err := h.Counters(7); err != nil || c != (Counters{}) {
			t.Errorf("counters of a new one: %v, %v, want zeros", c, err)
		}
		for range 2 { // forgetting what is forgotten is success
			must(t, h.Unregister(alice))
			expectKnown(t, h, alice, false)
			if _, err := h.Counters(7); !errors.Is(err, unix.ENOENT) {
				t.Errorf("counters of one forgotten: %v, want one that wraps ENOENT", err)
			}
		}
	})
	onHost(t, "leaves an address that another has by now", func(t *testing.T) {
		h := mustOpen(t)
		alice := endpointNamed("alice", 7, "10.0.0.1", "10.0.0.2")
		bob := endpointNamed("bob", 8, "10.0.0.2")
		mustRegister(t, h, alice)
		mustRegister(t, h, bob)
		must(t, h.Unregister(alice))
		expectKnown(t, h, bob, true)
		expectKnown(t, h, endpointNamed("bob", 8, "10.0.0.1"), false)
	})
	onHost(t, "of one address in two networks", func(t *testing.T) {
		h := mustOpen(t)
		alice, carol := endpointNamed("alice", 7, "10.0.0.1"), endpointNamed("carol", 8, "10.0.0.1")
		carol.Network = IDOf("other")
		mustRegister(t, h, alice)
		mustRegister(t, h, carol)
		must(t, h.Unregister(alice))
		expectKnown(t, h, carol, true)
	})
}

// TestCounters counts on every processor that this test may use, and looks at
// who keeps what was counted.
func TestCounters(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	var allowed unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &allowed))
	frame := ethernet(w.alice.hostMAC, w.alice.mac, ethIPv4, ip4{src: w.alice.v4, dst: w.bob.v4}.bytes())
	for cpu := range len(allowed) * 64 {
		if !allowed.IsSet(cpu) {
			continue
		}
		var one unix.CPUSet
		one.Set(cpu)
		must(t, unix.SchedSetaffinity(0, &one)) // of this thread, which is the test's alone
		if got := w.run(t, w.from, w.alice, frame, context{}); got != direct {
			t.Errorf("on processor %d: %q", cpu, got)
		}
	}
	n := uint64(allowed.Count())
	want := Counters{FastPackets: n, FastBytes: n * uint64(len(frame))}
	if got := w.mustCount(t, w.alice); got != want {
		t.Errorf("counted %+v over %d processors, want %+v", got, n, want)
	}
	w.mustTell(t, w.alice) // as repair and a newer build do
	if got := w.mustCount(t, w.alice); got != want {
		t.Errorf("registered again, it has %+v, want %+v", got, want)
	}
	stranger := w.alice.told // whose interface got the same index after a DEL was killed
	stranger.Owner = OwnerOf("stranger")
	must(t, w.h.Register(stranger))
	if got := w.mustCount(t, w.alice); got != (Counters{}) {
		t.Errorf("a stranger with the index inherits %+v", got)
	}
}

func TestPossibleCPUs(t *testing.T) {
	t.Parallel()
	want, err := ebpf.PossibleCPU()
	must(t, err)
	if got, err := possibleCPUs(); got != want || err != nil {
		t.Errorf("got %d, %v, want %d", got, err, want)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	onHost(t, "forgets those that are gone", func(t *testing.T) {
		h := mustOpen(t)
		alice, bob := endpointNamed("alice", 7, "10.0.0.1", "fd00::1"), endpointNamed("bob", 8, "10.0.0.2", "fd00::2")
		alice.Allowed = []NetworkID{IDOf("other")}
		bob.Allowed = alice.Allowed
		mustRegister(t, h, alice)
		mustRegister(t, h, bob)
		var remote Endpoint // at an address of another host
		remote.Network, remote.Addrs = IDOf("net"), addrs("10.0.1.1")
		must(t, h.RegisterAddrs(remote))
		for range 2 {
			must(t, Sweep(func(ifindex int) bool { return ifindex != bob.IfIndex }))
			expectKnown(t, h, alice, false)
			expectKnown(t, h, bob, true)
			if _, err := h.Counters(alice.IfIndex); !errors.Is(err, unix.ENOENT) {
				t.Errorf("counters of alice: %v, want one that wraps ENOENT", err)
			}
			for _, e := range []Endpoint{alice, bob} {
				err := h.allowed.Lookup(allowanceKey(e.IfIndex, e.Allowed[0]), make([]byte, 1))
				if gone := errors.Is(err, unix.ENOENT); gone != (e.IfIndex == alice.IfIndex) {
					t.Errorf("network that the one at %d allows: %v", e.IfIndex, err)
				}
			}
			for _, a := range append(alice.Addrs, remote.Addrs...) {
				err := h.endpoints.Lookup(endpointKey(alice.Network, a), make([]byte, endpointSize))
				if gone := errors.Is(err, unix.ENOENT); gone != slices.Contains(alice.Addrs, a) {
					t.Errorf("address %s: %v", a, err)
				}
			}
		}
	})
	onHost(t, "walks maps of thousands", func(t *testing.T) {
		h := mustOpen(t)
		const many = 2000
		for i := range many {
			e := endpointNamed("x", 1000+i)
			e.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}
			mustRegister(t, h, e)
		}
		must(t, Sweep(func(ifindex int) bool { return ifindex%2 == 0 }))
		for i := range many {
			e := endpointNamed("x", 1000+i)
			e.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}
			expectKnown(t, h, e, i%2 == 1)
		}
	})
}

// TestIdentifiers: they are in maps that outlive the program, so they stay.
func TestIdentifiers(t *testing.T) {
	t.Parallel()
	if got, want := IDOf("net"), NetworkID(0x482c2e792b3bc713); got != want {
		t.Errorf("network: got %#x, want %#x", got, want)
	}
	if got, want := OwnerOf("alice"), OwnerID(0xf5acb87148fc9526); got != want {
		t.Errorf("container: got %#x, want %#x", got, want)
	}
}
