// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Endpoint is a container as the programs know it.
type Endpoint struct {
	Network  NetworkID
	Owner    OwnerID
	IfIndex  int // of the host end
	MAC      net.HardwareAddr
	HostMAC  net.HardwareAddr // of the host end
	MTU      int              // bytes
	Addrs    []netip.Addr
	FastPath bool        // deliver its packets directly
	Isolated bool        // only its own network and the allowed ones
	Allowed  []NetworkID // networks that it may talk to besides

	HostClosed bool // it may answer the host, not call it
	Netkit     bool // the device is a netkit, not a veth
	Limited    bool // what is for it must pass the queue of its host end

	Congestion   *Congestion   // nil if its sockets keep the host's
	Acceleration *Acceleration // nil if its sockets are not to be enrolled
}

// Register tells the programs of a container's interface, before they are
// attached to it. It may send nothing until RegisterAddrs. One that they know
// already keeps its counters.
func (h *Handle) Register(e Endpoint) error {
	key := indexKey(e.IfIndex)
	// The counters first: the programs count only where there is an entry.
	if err := h.startCounting(e); err != nil {
		return fmt.Errorf("register counters: %w", err)
	}
	if err := h.openAllowed(e); err != nil {
		return fmt.Errorf("allow network: %w", err)
	}
	for _, other := range e.Allowed {
		if err := h.allowed.Update(allowanceKey(e.IfIndex, other), []byte{1}); err != nil {
			return fmt.Errorf("allow network: %w", err)
		}
	}
	if err := h.interfaces.Update(key, interfaceValue(e)); err != nil {
		return fmt.Errorf("register interface: %w", err)
	}
	return nil
}

// openAllowed opens the map of allowed networks for those who allow some.
func (h *Handle) openAllowed(e Endpoint) error {
	if len(e.Allowed) > 0 {
		return h.open(&h.allowed, pinAllowed)
	}
	return nil
}

// startCounting makes counters of zero, unless those that there are were counted
// for the same container: its programs are being replaced or put back.
func (h *Handle) startCounting(e Endpoint) error {
	cpus, err := possibleCPUs()
	if err != nil {
		return err
	}
	key, zero := indexKey(e.IfIndex), make([]byte, countersSize*cpus)
	known, is := make([]byte, interfaceSize), interfaceValue(e)
	if h.interfaces.Lookup(key, known) != nil || !sameAttachment(known, is) {
		return h.counts.Update(key, zero)
	}
	if err := h.counts.Insert(key, zero); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// RegisterAddrs tells the programs where a container's addresses are, in place of
// whoever had them. The caller knows that nobody has them still.
func (h *Handle) RegisterAddrs(e Endpoint) error {
	for _, a := range e.Addrs {
		if err := h.endpoints.Update(endpointKey(e.Network, a), endpointValue(e)); err != nil {
			return fmt.Errorf("register address %s: %w", a, err)
		}
	}
	return nil
}

// Unregister forgets a container. An index or address that another container has
// by now stays with it: a record from before the last boot may name either. What
// is not known is success.
func (h *Handle) Unregister(e Endpoint) error {
	var errs []error
	forget := func(err error, what string) {
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("forget %s: %w", what, err))
		}
	}
	is := endpointValue(e)
	for _, a := range e.Addrs {
		k, v := endpointKey(e.Network, a), make([]byte, endpointSize)
		if err := h.endpoints.Lookup(k, v); err != nil || !sameHolder(v, is) {
			continue
		}
		forget(h.endpoints.Delete(k), "address "+a.String())
	}
	h.unregisterSockets(e, forget)
	h.decelerate(e, forget)
	key, known := indexKey(e.IfIndex), make([]byte, interfaceSize)
	if h.interfaces.Lookup(key, known) == nil && !sameAttachment(known, interfaceValue(e)) {
		return errors.Join(errs...)
	}
	if err := h.openAllowed(e); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, other := range e.Allowed {
		forget(h.allowed.Delete(allowanceKey(e.IfIndex, other)), "allowed network")
	}
	forget(h.interfaces.Delete(key), "interface")
	forget(h.counts.Delete(key), "counters")
	return errors.Join(errs...)
}

// sameAttachment compares network, owner and Ethernet address of two interfaces.
func sameAttachment(a, b []byte) bool {
	return string(a[:16]) == string(b[:16]) && string(a[24:30]) == string(b[24:30])
}

// sameHolder compares index and owner of two endpoints.
func sameHolder(a, b []byte) bool {
	return string(a[:4]) == string(b[:4]) && string(a[8:16]) == string(b[8:16])
}

// Knows says whether the maps know a container, and all of it, for CHECK. What they
// need besides is for Lost and Enrolled to say.
func (h *Handle) Knows(e Endpoint) (bool, error) {
	v := make([]byte, interfaceSize)
	err := h.interfaces.Lookup(indexKey(e.IfIndex), v)
	if errors.Is(err, unix.ENOENT) || err == nil && string(v) != string(interfaceValue(e)) {
		return false, nil
	}
	if e.Acceleration != nil {
		if known, err := h.knowsAccelerated(e); !known || err != nil {
			return false, err
		}
	}
	limited := e.Limited
	for _, a := range e.Addrs {
		if err == nil {
			err = h.endpoints.Lookup(endpointKey(e.Network, a), v[:endpointSize])
			limited = limited && isLimited(v)
		}
	}
	if errors.Is(err, unix.ENOENT) || err == nil && limited != e.Limited {
		return false, nil
	}
	return err == nil, err
}
