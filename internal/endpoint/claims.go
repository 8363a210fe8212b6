// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
)

// claims is what prevResult says of an attachment, for the kernel to bear out: both of its
// interfaces, their addresses with gateways, and its routes. Plugins that come later in
// the chain may change all of these but the interfaces, and tell or not (tuning does not
// tell of an MTU): so what prevResult does not list is not missed, an MTU is not compared,
// and what it lists otherwise than ADD did is held against the kernel, not against the
// record. DNS is nothing that is done here.
type claims struct {
	containerMAC, hostMAC string                    // empty if it does not say
	addrs                 []netip.Prefix            // of the container's interface
	gateways              []netip.Addr              // beside them
	hostAddrs             map[string][]netip.Prefix // of interfaces on the host that are ours
	moved                 []cniproto.Route          // to a destination of ours, but by another next hop
}

// claimsOf reads prevResult. was is the result of ADD, nil if it is not known.
func claimsOf(r *request, l *layout, was *cniproto.Result) (*claims, error) {
	prev := r.prev
	container := slices.IndexFunc(prev.Interfaces, func(i cniproto.Interface) bool {
		return i.Name == l.key.IfName && r.isSandbox(i.Sandbox)
	})
	if container < 0 {
		return nil, fmt.Errorf("prevResult does not list the container interface %q in %s", l.key.IfName, r.call.Env.Netns)
	}
	host := slices.IndexFunc(prev.Interfaces, func(i cniproto.Interface) bool { return i.Name == l.hostIf && i.Sandbox == "" })
	if host < 0 {
		return nil, fmt.Errorf("prevResult does not list the host interface %q", l.hostIf)
	}
	c := &claims{
		containerMAC: prev.Interfaces[container].Mac, hostMAC: prev.Interfaces[host].Mac,
		hostAddrs: map[string][]netip.Prefix{}, moved: movedRoutes(prev, was, l),
	}
	for _, ip := range prev.IPs {
		if ip.Interface == nil {
			continue
		}
		on := prev.Interfaces[*ip.Interface]
		switch {
		case *ip.Interface == container:
			c.addrs = append(c.addrs, ip.Address)
			if ip.Gateway.IsValid() {
				c.gateways = append(c.gateways, ip.Gateway)
			}
		case on.Sandbox == "" && (on.Name == l.hostIf || on.Name == l.gatewayIf):
			c.hostAddrs[on.Name] = append(c.hostAddrs[on.Name], ip.Address)
		}
	}
	return c, nil
}

// isSandbox says whether a path of prevResult leads to the container's namespace.
func (r *request) isSandbox(path string) bool {
	if path == "" || path == r.call.Env.Netns {
		return path != ""
	}
	ns, err := netns.Open(path)
	if err != nil {
		return false
	}
	defer ns.Close()
	return ns.ID() == r.ns.ID()
}

// ownRoutes are the routes of a result by way of a next hop of ours.
func ownRoutes(result *cniproto.Result, l *layout) []cniproto.Route {
	var out []cniproto.Route
	for _, r := range result.Routes {
		if isOwn(r, l) {
			out = append(out, r)
		}
	}
	return out
}

func isOwn(r cniproto.Route, l *layout) bool {
	return slices.ContainsFunc(l.ips, func(ip cniproto.IPConfig) bool { return ip.Gateway == r.GW })
}

// movedRoutes are those to which prevResult gives another next hop than ADD did. One of
// an earlier plugin to the same destination was there already.
func movedRoutes(prev, was *cniproto.Result, l *layout) []cniproto.Route {
	if was == nil {
		return nil
	}
	same := func(a, b cniproto.Route) bool { return a.Dst.Masked() == b.Dst.Masked() && a.GW == b.GW }
	return slices.DeleteFunc(slices.Clone(prev.Routes), func(r cniproto.Route) bool {
		known := slices.ContainsFunc(was.Routes, func(w cniproto.Route) bool { return same(w, r) })
		ours := slices.ContainsFunc(ownRoutes(was, l), func(w cniproto.Route) bool { return w.Dst.Masked() == r.Dst.Masked() })
		return isOwn(r, l) || known || !ours
	})
}

// onHost compares what is said of interfaces on the host.
func (c *claims) onHost(conn *nlmsg.Conn, host rtnl.LinkInfo) error {
	if err := claimedMAC("host interface", host.Name, c.hostMAC, host.MAC); err != nil {
		return err
	}
	for name, addrs := range c.hostAddrs {
		link, err := rtnl.Link(conn, name)
		if err == nil {
			err = hasAddrs(conn, link.Index, name, addrs)
		}
		if err != nil {
			return fmt.Errorf("prevResult: %w", err)
		}
	}
	return nil
}

// nextHops compares what is said of next hops in the container. A gateway must be on the
// link, or be the next hop of a route.
func (c *claims) nextHops(conn *nlmsg.Conn, link rtnl.LinkInfo) error {
	if len(c.gateways) == 0 && len(c.moved) == 0 {
		return nil
	}
	have, err := rtnl.Routes(conn, 0)
	if err != nil {
		return err
	}
	for _, g := range c.gateways {
		if !slices.ContainsFunc(have, func(h rtnl.Route) bool {
			return h.Link == link.Index && (h.Gateway == g || !h.Gateway.IsValid() && h.Dst.Contains(g))
		}) {
			return fmt.Errorf("interface %q has no route by the gateway %s of prevResult", link.Name, g)
		}
	}
	for _, w := range c.moved {
		if !slices.ContainsFunc(have, func(h rtnl.Route) bool { return h.Dst == w.Dst.Masked() && h.Gateway == w.GW }) {
			return fmt.Errorf("the container lacks the route %s by %s of prevResult", w.Dst, w.GW)
		}
	}
	return nil
}

func claimedMAC(what, name, claimed string, is net.HardwareAddr) error {
	if claimed != "" && !strings.EqualFold(claimed, is.String()) {
		return fmt.Errorf("%s %q has address %s, prevResult says %s", what, name, is, claimed)
	}
	return nil
}
