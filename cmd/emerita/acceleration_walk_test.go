// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"
)

// A walker drives both ends of a connection from one goroutine, without ever waiting:
// its order of writes and reads is the seed's, whatever the machine does. It goes by the
// bounds of what may be under way at once, of bytes and of messages.
type walker struct {
	conn
	dice  *rand.Rand
	said  [2]*rand.ChaCha8
	heard [2]*checker // by
	sent  [2]int
	held  [2][]byte // drawn of said, and not yet taken by the socket
	buf   []byte
	more  bool // some messages say that there will be more at once (MSG_MORE), and are kept for it
}

func newWalker(c conn, seed uint64) *walker {
	return &walker{
		conn: c, dice: rand.New(rand.NewPCG(seed, 0)),
		said:  [2]*rand.ChaCha8{says(seed), says(^seed)},
		heard: [2]*checker{newChecker(^seed), newChecker(seed)},
		buf:   make([]byte, 1<<18),
	}
}

func tortureWalk(x *half, w way, seed uint64) (string, error) {
	l := x.listen(w, 0)
	defer l.close()
	for i := range uint64(scaled(40)) {
		k := newWalker(x.again(l, 0), seed<<16+i)
		k.more = i%2 == 0
		err := k.walk(200)
		if i == 0 {
			x.takes(k.conn, "random walk, "+w.name, enrolled, enrolled)
		}
		err = firstError(err, k.drain())
		k.close()
		if err != nil {
			return "", fmt.Errorf("walk %d: %w", i, err)
		}
	}
	return "", nil
}

// walk takes so many steps. Some walkers write little and often, some much; some read
// all, others leave some.
func (k *walker) walk(steps int) error {
	write, read := upTo(1+k.dice.IntN(18)), upTo(1+k.dice.IntN(18))
	writes := 2 + k.dice.IntN(6) // of ten steps
	for range steps {
		who := k.dice.IntN(2)
		var err error
		switch step := k.dice.IntN(10); {
		case step == 0: // all that is there
			err = k.hear(who, len(k.buf))
		case step == 1: // a burst about the bound of messages
			for range 100 + k.dice.IntN(60) {
				err = firstError(err, k.say(who, 1+k.dice.IntN(3)))
			}
		case step == 2: // a piece about the bound of bytes
			err = k.say(who, 64<<10-100+k.dice.IntN(200))
		case step < 2+writes:
			err = k.say(who, write(k.dice))
		default:
			err = k.hear(who, read(k.dice))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// say has an end write as much as it can of so many bytes, in one message of some pieces.
func (k *walker) say(who, n int) error {
	if lack := n - len(k.held[who]); lack > 0 {
		k.held[who] = slices.Grow(k.held[who], lack)[:n]
		_, _ = k.said[who].Read(k.held[who][n-lack:])
	}
	p := k.held[who][:n]
	pieces := [][]byte{p}
	if cut := k.dice.IntN(n + 1); k.dice.IntN(3) == 0 {
		pieces = [][]byte{p[:cut/2], p[cut/2 : cut], p[cut:]}
	}
	flags := unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if k.more && k.dice.IntN(8) == 0 {
		flags |= unix.MSG_MORE
	}
	took, err := unix.SendmsgBuffers(k.ends[who].fd, pieces, nil, nil, flags)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end %d says %d bytes: %w", who, n, err)
	}
	k.sent[who] += took
	k.held[who] = k.held[who][took:]
	return nil
}

// hear has an end read what there is, so many bytes at most.
func (k *walker) hear(who, n int) error {
	got, _, err := unix.Recvfrom(k.ends[who].fd, k.buf[:n], unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end %d hears: %w", who, err)
	}
	if got == 0 {
		return io.EOF
	}
	if err := k.heard[who].check(k.buf[:got]); err != nil {
		more, _, _ := unix.Recvfrom(k.ends[who].fd, k.buf[got:], unix.MSG_DONTWAIT)
		return fmt.Errorf("end %d hears: %w, then %d bytes: %x", who, err, more, k.buf[got:][:max(0, min(more, 32))])
	}
	return nil
}

// drain ends the walk: what was said is heard.
func (k *walker) drain() error {
	for _, e := range k.ends {
		if err := unix.Shutdown(e.fd, unix.SHUT_WR); err != nil {
			return err
		}
	}
	for who, e := range k.ends {
		for {
			if err := e.wait(unix.POLLIN, tortureWait); err != nil {
				return fmt.Errorf("end %d hears %d bytes of %d: %w", who, k.heard[who].count, k.sent[1-who], err)
			}
			err := k.hear(who, len(k.buf))
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		if k.heard[who].count != k.sent[1-who] {
			return fmt.Errorf("end %d hears %d bytes of %d", who, k.heard[who].count, k.sent[1-who])
		}
	}
	return nil
}

// read fills p. It waits in poll: a blocking read may end without anything.
func (e end) read(p []byte) error {
	for len(p) > 0 {
		if err := e.wait(unix.POLLIN, tortureWait); err != nil {
			return fmt.Errorf("%d bytes are missing: %w", len(p), err)
		}
		n, _, err := unix.Recvfrom(e.fd, p, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			p = p[n:]
		}
	}
	return nil
}
