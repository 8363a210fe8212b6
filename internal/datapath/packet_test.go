// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Frames are put together from the headers that the programs read; checksums
// are left out, because nobody on the way looks at them.

const (
	ethIPv4 = 0x0800
	ethARP  = 0x0806
	ethIPv6 = 0x86dd

	protoHopByHop = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoICMPv6   = 58
	protoNone     = 59
	protoDestOpts = 60
)

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func ethernet(dst, src net.HardwareAddr, ethertype uint16, payload []byte) []byte {
	return join(dst, src, be16(ethertype), payload)
}

// ip4 is an IPv4 header that a case may spoil before it is encoded.
type ip4 struct {
	src, dst netip.Addr
	version  byte   // 0: 4
	ihl      byte   // 0: what the options need
	fragment uint16 // flags and offset
	ttl      byte   // 0: 64
	proto    byte   // 0: UDP
	options  []byte // a multiple of 4 bytes
	payload  []byte // nil: 8 bytes
}

func (h ip4) bytes() []byte {
	if h.payload == nil {
		h.payload = make([]byte, 8)
	}
	if h.version == 0 {
		h.version = 4
	}
	if h.ihl == 0 {
		h.ihl = byte(5 + len(h.options)/4)
	}
	if h.ttl == 0 {
		h.ttl = 64
	}
	if h.proto == 0 {
		h.proto = protoUDP
	}
	return join(
		[]byte{h.version<<4 | h.ihl, 0}, be16(uint16(20+len(h.options)+len(h.payload))), be16(1), be16(h.fragment),
		[]byte{h.ttl, h.proto, 0, 0}, h.src.AsSlice(), h.dst.AsSlice(), h.options, h.payload)
}

// ip6 is an IPv6 header likewise.
type ip6 struct {
	src, dst netip.Addr
	version  byte // 0: 6
	hops     byte // 0: 64
	next     byte // of a hop-by-hop header: set explicit
	explicit bool // next is meant to be 0
	payload  []byte
}

func (h ip6) bytes() []byte {
	if h.payload == nil {
		h.payload = make([]byte, 8)
	}
	if h.version == 0 {
		h.version = 6
	}
	if h.hops == 0 {
		h.hops = 64
	}
	if h.next == 0 && !h.explicit {
		h.next = protoUDP
	}
	return join([]byte{h.version << 4, 0, 0, 0}, be16(uint16(len(h.payload))), []byte{h.next, h.hops},
		h.src.AsSlice(), h.dst.AsSlice(), h.payload)
}

// hopByHop is a hop-by-hop header with the jumbo payload option (RFC 2675), as
// the kernel puts one before the TCP header of a BIG TCP packet.
func hopByHop(next byte, payload []byte) []byte {
	return join([]byte{next, 0, 0xc2, 4, 0, 1, 0, 0}, payload)
}

// arp is an ARP packet that a case may spoil.
type arp struct {
	hardware, protocol       uint16 // 0: Ethernet, IPv4
	hardwareLen, protocolLen byte   // 0: 6, 4
	senderMAC                net.HardwareAddr
	sender, target           netip.Addr
}

func (a arp) bytes() []byte {
	if a.hardware == 0 {
		a.hardware = 1
	}
	if a.protocol == 0 {
		a.protocol = ethIPv4
	}
	if a.hardwareLen == 0 {
		a.hardwareLen = 6
	}
	if a.protocolLen == 0 {
		a.protocolLen = 4
	}
	return join(be16(a.hardware), be16(a.protocol), []byte{a.hardwareLen, a.protocolLen}, be16(1 /* request */),
		a.senderMAC, a.sender.AsSlice(), make([]byte, 6), a.target.AsSlice())
}

// Types of ICMPv6 messages.
const (
	routerSolicit     = 133
	routerAdvert      = 134
	neighbourSolicit  = 135
	neighbourAdvert   = 136
	neighbourRedirect = 137
	echoRequest       = 128
	listenerReport    = 143
)

// icmp6 is an ICMPv6 message: type, code, checksum, four bytes, then the body.
func icmp6(typ byte, body ...[]byte) []byte {
	return join([]byte{typ, 0, 0, 0, 0, 0, 0, 0}, join(body...))
}

// Options of neighbour discovery.
const (
	sourceLinkAddress = 1
	targetLinkAddress = 2
	nonceOption       = 14
)

func ndOption(typ byte, mac net.HardwareAddr) []byte {
	return join([]byte{typ, 1}, mac)
}
