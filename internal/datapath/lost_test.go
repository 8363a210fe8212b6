// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

// TestPinNames: the names that are looked for are those of the objects' maps.
func TestPinNames(t *testing.T) {
	t.Parallel()
	for _, object := range []struct {
		load func() (*ebpf.CollectionSpec, error)
		pins []string
	}{{loadEndpoint, endpointPins()}, {loadSocket, socketPins()}, {loadPort, portPins()}, {loadAccel, accelPins()}} {
		spec, err := object.load()
		must(t, err)
		if d := cmp.Diff(slices.Sorted(maps.Keys(spec.Maps)), slices.Sorted(slices.Values(object.pins))); d != "" {
			t.Error(d)
		}
		for name := range spec.Maps {
			if len(name) > 15 { // BPF_OBJ_NAME_LEN, with the NUL
				t.Errorf("the kernel cuts the name %s, by which a lost pin is found", name)
			}
		}
	}
}

// TestRestore: maps whose pins are lost are found again by the programs that use them, and
// only those.
func TestRestore(t *testing.T) {
	t.Parallel()
	onHost(t, "from a program", func(t *testing.T) {
		must(t, Restore()) // of nothing
		h := mustOpen(t)
		must(t, Restore()) // of what is whole
		bob := Endpoint{Network: IDOf("net"), Owner: OwnerOf("bob"), IfIndex: 7, MAC: make([]byte, 6), Addrs: addrs("10.0.0.2")}
		must(t, h.Register(bob))
		must(t, h.RegisterAddrs(bob))
		before := mustList(t, v1Dir)
		for _, name := range endpointPins() {
			must(t, os.Remove(filepath.Join(v1Dir, name)))
			if err := h.Lost(bob); err == nil || !strings.Contains(err.Error(), filepath.Join(v1Dir, endpointPins()[0])) {
				t.Errorf("without %s: %v", name, err)
			}
		}
		must(t, Restore())
		if d := cmp.Diff(before, mustList(t, v1Dir)); d != "" {
			t.Error(d)
		}
		again := mustOpen(t)
		if known, err := again.Knows(bob); !known || err != nil || again.Lost(bob) != nil {
			t.Errorf("the maps know bob: %v, %v", known, err)
		}
	})
	onHost(t, "none of another build's is missed", func(t *testing.T) {
		h := mustOpen(t)
		must(t, os.Rename(programDir(v1Dir), filepath.Join(v1Dir, "programs-0123456789abcdef")))
		must(t, os.Remove(filepath.Join(v1Dir, pinConversations))) // it may have none
		must(t, h.Lost(Endpoint{}))
		must(t, os.RemoveAll(filepath.Join(v1Dir, "programs-0123456789abcdef")))
		if err := h.Lost(Endpoint{}); err == nil || !strings.Contains(err.Error(), filepath.Join(programDir(v1Dir), pinTo)) {
			t.Errorf("without programs: %v", err)
		}
	})
}
