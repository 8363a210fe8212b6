// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newDice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 3)) }

// The same two ports talk again and again, as soon as they can; some earlier ends are
// still open, with unread bytes, when the next begin.
func tortureSamePorts(x *half, w way, seed uint64) (string, error) {
	const port = 40000
	l := x.listen(w, 0)
	defer l.close()
	var stale []func()
	defer func() {
		for _, f := range stale {
			f()
		}
	}()
	for i := range scaled(40) {
		c := x.again(l, port)
		k := newWalker(c, seed<<16+uint64(i))
		if err := k.walk(k.dice.IntN(30)); err != nil {
			return "", fmt.Errorf("connection %d: %w", i, err)
		}
		switch i % 8 {
		case 0: // long enough for the next to be enrolled, too
			for range 10 {
				if err := k.say(0, 1); err != nil {
					return "", fmt.Errorf("connection %d: %w", i, err)
				}
			}
		case 1:
			x.takes(c, "same ports, "+w.name, enrolled, enrolled)
		}
		caller, answerer := c.ends[0], c.ends[1]
		switch i % 4 {
		case 0: // the caller resets, the answerer's end stays
			caller.linger(0)
			caller.close()
			stale = append(stale, answerer.close)
		case 1: // the answerer resets, the caller sees it
			answerer.linger(0)
			answerer.close()
			if err := caller.wait(0, tortureWait); err != nil {
				return "", fmt.Errorf("connection %d: no reset: %w", i, err)
			}
			caller.close()
		case 2: // all is read, and the answerer closes first: who does may not call again at once
			if err := firstError(k.hearAll(0), k.hearAll(1)); err != nil {
				return "", fmt.Errorf("connection %d: %w", i, err)
			}
			answerer.close()
			if err := caller.wait(unix.POLLRDHUP, tortureWait); err != nil {
				return "", fmt.Errorf("connection %d: no end: %w", i, err)
			}
			caller.close()
		case 3: // both reset
			c.reset()
		}
	}
	return "", nil
}

// The caller resets when the answerer has not read all. Whatever of it the answerer
// still reads is what was sent.
func tortureReset(x *half, w way, seed uint64) (string, error) {
	c := x.connect(w)
	defer c.close()
	k := newWalker(c, seed)
	for _, step := range []error{k.say(0, 1000), k.say(1, 1000), k.ends[0].wait(unix.POLLIN, tortureWait), k.ends[1].wait(unix.POLLIN, tortureWait)} {
		if step != nil {
			return "", step
		}
	}
	if err := firstError(k.hear(0, 1000), k.hear(1, 500), k.say(0, 1000), k.say(0, 3000)); err != nil {
		return "", err
	}
	x.takes(c, "before the reset, "+w.name, bySocket, bySocket)
	if err := c.ends[0].settle(); err != nil {
		return "", err
	}
	c.ends[0].linger(0)
	c.ends[0].close()
	if err := c.ends[1].wait(unix.POLLRDHUP, tortureWait); err != nil {
		return "", fmt.Errorf("no reset: %w", err)
	}
	for late := deadline(tortureWait); !late(); {
		before := k.heard[1].count
		switch err := k.hear(1, 10_000); {
		case errors.Is(err, unix.ECONNRESET), errors.Is(err, io.EOF):
			return fmt.Sprintf("%d bytes, then %v", before, err), nil
		case err != nil:
			return "", err
		}
	}
	return fmt.Sprintf("%d bytes, then nothing", k.heard[1].count), nil
}

// deadline says whether a time is over.
func deadline(after time.Duration) func() bool {
	end := time.Now().Add(after)
	return func() bool { return time.Now().After(end) }
}

// settle waits until the peer's kernel has all that was sent.
func (e end) settle() error {
	for late := deadline(tortureWait); ; runtime.Gosched() {
		switch n, err := unix.IoctlGetInt(e.fd, unix.SIOCOUTQ); {
		case err != nil:
			return err
		case n == 0:
			return nil
		case late():
			return os.ErrDeadlineExceeded
		}
	}
}

// The caller disconnects its socket and connects it to somebody else, with bytes of the
// first unread. What it hears from then on is the second's.
func tortureReuse(x *half, w way, seed uint64) (string, error) {
	caller := end{}
	for i := range uint64(6) {
		l := x.listen(w, 0)
		if i == 0 {
			caller = x.call(l, 0, 0)
		} else {
			if err := disconnect(caller.fd); err != nil {
				return "", err
			}
			caller.connect(l.at)
		}
		c := conn{[2]end{caller, l.accept()}}
		l.close()
		k := newWalker(c, seed<<16+i)
		// All that is said is heard, but for the last.
		for _, n := range []int{100, 1000, 10_000, 20_000} {
			for who := range c.ends {
				if err := firstError(k.say(who, n), k.hearAll(1-who)); err != nil {
					return "", fmt.Errorf("connection %d: %w", i, err)
				}
			}
		}
		if i == 0 {
			x.takes(c, "socket used again, "+w.name, bySocket, bySocket)
		}
		if err := firstError(k.say(1, 5000), c.ends[1].settle()); err != nil {
			return "", err
		}
		if i%2 == 1 { // some have ended when the next begins
			c.ends[1].close()
		} else {
			defer c.ends[1].close()
		}
	}
	caller.close()
	return "", nil
}

// hearAll has an end read all that the other has said.
func (k *walker) hearAll(who int) error {
	p := make([]byte, k.sent[1-who]-k.heard[who].count)
	if err := k.ends[who].read(p); err != nil {
		return err
	}
	return k.heard[who].check(p)
}

// The caller disconnects its socket, and has it listen. Who calls it then is heard, and
// nothing else.
func tortureListens(x *half, w way, seed uint64) (string, error) {
	c := x.connect(w)
	defer c.close()
	k := newWalker(c, seed)
	for who := range c.ends {
		if err := firstError(k.say(who, 1000), k.hearAll(1-who)); err != nil {
			return "", err
		}
	}
	if err := firstError(k.say(1, 5000), disconnect(c.ends[0].fd), unix.Listen(c.ends[0].fd, 10)); err != nil {
		return "", err
	}
	l := c.ends[0]
	l.at = netip.AddrPortFrom(x.in(w.caller), l.name().Port())
	for i := range uint64(3) {
		caller := x.open(1, l.at.Addr(), 0)
		caller.connect(l.at)
		now := newWalker(conn{[2]end{caller, l.accept()}}, seed+i+1)
		if err := firstError(now.walk(50), now.drain()); err != nil {
			return "", fmt.Errorf("connection %d: %w", i, err)
		}
		now.close()
	}
	return "", nil
}

// disconnect makes a socket one that is not connected.
func disconnect(fd int) error {
	to := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to)), unsafe.Sizeof(to)); errno != 0 {
		return os.NewSyscallError("disconnect", errno)
	}
	return nil
}
