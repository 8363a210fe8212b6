// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/state"
)

// lineBreak separates container id and interface name in a reservation.
const lineBreak = "\r\n"

// maxReservation bounds what is read of a reservation, in bytes.
const maxReservation = 4 << 10

// holderKind says what the file of an address amounts to.
type holderKind int

const (
	nobody  holderKind = iota // no file, or what a crash left of one: the address is free
	holder                    // a reservation
	foreign                   // not a file of host-local's making: taken, and never touched
)

// reservation is the file of one address. Before version 0.8, host-local wrote
// no interface name; ifname is empty then.
type reservation struct {
	kind   holderKind
	text   string // the content without white space around it
	id     string
	ifname string
	mtime  time.Time
}

// errTaken says that an address is not free.
var errTaken = errors.New("already reserved")

// content is what host-local writes for a key.
func content(k state.Key) string {
	return strings.TrimSpace(k.ContainerID) + lineBreak + k.IfName
}

// heldBy says that the reservation is of key k, in today's form.
func (r reservation) heldBy(k state.Key) bool { return r.kind == holder && r.text == content(k) }

// availableTo says that k may have the address: it is free, or k held it in an
// earlier life.
func (r reservation) availableTo(k state.Key) bool { return r.kind == nobody || r.heldBy(k) }

// heldByID says that the reservation names k's container in the old form.
func (r reservation) heldByID(k state.Key) bool {
	return r.kind == holder && r.text == strings.TrimSpace(k.ContainerID)
}

// read looks at the file of an address without following a link or waiting for
// a FIFO. A file with a second name was planted: it is foreign. An empty file
// is what host-local leaves when it is killed between creating and writing
// (containernetworking/plugins#498), one of NULs what a power cut leaves.
func (d *directory) read(addr netip.Addr) (reservation, error) {
	name := addr.String()
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return reservation{kind: nobody}, nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return reservation{kind: foreign}, nil
	case err != nil:
		return reservation{}, fmt.Errorf("open reservation %q: %w", filepath.Join(d.path, name), err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return reservation{}, fmt.Errorf("stat reservation %q: %w", filepath.Join(d.path, name), err)
	}
	if !plain(&st) || st.Size > maxReservation {
		return reservation{kind: foreign}, nil
	}
	data, err := readAll(fd, maxReservation)
	if err != nil {
		return reservation{}, fmt.Errorf("read reservation %q: %w", filepath.Join(d.path, name), err)
	}
	r := reservation{mtime: time.Unix(st.Mtim.Unix())}
	if len(bytes.Trim(data, "\x00")) == 0 {
		return r, nil
	}
	r.kind = holder
	r.text = strings.TrimSpace(string(data))
	r.id, r.ifname, _ = strings.Cut(r.text, lineBreak)
	return r, nil
}

// free is the cheap look at a candidate: no file, or an empty one.
func (d *directory) free(addr netip.Addr) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, addr.String(), &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("stat reservation %q: %w", filepath.Join(d.path, addr.String()), err)
	}
	return plain(&st) && st.Size == 0, nil
}

// plain says that st is a regular file with one name.
func plain(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 1
}

// claim reserves addr for k. The content is complete before the name exists,
// so that a kill leaves no file without an owner. The name of a dead or own
// reservation is replaced, which also renews its time: a sweep takes a file
// from before the boot for dead. The caller holds the lock.
//
// Nothing is synced to disk. A reservation means something while the boot
// lives in which it was made; a power cut ends that, and a torn file is free.
func (d *directory) claim(addr netip.Addr, k state.Key) error {
	if err := d.writeTemp(content(k)); err != nil {
		return err
	}
	name := addr.String()
	err := unix.Linkat(d.fd, tempName, d.fd, name, 0)
	switch {
	case err == nil:
		// Should this fail, the next holder of the lock removes it.
		_ = d.remove(tempName)
		return nil
	case !errors.Is(err, unix.EEXIST):
		err = fmt.Errorf("link reservation %q: %w", filepath.Join(d.path, name), err)
	default:
		var r reservation
		if r, err = d.read(addr); err != nil {
			break
		}
		if r.availableTo(k) {
			return d.renameTemp(name)
		}
		err = fmt.Errorf("link reservation %q: %w", filepath.Join(d.path, name), errTaken)
	}
	return errors.Join(err, d.remove(tempName))
}

// release unlinks the reservation of addr if k holds it.
func (d *directory) release(addr netip.Addr, k state.Key) error {
	r, err := d.read(addr)
	if err != nil {
		return err
	}
	if r.heldBy(k) || r.heldByID(k) {
		return d.remove(addr.String())
	}
	return nil
}

// heldBy scans the directory for what k holds. As host-local does, it takes
// the old form for k's only where there is nothing in today's.
func (d *directory) heldBy(k state.Key) ([]netip.Addr, error) {
	addrs, err := d.addrs()
	if err != nil {
		return nil, err
	}
	var held, old []netip.Addr
	var errs []error
	for _, a := range addrs {
		r, err := d.read(a)
		switch {
		case err != nil:
			errs = append(errs, err)
		case r.heldBy(k):
			held = append(held, a)
		case r.heldByID(k):
			old = append(old, a)
		}
	}
	if len(held) == 0 {
		held = old
	}
	return held, errors.Join(errs...)
}
