// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Ready is what a server writes when a client may come.
type Ready struct {
	Port uint16 `json:"port"`
}

// Serve is the server of one sample: it writes a Ready and then, if it is the one
// that measures, a Result. Others serve until they are killed. Its sockets are
// closed by the end of the process.
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
		res, err = receiveStreams(fd, s)
	case Datagrams:
		res, err = receiveDatagrams(fd, s)
	case Batches:
		res, err = receiveBatches(fd, s)
	case Turns:
		return answerTurns(fd, s)
	case UDPTurns:
		return answerDatagrams(fd, s)
	case Connections:
		return answerConnections(fd)
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

// receiveStreams adds up what arrives by all flows.
func receiveStreams(listener int, s Spec) (Result, error) {
	rates, errs := make([]float64, s.Flows), make([]error, s.Flows)
	var wg sync.WaitGroup
	for i := range s.Flows {
		fd, err := accept(listener)
		if err != nil {
			return Result{}, err
		}
		wg.Go(func() {
			if errs[i] = pin(s.CPU); errs[i] == nil {
				rates[i], errs[i] = receiveStream(fd, s)
			}
		})
	}
	wg.Wait()
	var res Result
	for _, rate := range rates {
		res.Rate += rate * 8 / 1e9
	}
	return res, errors.Join(errs...)
}

// receiveStream returns bytes a second. It leaves the connection open: a flow
// that ends early would leave more room to the others.
func receiveStream(fd int, s Spec) (float64, error) {
	buf := make([]byte, 256<<10)
	var w *window
	for {
		n, err := read(fd, buf)
		if err != nil {
			return 0, fmt.Errorf("receive: %w", err)
		}
		if n == 0 {
			return 0, errors.New("receive: the stream ended before the window")
		}
		now := time.Now()
		if w == nil {
			w = newWindow(s, now)
		}
		if w.add(int64(n), now) {
			return w.perSecond(now), nil
		}
	}
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

// answerTurns sends back what one client sends, until it closes.
func answerTurns(listener int, s Spec) error {
	fd, err := accept(listener)
	if err != nil {
		return err
	}
	buf := make([]byte, s.Size)
	for {
		n, err := read(fd, buf)
		if err != nil || n == 0 {
			return nil // the client is done, or says why not
		}
		if _, err := write(fd, buf[:n]); err != nil {
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
func answerConnections(listener int) error {
	buf := make([]byte, 1)
	for {
		fd, err := accept(listener)
		if err != nil {
			return err
		}
		if err := readFull(fd, buf); err != nil {
			return fmt.Errorf("read the byte of a connection: %w", err)
		}
		if _, err := write(fd, buf); err != nil {
			return fmt.Errorf("answer on a connection: %w", err)
		}
		// The client closes first, and keeps the TIME_WAIT.
		if _, err := read(fd, buf); err != nil {
			return fmt.Errorf("wait for the end of a connection: %w", err)
		}
		unix.Close(fd)
	}
}
