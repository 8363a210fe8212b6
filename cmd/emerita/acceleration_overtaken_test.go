// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

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

// TestAcceleratedMessagesWithdrawn: an end whose own direction has gone over to TCP hears, by
// the acknowledgement of what it sent, that it may leave the map, while a thread's message
// to it is on its way. It must stay, and have another's come from socket to socket as
// well: by TCP that would come first.
func TestAcceleratedMessagesWithdrawn(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	testutil.Needs(t, testutil.PageFault)
	x := newHalf(newHost(t), 1, true, "a", "b")
	a := x.meet()
	// What end 1 sends is more than its socket takes at once: the first part of it goes by
	// TCP, and is acknowledged, before the last byte is touched.
	a.ends[1].set(unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 16<<20)
	large := make([]byte, 4<<20)
	f, next := newFault(t), newFault(t)
	holds := a.wait(unix.SYS_SENDMSG, func() string {
		return result(unix.SendmsgBuffers(a.ends[1].fd, [][]byte{large, f.page[:1]}, nil, nil, unix.MSG_NOSIGNAL))
	})
	f.awaitTouch()
	a.must(a.ends[0].wait(unix.POLLIN, tortureWait))
	x.takes(conn{a.ends}, "the answerer has gone over", bySocket, byTCP)
	// Whoever waits for the lock has it in turn.
	again := a.wait(unix.SYS_SENDTO, func() string { return result(1, unix.Send(a.ends[1].fd, next.page[:1], unix.MSG_NOSIGNAL)) })
	part := make([]byte, 4)
	calls := []waiter{holds, again, a.hearsPart(part), a.says("AAAAAAAA")}
	f.letGo()
	next.awaitTouch()
	calls = append(calls, a.says("BBBBBBBB"))
	next.letGo()
	for i, want := range []string{strconv.Itoa(len(large) + 1), "1", "4", "8", "8"} {
		if got := calls[i].then(); got != want {
			t.Fatalf("call %d: %s, want %s", i, got, want)
		}
	}
	a.hearsBoth(part)
	x.takes(conn{a.ends}, "all is heard", bySocket, byTCP)
}
