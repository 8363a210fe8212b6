// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// accelEntries are the two entries of an address of an accelerated container: by the
// namespace of its sockets, and by its network.
func accelEntries(e Endpoint, a netip.Addr) (bySocket, byNetwork struct{ key, value []byte }) {
	cookie := e.Acceleration.NetnsCookie
	bySocket.key, bySocket.value = socketKey(cookie, a), accelContainer(uint64(e.Network), e.IfIndex, e.Acceleration.Cgroup != "")
	byNetwork.key, byNetwork.value = endpointKey(e.Network, a), accelContainer(cookie, e.IfIndex, false)
	return bySocket, byNetwork
}

// indexOfFlow reads an entry of one end of a connection.
func indexOfFlow(_, value []byte) int { return int(binary.NativeEndian.Uint32(value[flowIndexAt:])) }

// accelContainer is struct accel_container.
func accelContainer(id uint64, ifindex int, byCgroup bool) []byte {
	only := uint32(0)
	if byCgroup {
		only = 1
	}
	return binary.NativeEndian.AppendUint32(append(binary.NativeEndian.AppendUint64(nil, id), indexKey(ifindex)...), only)
}

func (h *Handle) openAccelerated() error {
	return errors.Join(h.open(&h.accelSockets, pinAccelSockets), h.open(&h.accelPeers, pinAccelPeers))
}

// Accelerate tells the programs of a container whose sockets may be enrolled, if it is
// one. Both ends of a connection are, or none: until it is told of, its peers leave its
// connections alone.
func (h *Handle) Accelerate(e Endpoint) error {
	if e.Acceleration == nil {
		return nil
	}
	if err := h.openAccelerated(); err != nil {
		return fmt.Errorf("register for acceleration: %w", err)
	}
	for _, a := range e.Addrs {
		own, peer := accelEntries(e, a)
		err := h.accelSockets.Update(own.key, own.value)
		if err == nil {
			err = h.accelPeers.Update(peer.key, peer.value)
		}
		if err != nil {
			return fmt.Errorf("register %s for acceleration: %w", a, err)
		}
	}
	return nil
}

// decelerate forgets it, but for what is another attachment's by now. Connections that
// go on, of processes that outlive the attachment, are plain TCP from the next message on.
func (h *Handle) decelerate(e Endpoint, forget func(err error, what string)) {
	if e.Acceleration == nil || h.openAccelerated() != nil {
		return
	}
	known := make([]byte, accelContainerSize)
	for _, a := range e.Addrs {
		own, peer := accelEntries(e, a)
		if h.accelPeers.Lookup(peer.key, known) == nil && string(known) == string(peer.value) {
			forget(h.accelPeers.Delete(peer.key), "acceleration to "+a.String())
		}
		if h.accelSockets.Lookup(own.key, known) == nil && string(known) == string(own.value) {
			forget(h.accelSockets.Delete(own.key), "acceleration of "+a.String())
		}
	}
	forget(sweep(filepath.Join(h.dir, pinAccelFlows), indexOfFlow, func(ifindex int) bool { return ifindex == e.IfIndex }), "connections")
}

// knowsAccelerated says whether the maps know it, for CHECK.
func (h *Handle) knowsAccelerated(e Endpoint) (bool, error) {
	if err := h.openAccelerated(); err != nil {
		return false, err
	}
	known := make([]byte, accelContainerSize)
	for _, a := range e.Addrs {
		own, peer := accelEntries(e, a)
		err := h.accelSockets.Lookup(own.key, known)
		if err == nil && string(known) == string(own.value) {
			err = h.accelPeers.Lookup(peer.key, known)
		}
		if errors.Is(err, unix.ENOENT) || err == nil && string(known) != string(peer.value) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}
