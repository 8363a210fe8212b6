// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// An opener connects or accepts the next socket.
type opener func(Spec) (int, error)

// receiveStreams counts what arrives by all flows in one window: each in its own would
// leave out that one waits while others have its share.
func receiveStreams(s Spec, open opener) (Result, error) {
	var received atomic.Int64
	ended := make(chan error, s.Flows)
	for range s.Flows {
		fd, err := open(s)
		if err != nil {
			return Result{}, err
		}
		go func() { ended <- receive(fd, s, &received) }()
	}
	count := func(after time.Duration) (int64, time.Time, error) {
		select {
		case err := <-ended:
			return 0, time.Time{}, err
		case <-time.After(after):
			return received.Load(), time.Now(), nil
		}
	}
	before, from, err := count(s.WarmUp)
	if err != nil {
		return Result{}, err
	}
	after, to, err := count(s.Window)
	if err != nil {
		return Result{}, err
	}
	if after == before {
		return Result{}, errors.New("receive: nothing came in the window")
	}
	return Result{Rate: float64(after-before) * 8 / 1e9 / to.Sub(from).Seconds()}, nil
}

// receive counts what arrives by one flow, for ever. What it returns is why it ended.
func receive(fd int, s Spec, received *atomic.Int64) error {
	if err := pin(s.CPU); err != nil {
		return err
	}
	for buf := make([]byte, 256<<10); ; {
		n, err := read(fd, buf)
		switch {
		case errors.Is(err, unix.EAGAIN): // others have its share
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case n == 0:
			return errors.New("receive: the stream ended before the window")
		default:
			received.Add(int64(n))
		}
	}
}

// sendStreams sends until the receiver ends, and tells what was sent again after the
// warm-up.
func sendStreams(s Spec, open opener) (Result, error) {
	sent, errs := make([]segments, s.Flows), make([]error, s.Flows)
	var wg sync.WaitGroup
	for i := range s.Flows {
		fd, err := open(s)
		if err != nil {
			return Result{}, err
		}
		wg.Go(func() {
			if errs[i] = pin(s.CPU); errs[i] == nil {
				sent[i], errs[i] = sendStream(fd, s)
			}
		})
	}
	wg.Wait()
	return Result{Resent: resent(sent)}, errors.Join(errs...)
}

// sendStream returns what one flow has sent after the warm-up.
func sendStream(fd int, s Spec) (segments, error) {
	var before segments
	warm := time.Now().Add(s.WarmUp)
	err := send(fd, s, func(now time.Time) (err error) {
		if before == (segments{}) && now.After(warm) {
			before, err = segmentsOf(fd)
		}
		return err
	})
	if err != nil {
		return segments{}, err
	}
	after, err := segmentsOf(fd)
	return segments{after.all - before.all, after.again - before.again}, err
}

// segments are those with data that a socket has sent.
type segments struct {
	all, again uint32
}

// segmentsOf asks the kernel, which still answers when the other side has ended the
// connection.
func segmentsOf(fd int) (segments, error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return segments{}, fmt.Errorf("ask for what was sent: %w", err)
	}
	return segments{info.Data_segs_out, info.Total_retrans}, nil
}

// resent is the share of what was sent again.
func resent(sent []segments) float64 {
	var all, again uint64
	for _, s := range sent {
		all, again = all+uint64(s.all), again+uint64(s.again)
	}
	if all == 0 {
		return 0
	}
	return float64(again) / float64(all)
}
