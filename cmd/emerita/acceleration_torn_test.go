// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// keepsLock has a call of end 1's process keep the lock of its socket until f lets it go.
func (a *scene) keepsLock(f *fault) waiter {
	a.t.Helper()
	w := a.wait(unix.SYS_SENDTO, func() string { return result(1, unix.Send(a.ends[1].fd, f.page[:1], unix.MSG_NOSIGNAL)) })
	f.awaitTouch()
	return w
}

// hearsPart is a blocking recv of end 1, of as much as p has room for.
func (a *scene) hearsPart(p []byte) waiter {
	a.t.Helper()
	return a.wait(unix.SYS_RECVFROM, func() string {
		n, _, err := unix.Recvfrom(a.ends[1].fd, p, 0)
		return result(n, err)
	})
}

// says has a thread of its own send by end 0.
func (a *scene) says(text string) waiter {
	a.t.Helper()
	return a.wait(unix.SYS_SENDMSG, func() string { return a.sends(text) })
}

func (a *scene) sends(text string) string {
	return result(unix.SendmsgN(a.ends[0].fd, []byte(text), nil, nil, unix.MSG_NOSIGNAL))
}

// hearsBoth is what end 1 hears of two messages of eight bytes, the first part of which was
// read before. Neither may be within the other.
func (a *scene) hearsBoth(part []byte) {
	a.t.Helper()
	rest := make([]byte, 16-len(part))
	a.must(a.ends[1].read(rest))
	if got := string(part) + string(rest); got != "AAAAAAAABBBBBBBB" && got != "BBBBBBBBAAAAAAAA" {
		a.t.Errorf("%s: %q is heard", a.half, got)
	}
}

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
		f := newFault(t)
		part := make([]byte, 4)
		calls := []waiter{a.keepsLock(f), a.hearsPart(part), a.says("AAAAAAAA"), a.says("BBBBBBBB")}
		f.letGo()
		for i, want := range []string{"1", "4", "8", "8"} {
			if got := calls[i].then(); got != want {
				t.Fatalf("%s: call %d: %s, want %s", x, i, got, want)
			}
		}
		a.hearsBoth(part)
		x.takes(c, "two threads at once", bySocket, bySocket)
		a.swap(0, []byte("x"))
		x.takes(c, "the budget is used up, and nothing on its way", byTCP, bySocket)
		c.close()
	}
}

// TestAcceleratedMessagesBound: as many threads as there are, each with a message on its way
// to a reader whose lock is kept, get no more than two budgets, with what was unread before.
func TestAcceleratedMessagesBound(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	testutil.Needs(t, testutil.PageFault)
	x := newHalf(newHost(t), 1, true, "a", "b")
	for _, test := range []struct{ unread, size, most int }{ // the first in messages
		{0, 1, 2 * accelerationMessages},
		{0, 1 << 10, 2 * accelerationBytes},
		{accelerationMessages - 1, 1, 2 * accelerationMessages},
	} {
		c := x.connect(ways()[0])
		a := &scene{t: t, half: x, ends: c.ends}
		text := string(make([]byte, test.size))
		for range test.unread {
			a.send(text)
		}
		f := newFault(t)
		holds := a.keepsLock(f)
		var calls [200]waiter
		for i := range calls {
			calls[i] = a.says(text)
		}
		f.letGo()
		for i, w := range calls {
			if got := w.then(); got != strconv.Itoa(test.size) {
				t.Fatalf("thread %d: %s", i, got)
			}
		}
		holds.then()
		a.must(a.ends[1].read(make([]byte, (test.unread+len(calls))*test.size)))
		x.takes(c, "all is read", byTCP, bySocket)
		for _, f := range x.flows() {
			if f.from != c.ends[0].at.String() {
				continue
			}
			if n, err := strconv.Atoi(f.bytes); err != nil || n > test.most {
				t.Errorf("%d unread: %s bytes went by the socket, at most %d may be unread", test.unread, f.bytes, test.most)
			}
		}
		c.close()
	}
}
