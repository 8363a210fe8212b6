// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// othersFrom is the first published port that no timed call asks for, over 20000.
const othersFrom = 1000

// clients is where connections from the outside come from, a new address for each
// sample: the TIME_WAIT of the samples before would leave too few ports of one address.
var clients = net.IPNet{IP: net.IPv4(198, 51, 100, 0), Mask: net.CIDRMask(24, 32)}

// A portsHost is a host on which a number of ports is published. One of them, in the
// middle, leads to a container in which there can be a server; on the host without
// published ports it is the container's address that does.
type portsHost struct {
	*host
	variant   string
	published int
	calls     *container // for timed calls
	server    end
	listen    uint16         // port of the server
	address   netip.AddrPort // where the outside finds the server
	client    uint8          // last byte of the address of the next client
}

func newPortsHost(ctx context.Context, work, name string, published, each int, ifname string) (*portsHost, error) {
	v := newPortsVariant(name)
	v.name = fmt.Sprintf("%s-%d", name, published)
	h, err := newHost(work, v, ifname)
	if err != nil {
		return nil, err
	}
	p := &portsHost{host: h, variant: name, published: published, server: end{h, -1}}
	if err := p.publish(ctx, each); err != nil {
		p.close()
		return nil, fmt.Errorf("publish %d ports of %s: %w", published, name, err)
	}
	return p, nil
}

func (p *portsHost) close() {
	if p.server.netns >= 0 {
		unix.Close(p.server.netns)
	}
	p.host.close()
}

// publish attaches containers with a number of ports each. The server is in the one in
// the middle, and so is its port among those of the container.
func (p *portsHost) publish(ctx context.Context, each int) error {
	var err error
	if p.calls, err = p.newContainer("calls", true); err != nil {
		return err
	}
	groups := groupsOf(p.published, each)
	for i, ports := range groups {
		c, err := p.newContainer(fmt.Sprintf("published-%d", i), false)
		if err != nil {
			return err
		}
		a := p.attachmentOf(c)
		a.ports = ports
		if _, err := p.add(ctx, a); err != nil {
			return err
		}
		if i == len(groups)/2 {
			if err := p.serve(a); err != nil {
				return err
			}
		}
	}
	return p.reach()
}

// groupsOf are the ports of the containers that fill a host: one without a port if there
// are none.
func groupsOf(published, each int) [][]portMapping {
	if published == 0 {
		return [][]portMapping{nil}
	}
	return slices.Collect(slices.Chunk(mappings(othersFrom, published), each))
}

// serve chooses the container of the server.
func (p *portsHost) serve(a *attachment) error {
	address, _, err := addresses(a.result)
	if err != nil {
		return err
	}
	p.listen, p.address = 8000, netip.AddrPortFrom(address, 8000)
	if n := len(a.ports); n > 0 {
		m := a.ports[n/2]
		p.listen = uint16(m.ContainerPort)
		p.address = netip.AddrPortFrom(netip.MustParseAddr(uplinkAddr), uint16(m.HostPort))
	}
	p.server, err = p.endOf(a.container)
	return err
}

// reach gives the outside the addresses of the clients, and a way to the containers.
func (p *portsHost) reach() error {
	return p.inOutside(func() error {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: &clients, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST})
		}
		if err != nil {
			return fmt.Errorf("add the clients' addresses: %w", err)
		}
		return wayToContainers()
	})
}

// nextClient is an address of the outside that has not been used for long.
func (p *portsHost) nextClient() netip.Addr {
	p.client++
	return netip.AddrFrom4([4]byte{198, 51, 100, p.client})
}
