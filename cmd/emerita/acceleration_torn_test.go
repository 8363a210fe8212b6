// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestAcceleratedMessagesWhole: of two threads that write to one socket the first is held up
// between the verdict on its message and the reader's queue, as the second has used up the
// budget. If the second's message went by TCP it would be there first, and the reader, which
// reads a part of it, would get the former in its midst.
func TestAcceleratedMessagesWhole(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.PageFault)
	for _, x := range newHalves(t) {
		c := x.connect(ways()[0])
		a := &scene{t: t, half: x, ends: c.ends}
		const budget = 64 // messages
		for range budget - 1 {
			a.swap(0, []byte("x"))
		}
		// The reader's process has a call that keeps the lock of its socket.
		f := newFault(t)
		holds := a.wait(unix.SYS_SENDTO, func() string { return result(1, unix.Send(c.ends[1].fd, f.page[:1], unix.MSG_NOSIGNAL)) })
		f.awaitTouch()
		part := make([]byte, 4)
		calls := []waiter{holds, a.wait(unix.SYS_RECVFROM, func() string {
			n, _, err := unix.Recvfrom(c.ends[1].fd, part, 0)
			return result(n, err)
		})}
		for _, text := range []string{"AAAAAAAA", "BBBBBBBB"} {
			calls = append(calls, a.wait(unix.SYS_SENDMSG, func() string {
				return result(unix.SendmsgN(c.ends[0].fd, []byte(text), nil, nil, unix.MSG_NOSIGNAL))
			}))
		}
		f.letGo()
		for i, want := range []string{"1", "4", "8", "8"} {
			if got := calls[i].then(); got != want {
				t.Fatalf("%s: call %d: %s, want %s", x, i, got, want)
			}
		}
		rest := make([]byte, 12)
		a.must(a.ends[1].read(rest))
		if got := string(part) + string(rest); got != "AAAAAAAABBBBBBBB" && got != "BBBBBBBBAAAAAAAA" {
			t.Errorf("%s: %q is heard", x, got)
		}
		x.takes(c, "two threads at once", bySocket, bySocket)
		a.swap(0, []byte("x"))
		x.takes(c, "the budget is used up, and nothing on its way", byTCP, bySocket)
		c.close()
	}
}

// TestAcceleratedMessagesBound: as many threads as there are, each with a message on its way
// to a reader whose lock is kept, get no more than two budgets.
func TestAcceleratedMessagesBound(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	testutil.Needs(t, testutil.PageFault)
	x := newHalf(newHost(t), 1, true, "a", "b")
	c := x.connect(ways()[0])
	a := &scene{t: t, half: x, ends: c.ends}
	f := newFault(t)
	holds := a.wait(unix.SYS_SENDTO, func() string { return result(1, unix.Send(c.ends[1].fd, f.page[:1], unix.MSG_NOSIGNAL)) })
	f.awaitTouch()
	const threads, size, most = 200, 1 << 10, 2 * 64 << 10
	var calls [threads]waiter
	for i := range calls {
		calls[i] = a.wait(unix.SYS_SENDMSG, func() string {
			return result(unix.SendmsgN(c.ends[0].fd, make([]byte, size), nil, nil, unix.MSG_NOSIGNAL))
		})
	}
	f.letGo()
	for i, w := range calls {
		if got := w.then(); got != strconv.Itoa(size) {
			t.Fatalf("thread %d: %s", i, got)
		}
	}
	holds.then()
	a.must(a.ends[1].read(make([]byte, threads*size)))
	x.takes(c, "all is read", byTCP, bySocket)
	for _, f := range x.flows() {
		if n, err := strconv.Atoi(f.bytes); err != nil || n > most {
			t.Errorf("from %s %s bytes went by the socket, at most %d may be unread", f.from, f.bytes, most)
		}
	}
}
