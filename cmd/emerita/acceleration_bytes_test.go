// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tortureSeed is that of the first case. All that is random follows from it.
var tortureSeed = flag.Uint64("seed", 20261126, "of what the tests of acceleration draw by lot")

// A torture is something that a byte stream must survive. It compares every byte with
// what was sent; the outcome is what an application sees beyond that.
type torture struct {
	name string
	run  func(x *half, w way, seed uint64) (outcome string, err error)
}

func tortures() []torture {
	return []torture{
		{"both at once, writes of any size", tortureSizes},
		{"in turns", tortureTurns},
		{"half close", tortureHalfClose},
		{"slow reader", tortureSlowReader},
		{"sendfile", tortureSendfile},
		{"random walk", tortureWalk},
		{"two writers", tortureTwoWriters},
		{"same ports again and again", tortureSamePorts},
		{"reset with unread bytes", tortureReset},
		{"socket used again", tortureReuse},
		{"socket that listens afterwards", tortureListens},
		{"error queue", tortureErrorQueue},
		{"said before accept", tortureBeforeAccept},
		{"deferred accept", tortureDeferAccept},
		{"SYN cookies", tortureCookies},
		{"Fast Open", tortureFastOpen},
		{"simultaneous open", tortureSimultaneous},
		{"MPTCP", tortureMPTCP},
		{"redirected by a firewall", tortureRedirected},
	}
}

// TestAcceleratedBytes has the same said by plain TCP and by what is accelerated: the
// same bytes come in the same order, and the connections end in the same way, but for
// what is documented.
func TestAcceleratedBytes(t *testing.T) {
	t.Parallel()
	halves := newHalves(t)
	resting := rest(t, halves)
	for i, test := range tortures() {
		for j, w := range ways()[:scaled(len(ways()))] {
			seed := *tortureSeed + uint64(100*i+j)
			name := fmt.Sprintf("%s, %s (seed %d)", test.name, w.name, seed)
			var outcomes [2]string
			for side, x := range halves {
				outcome, err := test.run(x, w, seed)
				if err != nil {
					t.Errorf("%s, %s: %v", name, x, err)
				}
				outcomes[side] = outcome
			}
			if outcomes[0] != outcomes[1] {
				t.Errorf("%s: %q, by plain TCP %q", name, outcomes[1], outcomes[0])
			}
		}
	}
	for side, x := range halves {
		if err := manyFlows(x, *tortureSeed-1); err != nil {
			t.Errorf("many flows (seed %d), %s: %v", *tortureSeed-1, x, err)
		}
		resting[side].resume(x)
	}
	var left []flow
	for late := deadline(tortureWait); !late(); {
		if left = halves[0].flows(); left == nil { // some take leave of each other still
			return
		}
	}
	t.Errorf("still enrolled: %v", left)
}

// A rester is a connection on which nothing is said while all else is.
type rester struct {
	conn
	*dialogue
}

func rest(t *testing.T, halves [2]*half) (out [2]rester) {
	t.Helper()
	for i, x := range halves {
		c := x.connect(ways()[0])
		out[i] = rester{c, newDialogue(c, *tortureSeed-2)}
		x.takes(c, "before the first byte", idle, idle)
		if err := out[i].turns(10, upTo(14)); err != nil {
			t.Errorf("before the rest, %s: %v", x, err)
		}
		x.takes(c, "before the rest", bySocket, bySocket)
	}
	return out
}

func (r rester) resume(x *half) {
	x.t.Helper()
	x.takes(r.conn, "after the rest", bySocket, bySocket)
	for _, c := range r.conns {
		_ = c.SetDeadline(time.Now().Add(2 * tortureWait))
	}
	if err := r.turns(10, upTo(14)); err != nil {
		x.t.Errorf("after the rest, %s: %v", x, err)
	}
	x.takes(r.conn, "after the rest, in turns", bySocket, bySocket)
	if err := r.both(scaled(4<<20), upTo(20), upTo(17)); err != nil {
		x.t.Errorf("after the rest, both at once, %s: %v", x, err)
	}
	x.takes(r.conn, "after both at once", enrolled, enrolled)
	if err := r.finish(); err != nil {
		x.t.Errorf("after the rest, %s: %v", x, err)
	}
}

func tortureSizes(x *half, w way, seed uint64) (string, error) {
	c := x.connect(w)
	k := newDialogue(c, seed)
	defer k.close()
	if err := k.both(scaled(3<<20), upTo(20), upTo(17)); err != nil {
		return "", err
	}
	x.takes(c, "both at once, "+w.name, enrolled, enrolled)
	return "", k.finish()
}

func tortureTurns(x *half, w way, seed uint64) (string, error) {
	c := x.connect(w)
	k := newDialogue(c, seed)
	defer k.close()
	if err := k.turns(scaled(500), upTo(15)); err != nil {
		return "", err
	}
	x.takes(c, "in turns, "+w.name, bySocket, bySocket)
	return "", k.finish()
}

// An end that has said all it has still hears: the answer is given when the end of the
// question has come.
func tortureHalfClose(x *half, w way, seed uint64) (string, error) {
	for i, size := range []int{0, 1, 10_000, 60_000, 1 << 20} {
		c := x.connect(w)
		k := newDialogue(c, seed+uint64(i))
		heard := make(chan error, 1)
		go func() { heard <- k.hear(1, size, upTo(17), k.dice) }()
		asking := k.say(0, size, upTo(20), newDice(seed))
		if err := firstError(asking, k.conns[0].CloseWrite(), <-heard); err != nil {
			return "", fmt.Errorf("question of %d bytes: %w", size, err)
		}
		if n, err := k.conns[1].Read(make([]byte, 1)); n != 0 || err == nil {
			return "", fmt.Errorf("after a question of %d bytes: %d more, %w", size, n, err)
		}
		go func() { heard <- k.hear(0, size, upTo(17), k.dice) }()
		answering := k.say(1, size, upTo(20), newDice(seed))
		if err := firstError(answering, k.conns[1].Close(), <-heard); err != nil {
			return "", fmt.Errorf("answer of %d bytes: %w", size, err)
		}
		if n, err := k.conns[0].Read(make([]byte, 1)); n != 0 || err == nil {
			return "", fmt.Errorf("after an answer of %d bytes: %d more, %w", size, n, err)
		}
		k.close()
	}
	return "", nil
}

// The reader reads so little at a time that the writer is always ahead.
func tortureSlowReader(x *half, w way, seed uint64) (string, error) {
	c := x.connect(w)
	k := newDialogue(c, seed)
	defer k.close()
	if err := k.both(scaled(512<<10), upTo(17), upTo(8)); err != nil {
		return "", err
	}
	x.takes(c, "slow reader, "+w.name, enrolled, enrolled)
	return "", k.finish()
}

// A file is sent by the kernel itself, in pieces of any size and in turns with what is
// said.
func tortureSendfile(x *half, w way, seed uint64) (string, error) {
	file, err := os.CreateTemp(x.t.TempDir(), "sendfile")
	if err != nil {
		return "", err
	}
	defer file.Close()
	c := x.connect(w)
	k := newDialogue(c, seed)
	defer k.close()
	for i := range scaled(60) {
		size := upTo(15)
		if i > 40 {
			size = upTo(20) // more than anybody holds back
		}
		buf := make([]byte, size(k.dice))
		_, _ = k.said[0].Read(buf)
		if _, err := file.WriteAt(buf, 0); err != nil {
			return "", err
		}
		heard := make(chan error, 1)
		go func() { heard <- k.hear(1, len(buf), upTo(17), newDice(seed)) }()
		if err := firstError(sendFile(k, file, len(buf)), <-heard, k.say(1, 10, upTo(4), k.dice), k.hear(0, 10, upTo(4), k.dice)); err != nil {
			return "", err
		}
		if i == 40 {
			x.takes(c, "sendfile, "+w.name, bySocket, bySocket)
		}
	}
	return "", k.finish()
}

func sendFile(k *dialogue, file *os.File, n int) error {
	raw, err := k.conns[0].SyscallConn()
	if err != nil {
		return err
	}
	var offset int64
	cerr := raw.Write(func(fd uintptr) bool {
		for offset < int64(n) {
			_, err = unix.Sendfile(int(fd), int(file.Fd()), &offset, n-int(offset))
			if err != nil {
				return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
			}
		}
		return true
	})
	return firstError(cerr, err)
}
