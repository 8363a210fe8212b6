// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ipFamily is the family-specific half of the table.
type ipFamily struct {
	v4               bool
	proto            byte
	saddr, daddr     uint32 // offsets in the IP header
	size             uint32 // of an address, bytes
	suffix           string // of the names of sets
	typ              nftables.SetDatatype
	multicast, llink netip.Prefix // never rewritten, whoever sends there
	loopback         netip.Prefix
}

func families() [2]ipFamily {
	return [2]ipFamily{
		{
			v4: true, proto: unix.NFPROTO_IPV4, saddr: 12, daddr: 16, size: 4, suffix: "4", typ: nftables.TypeIPAddr,
			multicast: netip.MustParsePrefix("224.0.0.0/4"), llink: netip.MustParsePrefix("169.254.0.0/16"),
			loopback: netip.MustParsePrefix("127.0.0.0/8"),
		},
		{
			proto: unix.NFPROTO_IPV6, saddr: 8, daddr: 24, size: 16, suffix: "6", typ: nftables.TypeIP6Addr,
			multicast: netip.MustParsePrefix("ff00::/8"), llink: netip.MustParsePrefix("fe80::/10"),
			loopback: netip.MustParsePrefix("::1/128"),
		},
	}
}

// reg is a register of 4 bytes (NFT_REG32_00 and on). What is loaded into one after the
// other is one key of a concatenation.
func reg(n uint32) uint32 { return unix.NFT_REG32_00 + n }

// words is how many such registers an address takes.
func (f ipFamily) words() uint32 { return f.size / 4 }

// load loads an address of the IP header.
func (f ipFamily) load(offset, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.size}
}

// within says what happens to packets whose address at an offset is in a prefix.
func (f ipFamily) within(offset uint32, p netip.Prefix, then expr.Any) []expr.Any {
	return []expr.Any{
		f.load(offset, reg(0)),
		&expr.Bitwise{SourceRegister: reg(0), DestRegister: reg(0), Len: f.size, Mask: mask(p), Xor: make([]byte, f.size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg(0), Data: p.Addr().AsSlice()},
		then,
	}
}

// mask is the network mask of a prefix.
func mask(p netip.Prefix) []byte {
	m := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	last := p.Masked().Addr().AsSlice()
	for i, m := range mask(p) {
		last[i] |= ^m
	}
	a, _ := netip.AddrFromSlice(last)
	return a
}

// intervals are the elements of an interval set: the first address of each
// prefix, and the first one after it, which ends the interval and is left out
// where the address space ends with it.
func intervals(prefixes []netip.Prefix) []nftables.SetElement {
	var out []nftables.SetElement
	for _, p := range prefixes {
		out = append(out, nftables.SetElement{Key: p.Masked().Addr().AsSlice()})
		if end := lastOf(p).Next(); end.IsValid() {
			out = append(out, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}
