// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
)

// says are the bytes that follow from a seed: no part of them is like another.
func says(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.NativeEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// A checker compares what comes with what follows from a seed.
type checker struct {
	seed  uint64
	want  *rand.ChaCha8
	buf   []byte
	count int // bytes that have come
}

func newChecker(seed uint64) *checker { return &checker{seed: seed, want: says(seed)} }

func (k *checker) check(got []byte) error {
	if len(k.buf) < len(got) {
		k.buf = make([]byte, len(got))
	}
	want := k.buf[:len(got)]
	_, _ = k.want.Read(want)
	if bytes.Equal(got, want) {
		k.count += len(got)
		return nil
	}
	at := 0
	for got[at] == want[at] {
		at++
	}
	const some = 32
	return fmt.Errorf("byte %d is not what was sent%s: %x instead of %x", k.count+at, k.whence(got[at:]),
		got[at:min(at+some, len(got))], want[at:min(at+some, len(got))])
}

// whence says where in the stream bytes belong that have come at another place.
func (k *checker) whence(got []byte) string {
	const enough = 8 // to be of one place only
	if len(got) < enough {
		return ""
	}
	all := make([]byte, k.count+4<<20)
	_, _ = says(k.seed).Read(all)
	at := bytes.Index(all, got[:enough])
	if at < 0 {
		return ", and of no other place in the stream"
	}
	return fmt.Sprintf(", but byte %d", at)
}

// A dialogue is what the ends of a connection say to each other. All of it follows from a
// seed, and whoever hears it checks it.
type dialogue struct {
	conns [2]*net.TCPConn
	said  [2]*rand.ChaCha8
	heard [2]*checker // by
	dice  *rand.Rand
}

func newDialogue(c conn, seed uint64) *dialogue {
	return &dialogue{
		conns: [2]*net.TCPConn{c.ends[0].stream(), c.ends[1].stream()},
		said:  [2]*rand.ChaCha8{says(seed), says(^seed)},
		heard: [2]*checker{newChecker(^seed), newChecker(seed)},
		dice:  rand.New(rand.NewPCG(seed, 0)),
	}
}

func (k *dialogue) close() {
	for _, c := range k.conns {
		c.Close()
	}
}

// sizes are of writes and reads: as many small ones as large.
type sizes func(*rand.Rand) int

// upTo makes sizes from 1 to a power of two less one.
func upTo(bits int) sizes {
	return func(r *rand.Rand) int {
		n := 1 << r.IntN(bits)
		return n + r.IntN(n)
	}
}

// say has an end write so many bytes, in pieces.
func (k *dialogue) say(who, n int, size sizes, dice *rand.Rand) error {
	buf := make([]byte, min(n, 1<<20))
	for n > 0 {
		p := buf[:min(n, size(dice), len(buf))]
		_, _ = k.said[who].Read(p)
		if _, err := k.conns[who].Write(p); err != nil {
			return err
		}
		n -= len(p)
	}
	return nil
}

// hear has an end read so many bytes, in pieces.
func (k *dialogue) hear(who, n int, size sizes, dice *rand.Rand) error {
	buf := make([]byte, min(n, 1<<20))
	for n > 0 {
		got, err := k.conns[who].Read(buf[:min(n, size(dice), len(buf))])
		if err := k.heard[who].check(buf[:got]); err != nil {
			return err
		}
		n -= got
		if err != nil && n > 0 {
			return fmt.Errorf("after %d bytes: %w", k.heard[who].count, err)
		}
	}
	return nil
}

// turns has the ends talk in turns: one says something when it has heard all that the
// other has said. This is what stays accelerated.
func (k *dialogue) turns(rounds int, size sizes) error {
	for range rounds {
		for who := range k.conns {
			n := size(k.dice)
			if err := k.say(who, n, size, k.dice); err != nil {
				return fmt.Errorf("end %d says: %w", who, err)
			}
			if err := k.hear(1-who, n, size, k.dice); err != nil {
				return fmt.Errorf("end %d hears: %w", 1-who, err)
			}
		}
	}
	return nil
}

// both has the ends say so many bytes at once, while both listen.
func (k *dialogue) both(n int, write, read sizes) error {
	done := make(chan error)
	for who := range k.conns {
		one, two := rand.New(rand.NewPCG(k.dice.Uint64(), 1)), rand.New(rand.NewPCG(k.dice.Uint64(), 2))
		go func() { done <- named(k.say(who, n, write, one), "end %d says", who) }()
		go func() { done <- named(k.hear(who, n, read, two), "end %d hears", who) }()
	}
	var errs []error
	for range 2 * len(k.conns) {
		if err := <-done; err != nil {
			errs = append(errs, err)
			k.close() // the others would wait for ever
		}
	}
	return errors.Join(errs...)
}

func named(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// finish ends the talk: each end has nothing more to say, and the other hears that.
func (k *dialogue) finish() error {
	for who, c := range k.conns {
		if err := c.CloseWrite(); err != nil {
			return err
		}
		if n, err := k.conns[1-who].Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			return fmt.Errorf("at the end of what end %d says: %d bytes more, %w", who, n, err)
		}
	}
	k.close()
	return nil
}
