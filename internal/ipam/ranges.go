// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
)

// rangeConfig is a range as written in the configuration.
type rangeConfig struct {
	Subnet     string `json:"subnet"`
	RangeStart string `json:"rangeStart"`
	RangeEnd   string `json:"rangeEnd"`
	Gateway    string `json:"gateway"`
}

// addrRange is a checked range: first and last are inclusive and in subnet.
type addrRange struct {
	subnet      netip.Prefix
	first, last netip.Addr
	gateway     netip.Addr
}

// newRange checks a range and fills in what is left out, as host-local does:
// the gateway is the first address, the range all that lie between the
// network's and the broadcast address.
func newRange(c rangeConfig) (addrRange, error) {
	subnet, err := parseSubnet(c.Subnet)
	if err != nil {
		return addrRange{}, err
	}
	r := addrRange{subnet: subnet, first: subnet.Addr().Next(), last: lastAddr(subnet), gateway: subnet.Addr().Next()}
	if subnet.Addr().Is4() {
		r.last = r.last.Prev()
	}
	if c.Gateway != "" {
		if r.gateway, err = parseAddr("gateway", c.Gateway); err != nil {
			return addrRange{}, err
		}
		if r.gateway.Is4() != subnet.Addr().Is4() {
			return addrRange{}, invalid("gateway", c.Gateway, "is not of the family of subnet "+subnet.String())
		}
		if isBroadcast(r.gateway, subnet) {
			return addrRange{}, invalid("gateway", c.Gateway, "is the broadcast address of subnet "+subnet.String())
		}
	}
	if c.RangeStart != "" {
		if r.first, err = parseAddrIn(subnet, "rangeStart", c.RangeStart); err != nil {
			return addrRange{}, err
		}
	}
	if c.RangeEnd != "" {
		if r.last, err = parseAddrIn(subnet, "rangeEnd", c.RangeEnd); err != nil {
			return addrRange{}, err
		}
	}
	if r.last.Less(r.first) {
		return addrRange{}, invalid("rangeEnd", r.last.String(), "is before rangeStart "+r.first.String())
	}
	return r, nil
}

func parseSubnet(s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, invalid("subnet", s, "is missing")
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, invalid("subnet", s, "is not a prefix such as 10.1.2.0/24")
	}
	if p != p.Masked() {
		return netip.Prefix{}, invalid("subnet", s, "has host bits set: write "+p.Masked().String())
	}
	if p.Bits() > p.Addr().BitLen()-2 {
		return netip.Prefix{}, invalid("subnet", s, "is too small to allocate from")
	}
	// No address of these may be given, so no subnet may hold one.
	for _, special := range []netip.Prefix{
		netip.PrefixFrom(netip.IPv4Unspecified(), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 4),
		netip.PrefixFrom(netip.IPv6Unspecified(), 127),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), 96),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xff}), 8),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80}), 10), // nobody routes these
	} {
		if p.Overlaps(special) {
			return netip.Prefix{}, invalid("subnet", s, "overlaps the reserved block "+special.String())
		}
	}
	return p, nil
}

func parseAddrIn(subnet netip.Prefix, field, s string) (netip.Addr, error) {
	a, err := parseAddr(field, s)
	if err == nil && !subnet.Contains(a) {
		err = invalid(field, s, "is not in subnet "+subnet.String())
	}
	return a, err
}

func (r addrRange) String() string { return r.first.String() + "-" + r.last.String() }

func (r addrRange) contains(a netip.Addr) bool {
	return a.BitLen() == r.first.BitLen() && !a.Less(r.first) && !r.last.Less(a)
}

// reserved are the addresses that no container gets even if a range is
// written so that they are in it.
func (r addrRange) reserved(a netip.Addr) bool {
	return a == r.gateway || a == r.subnet.Addr() || a.Is4() && a == lastAddr(r.subnet)
}

// size is the number of addresses to give, at most math.MaxUint64.
func (r addrRange) size() uint64 {
	firstHigh, firstLow := halves(r.first)
	lastHigh, lastLow := halves(r.last)
	low, borrow := bits.Sub64(lastLow, firstLow, 0)
	high, _ := bits.Sub64(lastHigh, firstHigh, borrow)
	if high > 0 || low == math.MaxUint64 {
		return math.MaxUint64
	}
	n := low + 1
	ends := map[netip.Addr]struct{}{r.gateway: {}, r.subnet.Addr(): {}, lastAddr(r.subnet): {}}
	for a := range ends {
		if r.contains(a) && r.reserved(a) {
			n--
		}
	}
	return n
}

func halves(a netip.Addr) (high, low uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// lastAddr is the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		ones := min(max(p.Bits()-8*i, 0), 8)
		b[i] |= byte(0xff >> ones)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
