// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestAcceleratedMessagesCrowded: that two threads have written at once is seen by the next
// message, whichever thread writes it. It goes by TCP, however little of the budget is used up.
func TestAcceleratedMessagesCrowded(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	testutil.Needs(t, testutil.PageFault)
	x := newHalf(newHost(t), 1, true, "a", "b")
	for next, who := range []string{"the first", "the second", "a third"} {
		a := x.meet()
		f := newFault(t)
		holds := a.keepsLock(f)
		var said, saidMore [2]waiter
		var more [2]chan string
		for i := range more {
			more[i] = make(chan string, 1)
			said[i] = waiter{result: make(chan string, 1)}
			saidMore[i] = a.wait(unix.SYS_SENDMSG, func() string {
				said[i].result <- a.sends("xxxxxxxx")
				if text, ok := <-more[i]; ok {
					return a.sends(text)
				}
				return ""
			})
		}
		f.letGo()
		for i, w := range []waiter{holds, said[0], said[1]} {
			if got := w.then(); got != []string{"1", "8", "8"}[i] {
				t.Fatalf("call %d: %s", i, got)
			}
		}
		a.must(a.ends[1].read(make([]byte, 16)))
		x.takes(conn{a.ends}, "two threads at once", bySocket, bySocket)
		if next < len(more) {
			more[next] <- "x"
			if got := saidMore[next].then(); got != "1" {
				t.Fatalf("the next message, of %s thread: %s", who, got)
			}
			a.must(a.ends[1].read(make([]byte, 1)))
		} else {
			a.swap(0, []byte("x"))
		}
		x.takes(conn{a.ends}, "the next message, of "+who+" thread", byTCP, bySocket)
		for _, c := range more {
			close(c)
		}
		conn{a.ends}.close()
	}
}
