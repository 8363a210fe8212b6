// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"

	"golang.org/x/sys/unix"
)

// Two threads write records to one socket. Each record comes whole, and those of each
// thread in order: a write of less than there is room for is one. The other side says
// what it has read, and no more is under way than has room.
func tortureTwoWriters(x *half, w way, seed uint64) (string, error) {
	const writers, window = 2, 16
	records := scaled(2000)
	c := x.connect(w, option{unix.SOL_SOCKET, unix.SO_SNDBUF, 200_000})
	room := make(chan struct{}, window)
	failed := make(chan error, writers+1)
	over := make(chan struct{})
	var working sync.WaitGroup
	defer func() { // nobody may use the number of a socket that is closed: it is the next one's
		close(over)
		for _, e := range c.ends {
			_ = unix.Shutdown(e.fd, unix.SHUT_RDWR)
		}
		working.Wait()
		c.close()
	}()
	for id := range writers {
		working.Go(func() {
			dice := rand.New(rand.NewPCG(seed, uint64(id)))
			for i := range records {
				select {
				case room <- struct{}{}:
				case <-over:
					return
				}
				p := record(id, i, dice.IntN(500))
				if n, err := unix.SendmsgN(c.ends[0].fd, p, nil, nil, unix.MSG_NOSIGNAL); n != len(p) {
					failed <- fmt.Errorf("writer %d: %d bytes of %d: %w", id, n, len(p), err)
					return
				}
			}
		})
	}
	working.Go(func() { // what has been read makes room
		var p [1]byte
		for range writers * records {
			if err := c.ends[0].read(p[:]); err != nil {
				failed <- err
				return
			}
			<-room
		}
	})
	dices := [writers]*rand.Rand{}
	for id := range dices {
		dices[id] = rand.New(rand.NewPCG(seed, uint64(id)))
	}
	var next [writers]int
	for i := range writers * records {
		head := make([]byte, recordHead)
		if err := c.ends[1].read(head); err != nil {
			return "", firstError(takeError(failed), err)
		}
		id := int(head[0])
		if id >= writers {
			return "", fmt.Errorf("record %d is of writer %d", i, id)
		}
		want := record(id, next[id], dices[id].IntN(500))
		got := append(head, make([]byte, len(want)-recordHead)...)
		if err := c.ends[1].read(got[recordHead:]); err != nil {
			return "", firstError(takeError(failed), err)
		}
		if string(got) != string(want) {
			return "", fmt.Errorf("record %d of writer %d is another: %.20x, want %.20x", next[id], id, got, want)
		}
		next[id]++
		if _, err := unix.Write(c.ends[1].fd, []byte{1}); err != nil {
			return "", err
		}
	}
	working.Wait()
	x.takes(c, "two writers, "+w.name, enrolled, enrolled)
	return "", takeError(failed)
}

const recordHead = 7

// record is a record of a writer's: who, which, how long, and a filling.
func record(id, number, size int) []byte {
	p := make([]byte, recordHead, recordHead+size)
	p[0] = byte(id)
	binary.BigEndian.PutUint32(p[1:], uint32(number))
	binary.BigEndian.PutUint16(p[5:], uint16(size))
	for i := range size {
		p = append(p, byte(i*7+number+id))
	}
	return p
}

func takeError(failed chan error) error {
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
