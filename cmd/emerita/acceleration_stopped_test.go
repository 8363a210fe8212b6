// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// What may be under way by the socket in one direction, beside what TCP takes.
const (
	accelerationBytes    = 64 << 10
	accelerationMessages = 64
)

// onePacket is what plain TCP itself takes more or less of from run to run: the last
// packet before the window closes is cut or is not, and packets are of 64 KiB at most.
const onePacket = 64 << 10

// TestStoppedReader has writers write until no more is taken from them, to readers that
// do not read. What is taken is what TCP takes, and what may be under way by the socket.
// Then the readers wake, and all of it comes.
func TestStoppedReader(t *testing.T) {
	t.Parallel()
	halves := newHalves(t)
	for _, test := range []struct {
		write, room int // the room in a socket is less where it takes many writes to fill
	}{{1, 4 << 10}, {1 << 10, 64 << 10}, {64 << 10, 128 << 10}, {128 << 10, 128 << 10}} {
		for _, who := range []struct {
			name    string
			writers []int
		}{{"the caller", []int{0}}, {"the answerer", []int{1}}, {"both", []int{0, 1}}} {
			for _, talked := range []bool{false, true} {
				name := fmt.Sprintf("writes of %d bytes by %s, talked before: %t", test.write, who.name, talked)
				// What plain TCP takes is not always the same: about what the writer's
				// buffer and the reader's have room for, each of twice what is set.
				plain := stopped(t, halves[0], name, test.write, test.room, who.writers, talked)
				most := [2]int{max(plain[0], 4*test.room), max(plain[1], 4*test.room)}
				took := stopped(t, halves[1], name, test.write, test.room, who.writers, talked)
				t.Logf("%s: %v bytes, by plain TCP %v", name, took, plain)
				more := onePacket + min(accelerationBytes, accelerationMessages*test.write)
				for _, i := range who.writers {
					if took[i] > most[i]+more {
						t.Errorf("%s: end %d: %d bytes are taken, by plain TCP %d, or %d", name, i, took[i], plain[i], most[i])
					}
				}
			}
		}
	}
}

// stopped returns how much each end's socket has taken.
func stopped(t *testing.T, x *half, name string, write, room int, writers []int, talked bool) [2]int {
	t.Helper()
	// A socket whose buffer is set does not tune it by itself. The value is doubled.
	c := x.connect(ways()[0], option{unix.SOL_SOCKET, unix.SO_SNDBUF, room}, option{unix.SOL_SOCKET, unix.SO_RCVBUF, room})
	defer c.close()
	k := newWalker(c, *tortureSeed)
	if talked {
		for range 3 {
			for who := range c.ends {
				if err := firstError(k.say(who, 100), k.hearAll(1-who)); err != nil {
					t.Fatal(err)
				}
			}
		}
		x.takes(c, name+", before", bySocket, bySocket)
	} else {
		x.takes(c, name+", before", idle, idle)
	}
	before := k.sent
	var fds []unix.PollFd
	for _, who := range writers {
		fds = append(fds, unix.PollFd{Fd: int32(c.ends[who].fd), Events: unix.POLLOUT})
	}
	for took := true; took; {
		took = false
		for _, who := range writers {
			sent := k.sent[who]
			if err := k.say(who, write); err != nil {
				t.Fatalf("%s, %s: %v", name, x, err)
			}
			took = took || k.sent[who] > sent
			if k.sent[who] > 100*room {
				t.Fatalf("%s, %s: %d bytes are taken, and more would be", name, x, k.sent[who])
			}
		}
		if !took { // what is under way may make room still
			n, err := unix.Poll(fds, int(silence.Milliseconds()))
			took = n > 0 || errors.Is(err, unix.EINTR)
		}
	}
	x.takes(c, name+", full", enrolled, enrolled)
	took := [2]int{k.sent[0] - before[0], k.sent[1] - before[1]}
	if err := k.drain(); err != nil {
		t.Errorf("%s, %s: when the reader wakes: %v", name, x, err)
	}
	return took
}
