// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// stuck is how long a socket must take nothing to count as stopped. A delayed
	// acknowledgement comes after 40 ms, what had to be sent again after 200.
	stuck = 350 * time.Millisecond

	// enough ends a push that nobody stops: it goes to the host's memory.
	enough = 256 << 20

	// pushTime is how long small writes may take to fill the buffers.
	pushTime = 5 * time.Second
)

// pushes are the connections of a sample, of which the one that takes most counts: by
// chance the buffers of TCP have grown when the reader stops, or not.
const pushes = 3

// push tells how much goes to a server that has stopped reading.
func push(s Spec) (Result, error) {
	most := 0
	for range pushes {
		n, err := pushOnce(s)
		if err != nil {
			return Result{}, err
		}
		most = max(most, n)
	}
	return Result{Pushed: float64(most) / 1024}, nil
}

// pushOnce takes some turns, after which the server stops reading, and then writes without
// blocking until the socket takes no more. It returns the bytes that went.
func pushOnce(s Spec) (int, error) {
	fd, err := connect(s)
	if err != nil {
		return 0, err
	}
	if err := trips(fd, s.Trips, make([]byte, 1)); err != nil {
		return 0, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return 0, fmt.Errorf("write without blocking: %w", err)
	}
	buf := make([]byte, s.Size)
	pushed := 0
	for overdue := time.Now().Add(pushTime); time.Now().Before(overdue); {
		n, err := write(fd, buf)
		switch {
		case err == nil:
			pushed += n
		case !errors.Is(err, unix.EAGAIN):
			return 0, fmt.Errorf("write to a reader that has stopped: %w", err)
		default:
			if writable, err := awaitWritable(fd); err != nil || !writable {
				return pushed, err
			}
		}
		if pushed >= enough {
			return pushed, nil
		}
	}
	return 0, fmt.Errorf("write to a reader that has stopped: %d bytes in %v, and no end", pushed, pushTime)
}

// awaitWritable tells whether a socket takes something before it counts as stopped.
func awaitWritable(fd int) (bool, error) {
	for overdue := time.Now().Add(stuck); ; {
		left := time.Until(overdue)
		if left <= 0 {
			return false, nil
		}
		timeout := unix.NsecToTimespec(left.Nanoseconds())
		n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, &timeout, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, fmt.Errorf("wait until the socket takes more: %w", err)
		}
		if n > 0 {
			return true, nil
		}
	}
}

// stopReading takes the turns of each client and no more, until it is killed.
func stopReading(listener int, s Spec) error {
	for {
		fd, err := accept(listener)
		if err != nil {
			return err
		}
		if err := answerTrips(fd, s.Trips, make([]byte, 1)); err != nil {
			return err
		}
	}
}
