// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/state"
)

// sweep releases what the dead hold: it reads every reservation, and is for
// the day on which a range is exhausted. A reservation that cannot be read is
// left alone. The caller holds the lock.
func (d *directory) sweep(k state.Key, alive func(id, ifname string) (alive, known bool)) error {
	boot, err := bootTime()
	if err != nil {
		return err
	}
	addrs, err := d.addrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		r, err := d.read(a)
		if err != nil || !r.dead(k, boot, alive) {
			continue
		}
		if err := d.remove(a.String()); err != nil {
			return err
		}
	}
	return nil
}

// dead says that nobody uses the address any more: its file is torn, its holder
// is the very attachment that is asking (an earlier try of it), Emerita's and
// gone, or unknown to Emerita but older than this boot, which no container
// outlives.
func (r reservation) dead(k state.Key, boot time.Time, alive func(id, ifname string) (alive, known bool)) bool {
	switch {
	case r.kind == nobody, r.heldBy(k):
		return true
	case r.kind == foreign:
		return false
	}
	if alive != nil {
		if lives, known := alive(r.id, r.ifname); known {
			return !lives
		}
	}
	return r.mtime.Before(boot)
}

// bootTime is when the kernel booted by today's wall clock. A clock set forward
// since makes files from between look older than the boot; that this can cost
// an address in use takes a host without a battery clock, a reservation that
// another plugin made before the clock was set, and an exhausted range.
func bootTime() (time.Time, error) {
	var now, up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return time.Time{}, fmt.Errorf("read the wall clock: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, fmt.Errorf("read the boot clock: %w", err)
	}
	return time.Unix(0, now.Nano()-up.Nano()), nil
}
