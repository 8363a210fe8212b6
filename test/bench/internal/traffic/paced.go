// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long after the last request an answer still counts.
const grace = 200 * time.Millisecond

// pace sends requests at their times whatever becomes of them: one that waits long must
// not keep the next from waiting as well. Each has its number in its first bytes.
func pace(s Spec) (Result, error) {
	fd, err := connect(s)
	if err != nil {
		return Result{}, err
	}
	if s.Size < 8 || s.Interval <= 0 {
		return Result{}, fmt.Errorf("requests of %d bytes each %v: no room for a number, or for time", s.Size, s.Interval)
	}
	warm, all := int(s.WarmUp/s.Interval), int((s.WarmUp+s.Window)/s.Interval)
	sent, took := make([]time.Time, all), make([]time.Duration, all)
	begin := time.Now()
	for i := range all {
		if err := collect(fd, begin.Add(time.Duration(i)*s.Interval), sent, took); err != nil {
			return Result{}, err
		}
		request := make([]byte, s.Size)
		binary.BigEndian.PutUint64(request, uint64(i))
		sent[i] = time.Now()
		if _, err := write(fd, request); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return Result{}, fmt.Errorf("send request: %w", err)
		}
	}
	if err := collect(fd, time.Now().Add(grace), sent, took); err != nil {
		return Result{}, err
	}
	return pacedOf(took[warm:])
}

// pacedOf summarises what answers took, zero for what had none.
func pacedOf(took []time.Duration) (Result, error) {
	var answered []time.Duration
	for _, d := range took {
		if d > 0 {
			answered = append(answered, d)
		}
	}
	r, err := turnsOf(answered)
	if err != nil {
		return Result{}, err
	}
	r.Lost = 1 - float64(len(answered))/float64(len(took))
	return r, nil
}

// collect takes answers until then.
func collect(fd int, until time.Time, sent []time.Time, took []time.Duration) error {
	buf := make([]byte, 64<<10)
	for {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		timeout := unix.NsecToTimespec(left.Nanoseconds())
		n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &timeout, nil)
		if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for an answer: %w", err)
		}
		n, err = read(fd, buf)
		now := time.Now()
		if err != nil {
			return fmt.Errorf("read an answer: %w", err)
		}
		if n < 8 {
			return fmt.Errorf("read an answer: %d bytes are no request's", n)
		}
		if i := binary.BigEndian.Uint64(buf); i < uint64(len(sent)) && took[i] == 0 && !sent[i].IsZero() {
			took[i] = now.Sub(sent[i])
		}
	}
}

// echo sends every request back to where it came from.
func echo(fd int, s Spec) error {
	buf := make([]byte, s.Size)
	for {
		n, peer, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return fmt.Errorf("receive a request: %w", err)
		}
		if err := unix.Sendto(fd, buf[:n], 0, peer); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("answer a request: %w", err)
		}
	}
}
