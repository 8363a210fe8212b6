// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An opener connects or accepts the next socket.
type opener func(Spec) (int, error)

// streams has one goroutine for each flow.
func streams(s Spec, open opener, each func(flow, fd int) error) error {
	errs := make([]error, s.Flows)
	var wg sync.WaitGroup
	for i := range s.Flows {
		fd, err := open(s)
		if err != nil {
			return err
		}
		wg.Go(func() {
			if errs[i] = pin(s.CPU); errs[i] == nil {
				errs[i] = each(i, fd)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// receiveStreams adds up what arrives by all flows.
func receiveStreams(s Spec, open opener) (res Result, err error) {
	rates := make([]float64, s.Flows)
	err = streams(s, open, func(flow, fd int) (err error) {
		rates[flow], err = receiveStream(fd, s)
		return err
	})
	for _, rate := range rates {
		res.Rate += rate * 8 / 1e9
	}
	return res, err
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

// sendStreams sends until the receiver ends, and tells what was sent again after the
// warm-up.
func sendStreams(s Spec, open opener) (Result, error) {
	sent := make([]segments, s.Flows)
	err := streams(s, open, func(flow, fd int) error {
		var before segments
		warm := time.Now().Add(s.WarmUp)
		err := send(fd, s, func(now time.Time) (err error) {
			if before == (segments{}) && now.After(warm) {
				before, err = segmentsOf(fd)
			}
			return err
		})
		if err != nil {
			return err
		}
		after, err := segmentsOf(fd)
		sent[flow] = segments{after.all - before.all, after.again - before.again}
		return err
	})
	return Result{Resent: resent(sent)}, err
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
