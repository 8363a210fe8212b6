// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
)

// An address that a container gets, or that the shared interface does, the host does not
// reach anywhere else from then on. So it must not be one that the host is itself, or has
// its neighbours or its way out by. The kernel takes them all: what is local stands in a
// table of its own, and a route to one address beside those to many. It costs one question
// about a route for each of these addresses: two system calls, without a lock of the kernel's.
//
// An address out of a neighbour's subnet may be a container's: whoever answers for it there
// (proxy_arp) makes it so. Then the host's own address there is the gateway.

// checkHost refuses addresses that would cut the host off.
func checkHost(conn *nlmsg.Conn, l *layout, up4, up6 uplink) error {
	ways := map[bool]netip.Addr{true: up4.gateway, false: up6.gateway} // by "is IPv4"
	for _, ip := range l.ips {
		a := ip.Address.Addr()
		if a == ways[a.Is4()] {
			return taken(l, "address %s of the container is the gateway of the host's own default route", a)
		}
		r, kind, err := rtnl.Match(conn, a)
		if err == nil && kind == unix.RTN_LOCAL {
			name, _ := rtnl.Name(conn, r.Link) // for the message alone
			return taken(l, "address %s of the container is the host's own, on %q", a, name)
		}
	}
	for _, g := range l.onHost {
		if g == ways[g.Is4()] {
			return taken(l, "gateway %s is that of the host's own default route", g)
		}
		if err := checkGateway(conn, l, g); err != nil {
			return err
		}
	}
	return nil
}

// checkGateway looks how the host reaches an address that is to be its own: mostly it is
// already.
func checkGateway(conn *nlmsg.Conn, l *layout, g netip.Addr) error {
	r, kind, err := rtnl.Match(conn, g)
	if err != nil || kind != unix.RTN_UNICAST || r.Dst.Bits() == 0 {
		return nil // local, unreachable, or not known better than the rest of the world
	}
	link, err := rtnl.LinkAt(conn, r.Link)
	if err != nil || link.Name == l.gatewayIf {
		return nil // whoever named that interface meant it
	}
	// A route to more than this network, by a next hop or into a tunnel, leads to other
	// hosts' networks of which this one is a part.
	if far := r.Gateway.IsValid() || link.NoARP; far && r.Dst.Bits() < l.networkOf(g).Bits() {
		return nil
	}
	return taken(l, "the host reaches gateway %s by %q, route %s", g, link.Name, r.Dst)
}

// networkOf is the first of the container's networks that has a gateway.
func (l *layout) networkOf(g netip.Addr) netip.Prefix {
	for _, ip := range l.ips {
		if ip.Gateway == g {
			return ip.Address.Masked()
		}
	}
	return netip.Prefix{}
}

func taken(l *layout, format string, args ...any) error {
	return cniproto.Errorf(cniproto.CodeNetlink, "attach "+l.key.String(),
		format+": give network %q other ranges, or as gateway an address of the host", append(args, l.key.Network)...)
}
