// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// Status implements Manager. It takes no lock and reads names only, until a
// range looks exhausted.
func (m *hostLocal) Status(context.Context) error {
	err := m.status()
	if err == nil {
		return nil
	}
	return cniproto.Errorf(cniproto.CodeNotAvailable, fmt.Sprintf("addresses of network %q", m.key.Network), "%w", err)
}

func (m *hostLocal) status() error {
	d, err := openDirectory(m.dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return creatable(m.dir)
	}
	if err != nil {
		return err
	}
	defer d.close()
	if err := unix.Faccessat(d.fd, ".", unix.W_OK|unix.X_OK, 0); err != nil {
		return fmt.Errorf("write directory %q: %w: mount it writable", d.path, err)
	}
	var st unix.Stat_t
	if unix.Fstatat(d.fd, lockName, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return fmt.Errorf("open lock %q: %w: %s", filepath.Join(d.path, lockName), unix.EISDIR, removeLock)
	}
	taken, err := d.addrs()
	if err != nil {
		return err
	}
	for i, set := range m.sets {
		exhausted, err := d.exhausted(set, taken)
		if err != nil {
			return err
		}
		if exhausted {
			return fmt.Errorf("no free address in range set %d (%s): delete containers, run GC, or widen ipam.ranges", i, set)
		}
	}
	return nil
}

// exhausted says that an Add would find no address in set, not even one that
// a crash or a reboot left behind. Without that last look a node that
// rebooted with a full range would report itself broken, get no container,
// and so never get to the sweep that mends it.
func (d *directory) exhausted(set rangeSet, taken []netip.Addr) (bool, error) {
	var inSet []netip.Addr
	for _, a := range taken {
		if r, ok := set.find(a); ok && !r.reserved(a) {
			inSet = append(inSet, a)
		}
	}
	if uint64(len(inSet)) < set.size() {
		return false, nil
	}
	boot, err := bootTime()
	if err != nil {
		return false, err
	}
	for _, a := range inSet {
		if r, err := d.read(a); err == nil && r.abandoned(boot) {
			return false, nil
		}
	}
	return true, nil
}

// abandoned says that the holder cannot be alive, whoever it is.
func (r reservation) abandoned(boot time.Time) bool {
	return r.kind == nobody || r.kind == holder && r.mtime.Before(boot)
}

// creatable says why a missing directory could not be made: the nearest parent
// that exists is no directory or not writable.
func creatable(path string) error {
	for parent := filepath.Dir(path); ; parent = filepath.Dir(parent) {
		var st unix.Stat_t
		err := unix.Stat(parent, &st)
		if errors.Is(err, unix.ENOENT) && parent != "/" {
			continue
		}
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			err = unix.ENOTDIR
		}
		if err == nil {
			err = unix.Access(parent, unix.W_OK|unix.X_OK)
		}
		if err != nil {
			return fmt.Errorf("create directory %q in %q: %w", path, parent, err)
		}
		return nil
	}
}
