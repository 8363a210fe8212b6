// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// tools are what an ADD works with; who made them closes them.
type tools struct {
	store    *state.Store
	lock     *state.Lock // the attachment's
	conn     *nlmsg.Conn
	tree     *sysctl.Tree
	programs *datapath.Handle // nil on a host without eBPF, or for a network that wants none

	congestion   *datapath.Congestion   // of local connections; nil if as they are
	acceleration *datapath.Acceleration // of sockets; nil if none
}

// wire makes the kernel objects of an attachment: the pair, then the host's
// half, then the container's, so that nothing can be sent before it can be
// answered. It returns the address of the shared interface.
func (p *Plugin) wire(t tools, r *request, l *layout, undo *undoList) (net.HardwareAddr, error) {
	var gw gateway
	undo.add(func() error { return undoGateway(t, l, &gw) })
	if l.limits.egress.rate != 0 {
		undo.add(func() error { return deleteIfb(t.conn, l.key, nil) })
	}
	var err error
	if l.hostIndex, err = createPair(t.conn, r.ns, l, t.programs != nil); err != nil {
		return nil, err
	}
	if t.programs != nil {
		undo.add(func() error { return p.forget(endpointOf(l)) })
	}
	undo.add(func() error { return rtnl.DeleteAndWait(t.conn, l.hostIndex, l.hostIf) })
	if t.programs != nil {
		err := attach(t.programs, t.conn, l, true)
		if err != nil {
			err = errors.Join(err, t.programs.Unregister(endpointOf(l)))
		}
		if err == nil {
			l.programs = true
		} else if l.device == rtnl.Netkit { // it lets nothing out without
			return nil, cniproto.Errorf(cniproto.CodeNotAvailable, "attach eBPF programs to "+l.hostIf, "%w: set device to veth", err)
		} else if err := p.withoutPrograms(r.options, err); err != nil {
			return nil, err
		}
	}
	if l.limits.any() {
		if err := shape(t.conn, t.tree, l); err != nil {
			return nil, err
		}
	}
	if err := t.lock.Share(gatewayLock(l.gatewayIf), p.LockTimeout); err != nil {
		return nil, busy(err)
	}
	if err := ensureGatewayInterface(t.conn, t.tree, l.gatewayIf, &gw); err != nil {
		return nil, err
	}
	if err := wireHost(t.conn, t.tree, l, l.hostIndex, &gw); err != nil {
		return nil, explainHost(err, t.store, l)
	}
	if gw.fresh() {
		if err := awaitLocal(t.conn, l.onHost); err != nil {
			return nil, cniproto.Wrap(cniproto.CodeNetlink, "configure "+l.gatewayIf, err)
		}
	}
	if l.programs {
		// Not before: the host's routes have shown that the addresses are free.
		if err := t.programs.RegisterAddrs(endpointOf(l)); err != nil {
			return nil, cniproto.Wrap(cniproto.CodeNetlink, "register addresses in the eBPF maps", err)
		}
	}
	cookie, err := wireContainer(t.tree, r.ns, l)
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeNetlink, "configure "+l.key.IfName+" in the container", err)
	}
	if l.programs && t.congestion != nil {
		l.congestion = t.congestion
		l.congestion.NetnsCookie = cookie
		if err := t.programs.RegisterSockets(endpointOf(l)); err != nil {
			if r.options.namesCongestion() {
				return nil, cniproto.Wrap(cniproto.CodeNetlink, "register sockets in the eBPF maps", err)
			}
			l.congestion = nil
			p.Log.Warn("local connections keep the host's congestion control", "err", err)
		}
	}
	if l.programs && t.acceleration != nil {
		l.acceleration = t.acceleration
		l.acceleration.NetnsCookie = cookie
		undo.add(func() error { return p.dismiss(t.store, l.key, l.acceleration.Cgroup) })
		if err := accelerate(t.programs, l); err != nil {
			return nil, noAcceleration(err)
		}
	}
	// The host end has a carrier only now, and drops what it sends until the
	// kernel's link watch has run. Asking for the link makes it run first
	// (rtnl_getlink in net/core/rtnetlink.c, since Linux 6.8), so that the
	// answer to a container's first packet is not lost.
	if _, err := rtnl.Link(t.conn, l.hostIf); err != nil {
		return nil, cniproto.Wrap(cniproto.CodeNetlink, "look at "+l.hostIf, err)
	}
	if gw.fresh() {
		// It is the network's first, or somebody had deleted the interface or
		// its address, and with that went the routes of every other attachment
		// that named it as their source.
		// One that cannot be mended is not this call's fault; its CHECK tells.
		if err := p.mendHostRoutes(t.store, t.conn, l.gatewayIf, gw.index); err != nil {
			p.Log.Warn("mend routes", "interface", l.gatewayIf, "err", err)
		}
	}
	return gw.mac, nil
}

// createPair creates the pair and returns the index of its host end.
func createPair(conn *nlmsg.Conn, ns *netns.NS, l *layout, closed bool) (int, error) {
	var b nlmsg.Batch
	rtnl.AddPair(&b, rtnl.Pair{
		Kind: l.device, Name: l.hostIf, MAC: l.hostMAC, MTU: l.mtu, Offload: l.offload.host, Closed: closed,
		PeerName: l.key.IfName, PeerMAC: l.containerMAC, PeerOffload: l.offload.container, PeerNetns: ns.FD(),
	})
	err := conn.Do(&b)
	if l.device == rtnl.Netkit && errors.Is(err, unix.EOPNOTSUPP) {
		return 0, cniproto.Errorf(cniproto.CodeNotAvailable, "create interface pair",
			"%w: the kernel has no netkit (Linux 6.7, CONFIG_NETKIT): set device to auto", err)
	}
	if errors.Is(err, unix.EEXIST) {
		if _, ierr := rtnl.Index(conn, l.hostIf); ierr == nil {
			return 0, cniproto.Errorf(cniproto.CodeNetlink, "create interface pair",
				"an interface %q that is not Emerita's stands on the host: rename or delete it: %w", l.hostIf, err)
		}
		return 0, cniproto.Errorf(cniproto.CodeNetlink, "create interface pair",
			"the container has an interface %q already: choose another CNI_IFNAME or delete it: %w", l.key.IfName, err)
	}
	if err != nil {
		return 0, cniproto.Wrap(cniproto.CodeNetlink, "create interface pair", err)
	}
	index, err := rtnl.Index(conn, l.hostIf)
	if errors.Is(err, rtnl.ErrNoLink) {
		index, err = indexByPeer(ns, l.key.IfName)
	}
	return index, cniproto.Wrap(cniproto.CodeNetlink, "create interface pair", err)
}

// indexByPeer finds a host end that was renamed as soon as it stood, whatever was made of
// its address: the container's end names it. What comes next fails for the lack of the name,
// but then there is an index to undo it by.
func indexByPeer(ns *netns.NS, name string) (index int, err error) {
	err = ns.Do(func() error {
		conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer conn.Close()
		l, err := rtnl.Link(conn, name)
		if err == nil && l.PeerIndex == 0 {
			err = fmt.Errorf("find the other end of %q: %w", name, rtnl.ErrNoLink)
		}
		index = l.PeerIndex
		return err
	})
	return index, err
}

// explainHost says what a refused route most likely means, and who has it.
func explainHost(err error, store *state.Store, l *layout) error {
	what := "configure " + l.hostIf + " on the host"
	if !errors.Is(err, unix.EEXIST) {
		return cniproto.Wrap(cniproto.CodeNetlink, what, err)
	}
	who := "another interface"
	records, _ := store.List("") // only to name the holder
	for _, r := range records {
		if r.Key != l.key && slices.ContainsFunc(r.Addresses, func(a netip.Prefix) bool {
			return slices.ContainsFunc(l.ips, func(ip cniproto.IPConfig) bool { return ip.Address.Addr() == a.Addr() })
		}) {
			who = fmt.Sprintf("network %q (container %s)", r.Key.Network, r.Key.ContainerID)
		}
	}
	return cniproto.Errorf(cniproto.CodeNetlink, what,
		"%w: the address is in use by %s: give network %q other ranges", err, who, l.key.Network)
}

// mendHostRoutes puts back what every attachment needs of the shared interface:
// the gateway addresses on it, and the host routes that went with them. A host end that
// was down has lost these too, and its neighbours with them. It is
// also a step of repair: it changes nothing that is right, and goes on after an
// error.
func (p *Plugin) mendHostRoutes(store *state.Store, conn *nlmsg.Conn, gatewayIf string, gatewayIndex int) error {
	records, err := store.List("")
	if err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "read state", err)
	}
	var errs []error
	for _, r := range records {
		index, err := rtnl.Index(conn, r.HostIfName)
		if r.Phase != state.Ready || r.Gateway != gatewayIf || err != nil {
			continue
		}
		l := layoutOf(r)
		var b nlmsg.Batch
		addGateways(&b, l, gatewayIndex)
		for _, route := range l.hostRoutes(index) {
			rtnl.AddRoute(&b, route, r.HostIfName)
			b.Tolerate(unix.EEXIST)
		}
		for _, ip := range l.ips {
			rtnl.AddNeigh(&b, index, ip.Address.Addr(), l.containerMAC, r.HostIfName)
		}
		errs = append(errs, cniproto.Wrap(cniproto.CodeNetlink, "mend routes of "+r.Key.String(), conn.Do(&b)))
	}
	return errors.Join(errs...)
}
