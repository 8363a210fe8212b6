// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// A Ready is what a server writes when a client may come.
type Ready struct {
	Port uint16 `json:"port"`
}

// Serve is the server of one sample: it writes a Ready and then, if it is the one
// that measures, a Result. One that sends streams writes what it sent again, when the
// client has had enough. Others serve until they are killed. Its sockets are closed by
// the end of the process.
func Serve(s Spec, out io.Writer) error {
	quiesce(s)
	if err := pin(s.CPU); err != nil {
		return err
	}
	fd, port, err := listen(s)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	if err := enc.Encode(Ready{port}); err != nil {
		return fmt.Errorf("tell the port: %w", err)
	}
	var res Result
	switch s.Kind {
	case Stream:
		res, err = receiveStreams(s, func(Spec) (int, error) { return accept(fd) })
	case Download:
		res, err = sendStreams(s, func(Spec) (int, error) { return accept(fd) })
	case Paced:
		return echo(fd, s)
	case Datagrams:
		res, err = receiveDatagrams(fd, s)
	case Batches:
		res, err = receiveBatches(fd, s)
	case Turns:
		return answerTurns(fd, s)
	case Stopped:
		return stopReading(fd, s)
	case UDPTurns:
		return answerDatagrams(fd, s)
	case Connections:
		return answerConnections(fd, s)
	default:
		return fmt.Errorf("traffic %q: unknown", s.Kind)
	}
	if err != nil {
		return err
	}
	if err := enc.Encode(res); err != nil {
		return fmt.Errorf("tell the result: %w", err)
	}
	return nil
}

func receiveDatagrams(fd int, s Spec) (Result, error) {
	buf := make([]byte, s.Size)
	var w *window
	for {
		n, err := read(fd, buf)
		if err != nil {
			return Result{}, fmt.Errorf("receive datagram: %w", err)
		}
		if n != s.Size {
			return Result{}, fmt.Errorf("receive datagram: %d bytes, want %d", n, s.Size)
		}
		now := time.Now()
		if w == nil {
			w = newWindow(s, now)
		}
		if w.add(1, now) {
			return Result{Rate: w.perSecond(now) / 1e3}, nil
		}
	}
}

// receiveBatches takes as many datagrams in a call as have come in one packet.
func receiveBatches(fd int, s Spec) (Result, error) {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
		return Result{}, fmt.Errorf("receive batches: %w", err)
	}
	buf := make([]byte, 64<<10)
	var w *window
	for {
		n, err := read(fd, buf)
		if err != nil {
			return Result{}, fmt.Errorf("receive batch: %w", err)
		}
		now := time.Now()
		if w == nil {
			w = newWindow(s, now)
		}
		if w.add(int64(n), now) {
			return Result{Rate: w.perSecond(now) * 8 / 1e9}, nil
		}
	}
}

// answerTurns answers one client's requests, until it closes.
func answerTurns(listener int, s Spec) error {
	fd, err := accept(listener)
	if err != nil {
		return err
	}
	request, response := make([]byte, s.Size), make([]byte, s.response())
	for {
		if err := readFull(fd, request); err != nil {
			return nil // the client is done, or says why not
		}
		if err := writeFull(fd, response); err != nil {
			return nil
		}
	}
}

func answerDatagrams(fd int, s Spec) error {
	buf := make([]byte, s.Size)
	_, peer, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return fmt.Errorf("receive the first request: %w", err)
	}
	if err := unix.Connect(fd, peer); err != nil {
		return fmt.Errorf("connect to the client: %w", err)
	}
	for {
		if _, err := write(fd, buf); err != nil {
			return nil // the client is done, or says why not
		}
		if _, err := read(fd, buf); err != nil {
			return nil
		}
	}
}

// answerConnections takes one connection after the other.
func answerConnections(listener int, s Spec) error {
	buf := make([]byte, 1)
	for {
		fd, err := accept(listener)
		if err != nil {
			return err
		}
		if err := answerTrips(fd, max(s.Trips, 1), buf); err != nil {
			return err
		}
		// The client closes first, and keeps the TIME_WAIT.
		if _, err := read(fd, buf); err != nil {
			return fmt.Errorf("wait for the end of a connection: %w", err)
		}
		unix.Close(fd)
	}
}

// answerTrips is the other side of trips.
func answerTrips(fd, n int, buf []byte) error {
	for range n {
		if err := readFull(fd, buf); err != nil {
			return fmt.Errorf("read the byte of a connection: %w", err)
		}
		if _, err := write(fd, buf); err != nil {
			return fmt.Errorf("answer on a connection: %w", err)
		}
	}
	return nil
}
