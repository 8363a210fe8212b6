// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"maps"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestKilledAccelerated: an ADD or DEL that was killed at any call to bpf(2), or before a
// record is written, leaves nothing that the next DEL does not take: no entry in a map, and
// no program on the cgroup.
func TestKilledAccelerated(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.SockMapLink, testutil.SockOps, testutil.Cgroup2)
	h := newHost(t)
	path, name := cgroup2(t)
	calls := slices.Concat(mutations, []uint64{unix.SYS_BPF, unix.SYS_OPENAT2})
	// Of the load of the programs: it is made good by the next ADD.
	h.config = acceleratedConfig(1, accelerated)
	h.sweep("ADD", []uint64{unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_OPENAT2}, 0, func() {}, func(when string) {
		h.must("DEL", "a")
		h.must("ADD", "a")
		if out, code := h.check("a"); code != 0 {
			t.Fatalf("%s, then ADD: %s", when, out)
		}
		h.must("DEL", "a")
		testutil.Run(t, "rm", "-rf", pins)
	})
	h.config = acceleratedConfig(1, `"socketAcceleration":"cgroup","runtimeConfig":{"cgroupPath":"/`+name+`/inner"},`)
	h.must("ADD", "b")
	known := h.entries()
	h.sweep("ADD", calls, 20, func() {}, func(when string) {
		h.must("DEL", "a")
		if now := h.entries(); !maps.Equal(now, known) {
			t.Fatalf("%s: the maps knew %v, know %v", when, known, now)
		}
	})
	h.sweep("DEL", calls, 10, func() { h.must("ADD", "a") }, func(when string) {
		h.must("DEL", "a")
		if now := h.entries(); !maps.Equal(now, known) {
			t.Fatalf("%s: the maps knew %v, know %v", when, known, now)
		}
	})
	h.must("DEL", "b")
	h.sweep("ADD", calls, 20, func() {}, func(when string) {
		h.must("DEL", "a")
		if n := h.onCgroup(path + "/inner"); n != 0 {
			t.Fatalf("%s: %d programs are on the cgroup", when, n)
		}
	})
	h.noEntries("all DEL")
}
