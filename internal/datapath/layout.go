// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// The layouts of bpf/lib/{accel,endpoint,interface,loopback,published,socket}.h, written by
// hand because they are encoded on the path of every ADD. TestLayout compares them with the object's BTF.

// Flags of an interface (enum interface_flags).
const (
	flagFastPath   = 1 << 0
	flagIsolated   = 1 << 1
	flagHostClosed = 1 << 2
	flagNetkit     = 1 << 3
)

// flagLimited is a flag of an endpoint (enum endpoint_flags).
const flagLimited = 1 << 0

// NetworkID is the number of a network in the maps: the first bytes of a hash
// of its name, so that no registry is needed.
type NetworkID uint64

// IDOf is the number of the network of a name.
func IDOf(network string) NetworkID {
	sum := sha256.Sum256([]byte("network\x00" + network))
	return NetworkID(binary.BigEndian.Uint64(sum[:]))
}

// OwnerID is the number of a container in the maps.
type OwnerID uint64

// OwnerOf is the number of the container of an identifier.
func OwnerOf(containerID string) OwnerID {
	sum := sha256.Sum256([]byte("container\x00" + containerID))
	return OwnerID(binary.BigEndian.Uint64(sum[:]))
}

const (
	interfaceSize = 32
	endpointSize  = 32
	socketSize    = 32
	socketIndexAt = 8 // where a socket policy has the index of the host end

	loopbackSize    = 24
	loopbackIndexAt = 16 // where a port of the loopback has it

	accelContainerSize = 16
	accelIndexAt       = 8  // where an accelerated container has it
	flowIndexAt        = 28 // and one end of a connection
)

// flagUnpaced is the flag of a socket policy (enum socket_flags).
const flagUnpaced = 1 << 0

// congestionName is the size of a congestion control's name, with the final NUL.
const congestionName = 16

func indexKey(ifindex int) []byte {
	return binary.NativeEndian.AppendUint32(nil, uint32(ifindex))
}

// interfaceValue is struct interface.
func interfaceValue(e Endpoint) []byte {
	var flags uint32
	for _, f := range [...]struct {
		set  bool
		flag uint32
	}{{e.FastPath, flagFastPath}, {e.Isolated, flagIsolated}, {e.HostClosed, flagHostClosed}, {e.Netkit, flagNetkit}} {
		if f.set {
			flags |= f.flag
		}
	}
	v := make([]byte, 0, interfaceSize)
	v = binary.NativeEndian.AppendUint64(v, uint64(e.Network))
	v = binary.NativeEndian.AppendUint64(v, uint64(e.Owner))
	v = binary.NativeEndian.AppendUint32(v, flags)
	v = binary.NativeEndian.AppendUint32(v, uint32(e.MTU))
	v = append(v, e.MAC[:6]...)
	return append(v, 0, 0)
}

// endpointKey is struct endpoint_key.
func endpointKey(network NetworkID, addr netip.Addr) []byte {
	a := addr.As16() // IPv4 as ::ffff:a.b.c.d
	return append(binary.NativeEndian.AppendUint64(nil, uint64(network)), a[:]...)
}

// endpointValue is struct endpoint.
func endpointValue(e Endpoint) []byte {
	v := binary.NativeEndian.AppendUint32(make([]byte, 0, endpointSize), uint32(e.IfIndex))
	v = binary.NativeEndian.AppendUint32(v, uint32(e.MTU))
	v = binary.NativeEndian.AppendUint64(v, uint64(e.Owner))[:endpointSize]
	copy(v[16:], e.MAC) // a remote one has none
	copy(v[22:], e.HostMAC)
	if e.Limited {
		binary.NativeEndian.PutUint32(v[28:], flagLimited)
	}
	return v
}

// isLimited reads struct endpoint.
func isLimited(v []byte) bool { return binary.NativeEndian.Uint32(v[28:])&flagLimited != 0 }

// allowanceKey is struct allowance.
func allowanceKey(ifindex int, network NetworkID) []byte {
	return binary.NativeEndian.AppendUint64(append(indexKey(ifindex), 0, 0, 0, 0), uint64(network))
}

// socketKey is struct socket_key.
func socketKey(netnsCookie uint64, addr netip.Addr) []byte {
	a := addr.As16()
	return append(binary.NativeEndian.AppendUint64(nil, netnsCookie), a[:]...)
}

// socketPolicy is struct socket_policy.
func socketPolicy(e Endpoint) []byte {
	var flags uint32
	if e.Congestion.Unpaced {
		flags |= flagUnpaced
	}
	v := make([]byte, 0, socketSize)
	v = binary.NativeEndian.AppendUint64(v, uint64(e.Network))
	v = binary.NativeEndian.AppendUint32(v, uint32(e.IfIndex))
	v = binary.NativeEndian.AppendUint32(v, flags)
	v = append(v, e.Congestion.Name...)
	return append(v, make([]byte, socketSize-len(v))...)
}

// Sides of a published port (enum published_side).
const (
	sideContainer = 0
	sideHost      = 1
)

// publishedKey is struct published_key.
func publishedKey(ifindex int, port uint16, protocol, side uint8) []byte {
	return append(binary.BigEndian.AppendUint16(indexKey(ifindex), port), protocol, side)
}

// loopbackKey is struct loopback_key.
func loopbackKey(netnsCookie uint64, p Port) []byte {
	a := p.HostAddr.As16()
	k := binary.NativeEndian.AppendUint64(make([]byte, 0, 32), netnsCookie)
	k = binary.BigEndian.AppendUint16(append(k, a[:]...), p.HostPort)
	return append(k, p.Protocol, 0, 0, 0, 0, 0)
}

// loopbackValue is struct loopback_port.
func loopbackValue(ifindex int, p Port) []byte {
	a := p.Addr.As16()
	v := append(make([]byte, 0, loopbackSize), a[:]...)
	v = binary.BigEndian.AppendUint16(append(v, indexKey(ifindex)...), p.Port)
	return append(v, 0, 0)
}
