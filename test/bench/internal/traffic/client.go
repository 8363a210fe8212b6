// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// quiesce keeps the Go runtime out of the way of what is measured: no garbage
// collection, and a P for each goroutine that blocks in a raw system call.
func quiesce(s Spec) {
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(s.Flows + 2)
}

// Run is the client of one sample. If it is the one that measures it writes a
// Result; else it returns when the server has had enough, if it sent streams with a
// Result of what it sent again. Its sockets are closed by the end of the process.
func Run(s Spec, out io.Writer) error {
	quiesce(s)
	if err := pin(s.CPU); err != nil {
		return err
	}
	var res Result
	var err error
	switch s.Kind {
	case Stream:
		res, err = sendStreams(s, connect)
	case Download:
		res, err = receiveStreams(s, connect)
	case Paced:
		res, err = pace(s)
	case Datagrams, Batches:
		return sendDatagrams(s)
	case Turns, UDPTurns:
		res, err = takeTurns(s)
	case Connections:
		res, err = makeConnections(s)
	case Stopped:
		res, err = push(s)
	default:
		return fmt.Errorf("traffic %q: unknown", s.Kind)
	}
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(res); err != nil {
		return fmt.Errorf("tell the result: %w", err)
	}
	return nil
}

func sendDatagrams(s Spec) error {
	fd, err := connect(s)
	if err != nil {
		return err
	}
	if s.Kind == Batches {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, s.Size/batch); err != nil {
			return fmt.Errorf("send batches: %w", err)
		}
	}
	return send(fd, s, nil)
}

// batch is the most datagrams in a call, on kernels before 6.10.
const batch = 64

// send writes until the server ends, or is overdue. After each call it says so to
// between, unless that is nil.
func send(fd int, s Spec, between func(now time.Time) error) error {
	buf := make([]byte, s.Size)
	overdue := time.Now().Add(s.WarmUp + s.Window + patience*time.Second)
	for now := time.Now(); now.Before(overdue); now = time.Now() {
		switch _, err := write(fd, buf); {
		case err == nil, errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN): // EAGAIN: other streams have its share
		case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNREFUSED):
			return nil // the server has gone
		default:
			return fmt.Errorf("send: %w", err)
		}
		if between != nil {
			if err := between(now); err != nil {
				return err
			}
		}
	}
	return errors.New("send: the server does not end")
}

func takeTurns(s Spec) (Result, error) {
	fd, err := connect(s)
	if err != nil {
		return Result{}, err
	}
	request, response := make([]byte, s.Size), make([]byte, s.response())
	turns := make([]time.Duration, 0, 1<<19) // at 1 µs, more than half a second
	all := 0
	for w, before := newWindow(s, time.Now()), time.Now(); ; all++ {
		if err := writeFull(fd, request); err != nil {
			return Result{}, fmt.Errorf("send request: %w", err)
		}
		if err := readFull(fd, response); err != nil {
			return Result{}, fmt.Errorf("wait for response: %w", err)
		}
		now := time.Now()
		over := w.add(1, now)
		if w.count > 0 && len(turns) < cap(turns) {
			turns = append(turns, now.Sub(before))
		}
		if over {
			return directTurnsOf(fd, s, turns, all+1)
		}
		before = now
	}
}

// directTurnsOf summarises turns, and over TCP tells how many requests the kernel did not
// send: they went from socket to socket.
func directTurnsOf(fd int, s Spec, turns []time.Duration, all int) (Result, error) {
	r, err := turnsOf(turns)
	if err != nil || s.Kind != Turns {
		return r, err
	}
	sent, err := segmentsOf(fd)
	r.Direct = max(0, 1-float64(sent.all)/float64(all))
	return r, err
}

func makeConnections(s Spec) (Result, error) {
	buf := make([]byte, 1)
	whole, connects := make([]time.Duration, 0, 1<<16), make([]time.Duration, 0, 1<<16)
	for w := newWindow(s, time.Now()); ; {
		fd, err := socket(s)
		if err != nil {
			return Result{}, err
		}
		before := time.Now()
		if err := unix.Connect(fd, sockaddr(s.Server)); err != nil {
			return Result{}, fmt.Errorf("connect to %s: %w", s.Server, err)
		}
		connected := time.Now()
		if err := trips(fd, max(s.Trips, 1), buf); err != nil {
			return Result{}, err
		}
		unix.Close(fd)
		now := time.Now()
		over := w.add(1, now)
		if w.count > 0 && len(whole) < cap(whole) {
			whole, connects = append(whole, now.Sub(before)), append(connects, connected.Sub(before))
		}
		if over {
			return connectionsOf(whole, connects, w.perSecond(now))
		}
	}
}

// trips sends a byte and waits for its answer, n times.
func trips(fd, n int, buf []byte) error {
	for range n {
		if _, err := write(fd, buf); err != nil {
			return fmt.Errorf("send the byte of a connection: %w", err)
		}
		if err := readFull(fd, buf); err != nil {
			return fmt.Errorf("wait for the byte of a connection: %w", err)
		}
	}
	return nil
}

func connectionsOf(whole, connects []time.Duration, perSecond float64) (Result, error) {
	r, err := turnsOf(whole)
	if err != nil {
		return Result{}, err
	}
	r.Rate = perSecond / 1e3
	r.Connect50, r.Connect99, err = percentiles(connects)
	return r, err
}
