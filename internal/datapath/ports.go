// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"golang.org/x/sys/unix"

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

// onLoopback says whether processes of the host reach a port by a loopback address.
// The kernel runs the programs for sockets of TCP and UDP only: SCTP has no such hook.
func (p Port) onLoopback() bool {
	return (p.HostAddr.IsLoopback() || p.HostAddr.IsUnspecified()) && (p.Protocol == unix.IPPROTO_TCP || p.Protocol == unix.IPPROTO_UDP)
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

// looped are the entries by which processes of a network namespace reach them.
func looped(netnsCookie uint64, ifindex int, ports []Port) (all bpfsys.Entries) {
	for _, p := range ports {
		if p.onLoopback() {
			all.Add(loopbackKey(netnsCookie, p), loopbackValue(ifindex, p))
		}
	}
	return all
}

// Publish tells the programs of a container's ports, whose host end has an index: those
// on devices for which of them isolation makes an exception, and those on the cgroup
// root which loopback addresses of the host's network namespace (SO_NETNS_COOKIE) lead to
// it, in place of whoever had them. Only what has the programs on its device may have
// ports that are open: by its source an answer is known. It goes on where a map is not
// pinned, because LoadPorts was not called or the programs are another build's; the
// error wraps fs.ErrNotExist then.
func (h *Handle) Publish(netnsCookie uint64, ifindex int, ports []Port) error {
	for _, p := range ports {
		if p.HostAddr.Is4() != p.Addr.Is4() {
			return fmt.Errorf("publish port %d of %s at %s: addresses of two families", p.Port, p.Addr, p.HostAddr)
		}
	}
	return errors.Join(
		h.enter(&h.published, pinPublished, opened(ifindex, ports)),
		h.enter(&h.loopback, pinLoopback, looped(netnsCookie, ifindex, ports)))
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

// Unpublish forgets ports of a container. One of the loopback that leads to another
// interface by now stays. What is not known is success.
func (h *Handle) Unpublish(netnsCookie uint64, ifindex int, ports []Port) error {
	var mine bpfsys.Entries
	if all := looped(netnsCookie, ifindex, ports); all.Count > 0 && h.open(&h.loopback, pinLoopback) == nil {
		known := make([]byte, loopbackSize)
		for i := range all.Count {
			if h.loopback.Lookup(all.Key(i), known) == nil && string(known[loopbackIndexAt:][:4]) == string(indexKey(ifindex)) {
				mine.Add(all.Key(i), nil)
			}
		}
	}
	return errors.Join(
		h.remove(&h.published, pinPublished, opened(ifindex, ports)),
		h.remove(&h.loopback, pinLoopback, mine))
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

// Published says whether the programs know all ports of a container, for CHECK: the
// maps, and those on the cgroup root if a loopback address leads to it.
func (h *Handle) Published(netnsCookie uint64, ifindex int, ports []Port) (bool, error) {
	loop := looped(netnsCookie, ifindex, ports)
	if loop.Count > 0 && h.LostPorts() != nil {
		return false, nil
	}
	known, err := h.knows(&h.published, pinPublished, opened(ifindex, ports))
	if !known || err != nil {
		return false, err
	}
	return h.knows(&h.loopback, pinLoopback, loop)
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
