// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/emerita-cni/emerita/internal/bpfsys"
)

// Port is a port of the host that leads to a container.
type Port struct {
	Protocol uint8      // IPPROTO_TCP and so on
	HostAddr netip.Addr // the unspecified one stands for all of its family
	HostPort uint16
	Addr     netip.Addr // the container's, of the family of HostAddr
	Port     uint16     // the container's
	Open     bool       // though networks are isolated, their containers may call it
}

// opened are the entries by which isolated networks may call ports of a container.
func opened(ifindex int, ports []Port) (all bpfsys.Entries) {
	for _, p := range ports {
		if p.Open {
			all.Add(publishedKey(ifindex, p.Port, p.Protocol, sideContainer), []byte{1})
			all.Add(publishedKey(ifindex, p.HostPort, p.Protocol, sideHost), []byte{1})
		}
	}
	return all
}

// Publish tells the programs on devices for which ports of a container, whose host end
// has an index, isolation makes an exception. Only what has the programs on its device
// may have ports that are open: by its source an answer is known. Where the map is not
// pinned, because the programs are another build's, the error wraps fs.ErrNotExist.
func (h *Handle) Publish(_ uint64, ifindex int, ports []Port) error {
	return h.enter(&h.published, pinPublished, opened(ifindex, ports))
}

func (h *Handle) enter(fd *bpfsys.FD, pin string, all bpfsys.Entries) error {
	if all.Count == 0 {
		return nil
	}
	err := h.open(fd, pin)
	if err == nil {
		err = fd.UpdateAll(all)
	}
	if err != nil {
		return fmt.Errorf("publish ports in map %s: %w", pin, err)
	}
	return nil
}

// Unpublish forgets ports of a container. What is not known is success.
func (h *Handle) Unpublish(_ uint64, ifindex int, ports []Port) error {
	return h.remove(&h.published, pinPublished, opened(ifindex, ports))
}

func (h *Handle) remove(fd *bpfsys.FD, pin string, all bpfsys.Entries) error {
	if all.Count == 0 || h.open(fd, pin) != nil {
		return nil
	}
	if err := fd.DeleteAll(all); err != nil {
		return fmt.Errorf("forget ports in map %s: %w", pin, err)
	}
	return nil
}

// Published says whether the programs know all ports of a container, for CHECK.
func (h *Handle) Published(_ uint64, ifindex int, ports []Port) (bool, error) {
	return h.knows(&h.published, pinPublished, opened(ifindex, ports))
}

func (h *Handle) knows(fd *bpfsys.FD, pin string, all bpfsys.Entries) (bool, error) {
	for i := range all.Count {
		is := make([]byte, len(all.Value(i)))
		err := h.open(fd, pin)
		if err == nil {
			err = fd.Lookup(all.Key(i), is)
		}
		if errors.Is(err, fs.ErrNotExist) { // no pin, or no entry
			return false, nil
		}
		if err != nil || string(is) != string(all.Value(i)) {
			return false, err
		}
	}
	return true, nil
}
