// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// FlowPath is how what one end of an enrolled connection sends gets to the other.
type FlowPath uint32

// The paths (enum flow_state of bpf/lib/accel.h), of which none is followed by an
// earlier one.
const (
	FlowAwaited FlowPath = iota // the other end has asked, this one has not come yet
	FlowIdle                    // nothing was sent yet
	FlowSocket                  // from socket to socket
	FlowTCP                     // by TCP, for the rest of the connection
)

// String is for listings.
func (p FlowPath) String() string {
	switch p {
	case FlowAwaited:
		return "awaited"
	case FlowIdle:
		return "idle"
	case FlowSocket:
		return "socket"
	case FlowTCP:
		return "tcp"
	}
	return fmt.Sprintf("path %d", uint32(p))
}

// Flow is one direction of an enrolled connection.
type Flow struct {
	Network  NetworkID
	From, To netip.AddrPort
	Path     FlowPath
	Sent     uint64 // bytes from socket to socket
	IfIndex  int    // of the sender's host end
}

// Flows lists the directions of all enrolled connections, in no order: none if the
// programs are not loaded.
func Flows() ([]Flow, error) {
	m, err := openAccelMap(pinAccelFlows)
	if m == nil {
		return nil, err
	}
	defer m.Close()
	var out []Flow
	var key, value []byte
	all := m.Iterate()
	for all.Next(&key, &value) {
		out = append(out, flowOf(key, value))
	}
	if err := all.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) { // they come and go meanwhile
		return nil, fmt.Errorf("list connections: %w", err)
	}
	return out, nil
}

// flowShut is a bit of what was sent (FLOW_SHUT).
const flowShut = 1 << 63

// flowOf reads struct flow_key and struct flow.
func flowOf(key, value []byte) Flow {
	at := func(addr, port int) netip.AddrPort {
		a, _ := netip.AddrFromSlice(key[addr:][:16])
		return netip.AddrPortFrom(a.Unmap(), binary.NativeEndian.Uint16(key[port:]))
	}
	return Flow{
		Network: NetworkID(binary.NativeEndian.Uint64(key)), From: at(8, 40), To: at(24, 42),
		Sent: binary.NativeEndian.Uint64(value) &^ flowShut, Path: FlowPath(binary.NativeEndian.Uint32(value[24:])),
		IfIndex: int(binary.NativeEndian.Uint32(value[flowIndexAt:])),
	}
}

// openAccelMap opens a pinned map for a command, nil if it is not there.
func openAccelMap(pin string) (*ebpf.Map, error) {
	dir := pinDir()
	if dir == "" {
		return nil, nil
	}
	if err := trusted(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	path := filepath.Join(dir, pin)
	if !there(path) { // asked first: where bpf(2) is refused, that is the answer for any path
		return nil, nil
	}
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		return nil, fmt.Errorf("open pin %q: %w", path, err)
	}
	return m, nil
}
