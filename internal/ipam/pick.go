// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/state"
)

// picker chooses addresses under the lock without claiming them yet.
type picker struct {
	d       *directory
	key     state.Key
	network string
	hooks   Hooks
	swept   bool
}

// pickAll chooses one address per range set. wanted has, for each set, the
// address requested of it or the zero Addr.
func (p *picker) pickAll(sets []rangeSet, wanted []netip.Addr) ([]cniproto.IPConfig, error) {
	ips := make([]cniproto.IPConfig, 0, len(sets))
	for i, set := range sets {
		addr, r, err := p.pick(i, set, wanted[i])
		if err != nil {
			return nil, err
		}
		ips = append(ips, cniproto.IPConfig{Address: netip.PrefixFrom(addr, r.subnet.Bits()), Gateway: r.gateway})
	}
	return ips, nil
}

func (p *picker) pick(i int, set rangeSet, wanted netip.Addr) (netip.Addr, addrRange, error) {
	if wanted.IsValid() {
		return p.requested(i, set, wanted)
	}
	if addr, r, err := p.preferred(set); err != nil || addr.IsValid() {
		return addr, r, err
	}
	addr, r, err := p.roundRobin(i, set)
	if err != nil || addr.IsValid() {
		return addr, r, err
	}
	if !p.swept {
		p.swept = true
		if err := p.d.sweep(p.key, p.hooks.Alive); err != nil {
			return netip.Addr{}, addrRange{}, err
		}
		addr, r, err = p.roundRobin(i, set)
		if err != nil || addr.IsValid() {
			return addr, r, err
		}
	}
	return netip.Addr{}, addrRange{}, &cniproto.Error{
		Code:    cniproto.CodeIPAM,
		Msg:     fmt.Sprintf("no free address in network %q, range set %d (%s)", p.network, i, set),
		Details: "delete containers, run GC to release what dead ones hold, or widen ipam.ranges",
	}
}

// requested takes the address that was asked for, or fails.
func (p *picker) requested(i int, set rangeSet, addr netip.Addr) (netip.Addr, addrRange, error) {
	r, _ := set.find(addr)
	res, err := p.d.read(addr)
	if err != nil {
		return netip.Addr{}, r, err
	}
	if !res.availableTo(p.key) {
		return netip.Addr{}, r, &cniproto.Error{
			Code:    cniproto.CodeIPAM,
			Msg:     fmt.Sprintf("requested address %s of network %q, range set %d (%s)", addr, p.network, i, set),
			Details: fmt.Sprintf("is reserved for %s: request another one or delete that container", res.owner()),
		}
	}
	return addr, r, nil
}

// preferred takes again what the dead attachment of the same key held, if it
// is still to be had.
func (p *picker) preferred(set rangeSet) (netip.Addr, addrRange, error) {
	for _, addr := range p.hooks.Prefer {
		r, ok := set.find(addr)
		if !ok || r.reserved(addr) {
			continue
		}
		res, err := p.d.read(addr)
		if err != nil {
			return netip.Addr{}, r, err
		}
		if res.availableTo(p.key) {
			return addr, r, nil
		}
	}
	return netip.Addr{}, addrRange{}, nil
}

// roundRobin takes the first free address behind the one given last, or returns
// the zero Addr. It costs one stat per taken address on its way, however many
// reservations there are.
func (p *picker) roundRobin(i int, set rangeSet) (netip.Addr, addrRange, error) {
	for addr, r := range set.after(p.d.cursor(i)) {
		free, err := p.d.free(addr)
		if err != nil {
			return netip.Addr{}, r, err
		}
		if free {
			return addr, r, nil
		}
	}
	return netip.Addr{}, addrRange{}, nil
}

// owner names the holder in a message.
func (r reservation) owner() string {
	if r.kind == foreign {
		return "a file that host-local did not write"
	}
	return fmt.Sprintf("container %q, interface %q", r.id, r.ifname)
}
