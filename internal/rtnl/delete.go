// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// goneTimeout bounds the wait for an interface to disappear. The kernel takes
// about 1.4 ms; a host under rtnl contention some hundred.
const goneTimeout = 30 * time.Second

// DeleteAndWait deletes a link and returns as soon as it can no longer be
// found, in either namespace. RTM_DELLINK itself returns only some 20 ms later,
// after grace periods that nobody outside the kernel can see the end of, so
// that a forked child waits for it (measured: 1.4 ms against 20.7 ms). The link
// is named by index: a new one of the same name is left alone.
func DeleteAndWait(c *nlmsg.Conn, index int, name string) error {
	var b nlmsg.Batch
	DelLink(&b, index, name)
	child, err := nlmsg.Detach(&b)
	if err != nil {
		return c.Do(&b) // no process to be had: do it here, and slowly
	}
	defer child.Release()
	start := time.Now()
	for {
		if _, err := Name(c, index); errors.Is(err, ErrNoLink) {
			return nil
		}
		if child.Exited() { // and has not deleted it: ask again for the reason
			return c.Do(&b)
		}
		waited := time.Since(start)
		if waited > goneTimeout {
			return fmt.Errorf("delete link %q: still there after %v", name, goneTimeout)
		}
		// A quarter more each time, from 50 µs: an idle kernel is not kept
		// waiting, a busy one not kept busy.
		pause := max(50*time.Microsecond, min(waited/4, 5*time.Millisecond))
		_ = unix.Nanosleep(&unix.Timespec{Nsec: int64(pause)}, nil)
	}
}
