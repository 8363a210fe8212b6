// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// stream is an exchange that goes on: a client sends numbered messages and wants
// each back before the next.
type stream struct {
	client net.Conn
	closer io.Closer // the server's socket
	trips  atomic.Int64
	lost   atomic.Int64 // of udp: a later one has come back, it has not
	done   chan error
}

// streamMessage is the size of a message, bytes.
const streamMessage = 1000

// startStream starts one from a namespace to an address in another. The caller is
// locked to its thread.
func startStream(kind, from, to, addr string) (*stream, error) {
	s := &stream{done: make(chan error, 1)}
	var at string
	err := inSpace(to, func() error {
		if kind == "udp" {
			l, err := net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
			if err != nil {
				return err
			}
			s.closer, at = l, l.LocalAddr().String()
			go echoPackets(l)
			return nil
		}
		l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
		if err != nil {
			return err
		}
		s.closer, at = l, l.Addr().String()
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _ = io.Copy(c, c)
				c.Close()
			}
		}()
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = inSpace(from, func() (err error) {
		s.client, err = net.DialTimeout(kind, at, reachWait)
		return err
	})
	if err != nil {
		s.closer.Close()
		return nil, err
	}
	go func() { s.done <- s.run() }()
	return s, nil
}

func echoPackets(l net.PacketConn) {
	buf := make([]byte, 65536)
	for {
		n, peer, err := l.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = l.WriteTo(buf[:n], peer)
		}
	}
}

// pause is between two messages, so that some streams leave an emulated machine time for
// the rest of the test.
const pause = time.Millisecond

// resendAfter is long for a round trip within a machine. On a busy one what is late is
// sent once more, but not counted as lost.
const resendAfter = 50 * time.Millisecond

func (s *stream) run() error {
	if s.client.LocalAddr().Network() == "udp" {
		return s.runUDP()
	}
	out, in := pattern(streamMessage), make([]byte, streamMessage)
	for n := uint64(1); ; n++ {
		binary.BigEndian.PutUint64(out, n)
		if _, err := s.client.Write(out); err != nil {
			return err
		}
		if _, err := io.ReadFull(s.client, in); err != nil {
			return err
		}
		if got := binary.BigEndian.Uint64(in); got != n {
			return fmt.Errorf("message %d in place of %d", got, n)
		}
		s.trips.Add(1)
		time.Sleep(pause)
	}
}

func (s *stream) runUDP() error {
	out, in := pattern(streamMessage), make([]byte, 65536)
	for n, try := uint64(1), uint64(0); ; {
		binary.BigEndian.PutUint64(out, n)
		binary.BigEndian.PutUint64(out[8:], try)
		// An ICMP error is as good as nothing.
		if _, err := s.client.Write(out); errors.Is(err, net.ErrClosed) {
			return err
		}
		_ = s.client.SetReadDeadline(time.Now().Add(resendAfter))
		got, err := s.client.Read(in)
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			try++
		case got != len(out) || binary.BigEndian.Uint64(in) > n:
			return fmt.Errorf("%d bytes, message %d in place of %d", got, binary.BigEndian.Uint64(in), n)
		case binary.BigEndian.Uint64(in) == n:
			// Datagrams stay in order: the earlier tries do not come any more.
			s.lost.Add(int64(binary.BigEndian.Uint64(in[8:])))
			s.trips.Add(1)
			n, try = n+1, 0
			time.Sleep(pause)
		}
	}
}

func (s *stream) count() int64 { return s.trips.Load() }

// await waits until so many more round trips are done.
func (s *stream) await(more int) error { return s.awaitFor(more, reachWait) }

func (s *stream) awaitFor(more int, wait time.Duration) error {
	want := s.count() + int64(more)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(wait)
	for s.count() < want {
		select {
		case err := <-s.done:
			s.done <- err
			return fmt.Errorf("the stream has ended: %w", err)
		case <-late:
			return os.ErrDeadlineExceeded
		case <-tick.C:
		}
	}
	return nil
}

// stop ends the stream, and returns the error that has ended it before.
func (s *stream) stop() error {
	var err error
	select {
	case err = <-s.done:
		err = fmt.Errorf("after %d round trips: %w", s.count(), err)
		s.done <- err
	default:
	}
	s.client.Close()
	s.closer.Close()
	<-s.done
	return err
}
