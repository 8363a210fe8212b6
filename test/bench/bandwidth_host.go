// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A bandwidthHost is a host with a container of limited bandwidth, and beside it one of
// the same network without limits.
type bandwidthHost struct {
	*host
	variant       string
	mbit          int
	limited, peer end
	address       netip.Addr // of the peer
	gateway       netip.Addr // an address of the host that the limited one knows
}

func newBandwidthHost(ctx context.Context, work, name string, p bandwidthPlan, mbit int) (*bandwidthHost, error) {
	v := newBandwidthVariant(name)
	v.name = fmt.Sprintf("%s-%d", name, mbit)
	h, err := newHost(work, v, "eth0")
	if err != nil {
		return nil, err
	}
	b := &bandwidthHost{host: h, variant: name, mbit: mbit, limited: end{h, -1}, peer: end{h, -1}}
	if err := b.attach(ctx, p.limitOf(mbit)); err != nil {
		b.close()
		return nil, fmt.Errorf("limit bandwidth by %s: %w", name, err)
	}
	return b, nil
}

func (b *bandwidthHost) attach(ctx context.Context, l *limit) (err error) {
	if b.peer, b.address, _, err = b.container(ctx, "peer", nil); err != nil {
		return err
	}
	if b.limited, _, b.gateway, err = b.container(ctx, "limited", l); err != nil {
		return err
	}
	return b.inOutside(wayToContainers)
}

// container attaches one, and returns its namespace and addresses.
func (b *bandwidthHost) container(ctx context.Context, name string, l *limit) (e end, address, gateway netip.Addr, err error) {
	e = end{b.host, -1}
	c, err := b.newContainer(name, false)
	if err != nil {
		return e, address, gateway, err
	}
	a := b.attachmentOf(c)
	a.limit = l
	if _, err := b.add(ctx, a); err != nil {
		return e, address, gateway, err
	}
	if address, gateway, err = addresses(a.result); err != nil {
		return e, address, gateway, fmt.Errorf("%s of %s: %w", name, b.name, err)
	}
	e, err = b.endOf(c)
	return e, address, gateway, err
}

func (b *bandwidthHost) close() {
	for _, e := range []end{b.limited, b.peer} {
		if e.netns >= 0 {
			unix.Close(e.netns)
		}
	}
	b.host.close()
}

// other is who the limited container talks to, and its address.
func (b *bandwidthHost) other(peer scope) (end, netip.Addr) {
	switch peer {
	case scopeHost:
		return end{b.host, b.netns}, b.gateway
	case scopeOutside:
		return end{b.host, b.outside}, netip.AddrFrom4([4]byte{192, 0, 2, 1})
	default:
		return b.peer, b.address
	}
}
