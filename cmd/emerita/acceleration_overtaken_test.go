// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestAcceleratedMessagesStopped: acceleration is stopped while a thread's message is on its
// way. Another's goes the same way, so that it does not come first; the next goes by TCP.
func TestAcceleratedMessagesStopped(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	testutil.Needs(t, testutil.PageFault)
	x := newHalf(newHost(t), 1, true, "a", "b")
	a := x.meet()
	f := newFault(t)
	part := make([]byte, 4)
	calls := []waiter{a.keepsLock(f), a.hearsPart(part), a.says("AAAAAAAA")}
	x.mustCLI("flows", "--stop")
	calls = append(calls, a.says("BBBBBBBB"))
	f.letGo()
	for i, want := range []string{"1", "4", "8", "8"} {
		if got := calls[i].then(); got != want {
			t.Fatalf("call %d: %s, want %s", i, got, want)
		}
	}
	a.hearsBoth(part)
	x.takes(conn{a.ends}, "stopped, with a message on its way", bySocket, byTCP)
	a.swap(0, []byte("x"))
	x.takes(conn{a.ends}, "stopped, and nothing on its way", byTCP, byTCP)
}
