// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/ipam"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// Check reports the first thing of an attachment that is not as ADD made it and
// as prevResult says. Later plugins of the chain may have changed what
// prevResult shows (addresses, MAC), and added what it does not.
func (p *Plugin) Check(ctx context.Context, call Call) error {
	if err := sinceVersion(call.Config, "0.4.0", "CHECK"); err != nil {
		return err
	}
	if call.Config.PrevResult == nil {
		return cniproto.Errorf(cniproto.CodeInvalidConfig, "check "+call.key().String(), "prevResult is missing: give the result of ADD")
	}
	r, err := p.parse(call)
	if err != nil {
		return err
	}
	defer r.ns.Close()
	store, err := state.Open(p.StateDir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return drift(call, fmt.Errorf("it is not attached: there is no state"))
	}
	if err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "open state", err)
	}
	defer store.Close()
	lock, err := p.lockKey(store, call.key())
	if err != nil {
		return err
	}
	defer lock.Unlock()
	record, err := store.Load(call.key())
	if err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "read state", err)
	}
	if record == nil || record.Phase != state.Ready {
		return drift(call, fmt.Errorf("it is not attached: there is no record of it"))
	}
	if id := r.ns.ID(); record.NetnsDev != id.Dev || record.NetnsIno != id.Ino {
		return drift(call, fmt.Errorf("CNI_NETNS %q is another namespace than at ADD", call.Env.Netns))
	}
	l := layoutOf(record)
	l.routes = ownRoutes(r.prev, l)
	was, _ := cniproto.DecodeResult(record.Result, cniproto.Current) // a lost line of the record is no fault
	says, err := claimsOf(r, l, was)
	if err == nil {
		err = p.compare(r, l, says)
	}
	if err != nil {
		return drift(call, err)
	}
	return cniproto.Wrap(cniproto.CodeIPAM, "check addresses",
		r.ipam.Check(ctx, &ipam.Claim{Dir: record.ClaimDir, Addrs: record.Claimed}))
}

func drift(call Call, err error) error {
	return cniproto.Errorf(cniproto.CodeNetlink, "check "+call.key().String(), "%w", err)
}

// compare looks at both halves of the attachment, and at what it shares.
func (p *Plugin) compare(r *request, l *layout, says *claims) error {
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer conn.Close()
	tree := sysctl.OpenTree()
	defer tree.Close()
	host, err := rtnl.Link(conn, l.hostIf)
	if err != nil {
		return fmt.Errorf("host interface %q: %w", l.hostIf, err)
	}
	// First what others rest on: routes go with the gateway interface.
	if err := sharedObjects(conn, tree, l); err != nil {
		return err
	}
	if err := errors.Join(hasPorts(l), heldElements(l)); err != nil {
		return err
	}
	if l.programs {
		if err := errors.Join(comparePrograms(conn, l), compareCgroup(l)); err != nil {
			return err
		}
	}
	if err := comparePortPrograms(conn, l); err != nil {
		return err
	}
	if l.limits.any() {
		if err := compareShape(conn, l); err != nil {
			return err
		}
	}
	if err := compareHost(conn, tree, host, l); err != nil {
		return err
	}
	if err := says.onHost(conn, host); err != nil {
		return err
	}
	return r.ns.Do(func() error { return compareContainer(l, host, says) })
}

func compareHost(conn *nlmsg.Conn, tree *sysctl.Tree, host rtnl.LinkInfo, l *layout) error {
	if !slices.Equal(host.MAC, l.hostMAC) {
		return fmt.Errorf("host interface %q has address %s, not %s", l.hostIf, host.MAC, l.hostMAC)
	}
	if !host.Up {
		return fmt.Errorf("host interface %q is down", l.hostIf)
	}
	if err := forwardsIPv4(tree, l); err != nil {
		return err
	}
	if err := hasRoutes(conn, host.Index, l.hostIf, l.hostRoutes(host.Index)); err != nil {
		return err
	}
	near, err := rtnl.Neighbours(conn, host.Index)
	if err != nil {
		return err
	}
	for _, ip := range l.ips {
		if err := leadsTo(near, ip.Address.Addr(), l.containerMAC); err != nil {
			return fmt.Errorf("host interface %q %w", l.hostIf, err)
		}
	}
	return nil
}

// leadsTo looks for the permanent neighbour by which an address is reached.
func leadsTo(near map[netip.Addr]net.HardwareAddr, addr netip.Addr, mac net.HardwareAddr) error {
	have, ok := near[addr]
	if !ok {
		return fmt.Errorf("lacks the neighbour %s", addr)
	}
	if !slices.Equal(have, mac) {
		return fmt.Errorf("has the neighbour %s at %s, not %s", addr, have, mac)
	}
	return nil
}

func compareContainer(l *layout, host rtnl.LinkInfo, says *claims) error {
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer conn.Close()
	ifname := l.key.IfName
	link, err := rtnl.Link(conn, ifname)
	if err != nil {
		return fmt.Errorf("container interface %q: %w", ifname, err)
	}
	if link.Index != host.PeerIndex {
		return fmt.Errorf("container interface %q is not the peer of %q", ifname, l.hostIf)
	}
	if !link.Up {
		return fmt.Errorf("container interface %q is down", ifname)
	}
	if err := claimedMAC("container interface", ifname, says.containerMAC, link.MAC); err != nil {
		return err
	}
	if err := compareNextHops(conn, link, l); err != nil {
		return err
	}
	if err := hasAddrs(conn, link.Index, ifname, says.addrs); err != nil {
		return err
	}
	if err := hasRoutes(conn, link.Index, ifname, l.linkRoutes(link.Index)); err != nil {
		return err
	}
	if err := hasRoutes(conn, 0, ifname, l.farRoutes(link.Index)); err != nil {
		return err
	}
	return says.nextHops(conn, link)
}

// compareNextHops looks at what carries packets between the container and the
// host. Whoever sets the address of the container's interface, be it to the same
// one, makes the kernel drop the neighbours there, permanent ones too
// (neigh_changeaddr of net/core/neighbour.c). The host answers for an IPv4
// gateway of its own, so that one is found again; and it goes on sending to the
// address of ADD.
func compareNextHops(conn *nlmsg.Conn, link rtnl.LinkInfo, l *layout) error {
	if !slices.Equal(link.MAC, l.containerMAC) {
		return fmt.Errorf("container interface %q has address %s, but the host sends to %s: "+
			"let emerita set the address (capability mac, args.cni.mac or MAC in CNI_ARGS), not a later plugin",
			l.key.IfName, link.MAC, l.containerMAC)
	}
	near, err := rtnl.Neighbours(conn, link.Index)
	if err != nil {
		return err
	}
	for _, g := range l.gateways {
		if _, ok := near[g]; !ok && g.Is4() && slices.Contains(l.onHost, g) {
			continue
		}
		if err := leadsTo(near, g, l.hostMAC); err != nil {
			return fmt.Errorf("container interface %q %w", l.key.IfName, err)
		}
	}
	return nil
}

func hostPrefixes(addrs []netip.Addr) []netip.Prefix {
	out := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		out[i] = hostPrefix(a)
	}
	return out
}

func hasAddrs(conn *nlmsg.Conn, index int, name string, wanted []netip.Prefix) error {
	have, err := rtnl.Addrs(conn, index)
	if err != nil {
		return err
	}
	for _, a := range wanted {
		if !slices.Contains(have, a) {
			return fmt.Errorf("interface %q lacks address %s", name, a)
		}
	}
	return nil
}

// hasRoutes looks for routes by destination and gateway, in any table, because
// sbr moves them; out of any link if index is 0, because of two attachments
// with one destination the first wins.
func hasRoutes(conn *nlmsg.Conn, index int, name string, wanted []rtnl.Route) error {
	have, err := rtnl.Routes(conn, index)
	if err != nil {
		return err
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(have, func(h rtnl.Route) bool {
			return h.Dst == w.Dst && (index == 0 || h.Gateway == w.Gateway)
		}) {
			return fmt.Errorf("interface %q lacks route %s", name, w.Dst)
		}
	}
	return nil
}
