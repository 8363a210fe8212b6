// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
)

// TestAccelerationFull: where there is no room for both ends of a connection neither is
// enrolled, and it is plain TCP.
func TestAccelerationFull(t *testing.T) {
	t.Parallel()
	h := newAcceleratedHost(t)
	flows := mustPinned(t, "accel_flows")
	sockets := mustPinned(t, "accel_sockhash")
	room := int(flows.MaxEntries())
	for i := range room {
		if err := flows.Put(strangeFlow(flows, i), make([]byte, flows.ValueSize())); err != nil {
			t.Fatal(err)
		}
	}
	for _, free := range []int{0, 1, 2} {
		if free > 0 {
			if err := flows.Delete(strangeFlow(flows, free)); err != nil {
				t.Fatal(err)
			}
		}
		want := ""
		if free == 2 {
			want = "socket socket"
		}
		k := startTalk(t, "a", "b", "10.1.0.3", "10.1.0.3", false)
		exchange(t, k.client, 10, 100)
		if got := h.paths(k.client); got != want {
			t.Errorf("%d entries are free: %q, want %q", free, got, want)
		}
		if n := countKeys(t, sockets); (n > 0) != (want != "") {
			t.Errorf("%d entries are free: %d sockets are in the map", free, n)
		}
		k.client.Close()
		k.closer.Close()
	}
}

// strangeFlow is a key of no connection.
func strangeFlow(m *ebpf.Map, i int) []byte {
	key := make([]byte, m.KeySize())
	binary.NativeEndian.PutUint32(key, uint32(i))
	return key
}

func mustPinned(t *testing.T, name string) *ebpf.Map {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(filepath.Join(pins, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func countKeys(t *testing.T, m *ebpf.Map) (n int) {
	t.Helper()
	var previous any
	for {
		key, err := m.NextKeyBytes(previous)
		if err != nil {
			t.Fatal(err)
		}
		if key == nil {
			return n
		}
		n, previous = n+1, key
	}
}
