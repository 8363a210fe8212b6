// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// Handle is the open data path: the programs of this build, and the maps that
// all builds of one layout share.
type Handle struct {
	dir string // of the pins

	FromContainer bpfsys.FD // for the ingress of a host end
	ToContainer   bpfsys.FD // for its egress

	interfaces, endpoints, counts bpfsys.FD

	// Opened when they are needed: each costs 20 µs.
	allowed, sockets, published, loopback, accelSockets, accelPeers bpfsys.FD
}

// Names of the pinned programs. The second is pinned last: where it is, all is.
const (
	pinFrom = "from_container"
	pinTo   = "to_container"
)

// Open opens the pins. The error wraps fs.ErrNotExist if the programs are not
// loaded yet, or no longer.
func Open() (*Handle, error) {
	h, err := OpenMaps()
	if err != nil {
		return nil, err
	}
	programs := programDir(h.dir)
	if h.ToContainer, err = bpfsys.Open(filepath.Join(programs, pinTo)); err == nil {
		h.FromContainer, err = bpfsys.Open(filepath.Join(programs, pinFrom))
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// OpenMaps opens the pins of the maps only, which are there as well if it is
// another build whose programs are loaded. The error wraps fs.ErrNotExist if
// there are none.
func OpenMaps() (h *Handle, err error) {
	dir := pinDir()
	if dir == "" {
		return nil, fs.ErrNotExist
	}
	if err := trusted(dir); err != nil {
		return nil, err
	}
	h = &Handle{dir: dir}
	for _, fd := range h.all() {
		*fd = -1
	}
	for _, pin := range []struct {
		name string
		fd   *bpfsys.FD
	}{{pinInterfaces, &h.interfaces}, {pinEndpoints, &h.endpoints}, {pinCounts, &h.counts}} {
		if *pin.fd, err = bpfsys.Open(filepath.Join(dir, pin.name)); err != nil {
			h.Close()
			return nil, err
		}
	}
	return h, nil
}

// OpenOrLoad opens the pins, and loads and pins the programs first if they are
// not there; loaded says so. The caller holds a lock that excludes others who
// load. The error wraps ErrUnavailable if that is not possible here.
func OpenOrLoad() (h *Handle, loaded bool, err error) {
	h, err = Open()
	if !errors.Is(err, fs.ErrNotExist) {
		return h, false, err
	}
	if err := load(); err != nil {
		return nil, false, err
	}
	h, err = Open()
	return h, true, err
}

// Close closes the descriptors. What is pinned or attached stays.
func (h *Handle) Close() {
	for _, fd := range h.all() {
		if *fd >= 0 {
			_ = fd.Close()
		}
	}
}

func (h *Handle) all() []*bpfsys.FD {
	return []*bpfsys.FD{
		&h.FromContainer, &h.ToContainer, &h.interfaces, &h.endpoints, &h.counts,
		&h.allowed, &h.sockets, &h.published, &h.loopback, &h.accelSockets, &h.accelPeers,
	}
}

// open opens the pin of a map when it is needed: each costs 20 µs.
func (h *Handle) open(fd *bpfsys.FD, pin string) (err error) {
	if *fd < 0 {
		*fd, err = bpfsys.Open(filepath.Join(h.dir, pin))
	}
	return err
}
