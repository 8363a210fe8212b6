// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"cmp"
	"errors"
	"net"
	"slices"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// newRecord is the intent of an ADD.
func (p *Plugin) newRecord(r *request) *state.Record {
	id := r.ns.ID()
	k := r.call.key()
	return &state.Record{
		Key: k, Phase: state.Claiming, Plugin: p.Version,
		Netns: r.call.Env.Netns, NetnsDev: id.Dev, NetnsIno: id.Ino,
		HostIfName: k.HostIfName(), Gateway: r.options.GatewayInterface,
		IPAM: r.call.Config.IPAMType, Labels: r.labels, Aliases: r.aliases, Masquerade: r.options.IPMasq,
		Bandwidth: r.options.limited.record(), Acceleration: accelerationRecord(r.acceleration),
	}
}

// describe adds what the layout decides.
func describe(record *state.Record, l *layout) {
	record.MAC = l.containerMAC.String()
	for _, ip := range l.ips {
		record.Addresses = append(record.Addresses, ip.Address)
		record.Gateways = append(record.Gateways, ip.Gateway)
	}
}

// describeWiring adds what the host could give.
func describeWiring(record *state.Record, l *layout) {
	record.HostIfIndex, record.MTU, record.RouteMTU = l.hostIndex, l.mtu, l.routeMTU
	record.Device = string(l.device)
	if record.Bandwidth != nil {
		record.Bandwidth.IfbIndex = l.ifbIndex
	} else {
		record.BigTCP, record.BigTCP4 = l.offload.host.GSO, l.offload.host.GSO4
	}
	record.Programs = l.programs
	if l.programs {
		record.FastPath, record.Isolated, record.Allowed, record.HostClosed = l.fastPath, l.isolated, l.allowed, l.hostClosed
	}
	if c := l.congestion; c != nil {
		record.Congestion = &state.Congestion{Name: c.Name, Unpaced: c.Unpaced, NetnsCookie: c.NetnsCookie}
	}
	record.Acceleration = accelerationRecord(l.acceleration)
}

// layoutOf is the host's half of the layout of a recorded attachment.
func layoutOf(r *state.Record) *layout {
	l := &layout{
		key: r.Key, hostIf: r.HostIfName, hostIndex: r.HostIfIndex, hostMAC: r.Key.HostMAC(),
		gatewayIf: r.Gateway, masquerade: r.Masquerade, mtu: r.MTU,
		device:   cmp.Or(rtnl.Kind(r.Device), rtnl.Veth),
		programs: r.Programs, fastPath: r.FastPath, isolated: r.Isolated, allowed: r.Allowed, hostClosed: r.HostClosed,
		ports: r.Ports, loopback: r.Loopback,
		limits: limitsOf(r),
	}
	if c := r.Congestion; c != nil {
		l.congestion = &datapath.Congestion{Name: c.Name, Unpaced: c.Unpaced, NetnsCookie: c.NetnsCookie}
	}
	if a := r.Acceleration; a != nil {
		l.acceleration = &datapath.Acceleration{NetnsCookie: a.NetnsCookie, Cgroup: a.Cgroup}
	}
	l.containerMAC, _ = net.ParseMAC(r.MAC)
	for i, a := range r.Addresses {
		ip := cniproto.IPConfig{Address: a}
		if i < len(r.Gateways) {
			ip.Gateway = r.Gateways[i]
			l.addGateway(ip.Gateway)
			if !onNoInterface(ip.Gateway) && !slices.Contains(l.onHost, ip.Gateway) {
				l.onHost = append(l.onHost, ip.Gateway)
			}
		}
		l.ips = append(l.ips, ip)
	}
	return l
}

// formerLayout is the layout of an attachment whose host end is gone. The index that it
// had another may have since the last boot: then there is none.
func formerLayout(conn *nlmsg.Conn, r *state.Record, was hostLink) *layout {
	l := layoutOf(r)
	l.hostIndex = cmp.Or(was.index, l.hostIndex)
	if _, err := rtnl.Name(conn, l.hostIndex); !errors.Is(err, rtnl.ErrNoLink) {
		l.hostIndex = 0
	}
	return l
}

// hostLink is the host end of an attachment as it was found.
type hostLink struct {
	name  string
	index int
}

// findHostLink looks for the host end of an attachment: by its derived name, with
// the derived address as proof that it is not somebody else's.
func findHostLink(conn *nlmsg.Conn, k state.Key, record *state.Record) (link hostLink, found bool, err error) {
	name := k.HostIfName()
	mac, err := rtnl.HardwareAddr(conn, name)
	if err == nil && slices.Equal(mac, k.HostMAC()) {
		index, err := rtnl.Index(conn, name)
		if err == nil {
			return hostLink{name: name, index: index}, true, nil
		}
	}
	if err != nil && !errors.Is(err, rtnl.ErrNoLink) {
		return hostLink{}, false, cniproto.Wrap(cniproto.CodeNetlink, "look for "+name, err)
	}
	return findChangedLink(conn, k, record)
}

// findChangedLink looks for a host end whose name or address somebody changed, as
// udev and network managers do: it has the recorded index, and the derived
// address or the alias that ADD gave it.
func findChangedLink(conn *nlmsg.Conn, k state.Key, record *state.Record) (link hostLink, found bool, err error) {
	if record == nil || record.HostIfIndex == 0 {
		return hostLink{}, false, nil
	}
	l, err := rtnl.LinkAt(conn, record.HostIfIndex)
	if errors.Is(err, rtnl.ErrNoLink) {
		return hostLink{}, false, nil
	}
	if err != nil {
		return hostLink{}, false, cniproto.Wrap(cniproto.CodeNetlink, "look for "+k.HostIfName(), err)
	}
	ours := slices.Equal(l.MAC, k.HostMAC()) || l.Alias == alias(k)
	return hostLink{name: l.Name, index: l.Index}, ours, nil
}

// aliveness answers IPAM's question about the holder of an address: does the
// attachment exist, and is it known here at all. One that another call works on
// right now counts as alive.
func (p *Plugin) aliveness(store *state.Store, conn *nlmsg.Conn, network string) func(id, ifname string) (alive, known bool) {
	return p.alivenessAnd(store, conn, network, func(*state.Record) error { return nil })
}

// vacancy is aliveness for IPAM, which takes the address of whoever is not alive: first
// the ports that lead there go. One whose ports cannot go counts as alive. The caller
// does not hold the lock of shared objects.
func (p *Plugin) vacancy(store *state.Store, conn *nlmsg.Conn, network string) func(id, ifname string) (alive, known bool) {
	return p.alivenessAnd(store, conn, network, func(r *state.Record) error {
		return p.unpublish(store, conn, formerLayout(conn, r, hostLink{}))
	})
}

// alivenessAnd buries a dead attachment that has a record, while it is locked.
func (p *Plugin) alivenessAnd(
	store *state.Store, conn *nlmsg.Conn, network string, bury func(*state.Record) error,
) func(id, ifname string) (alive, known bool) {
	return func(id, ifname string) (alive, known bool) {
		k := state.Key{Network: network, ContainerID: id, IfName: ifname}
		lock, err := store.LockKey(k, 0)
		if err != nil {
			return true, true
		}
		defer lock.Unlock()
		record, err := store.Load(k)
		if err != nil {
			return true, true
		}
		_, found, err := findHostLink(conn, k, record)
		if err != nil || found {
			return true, true
		}
		if record != nil && bury(record) != nil {
			return true, true
		}
		return false, record != nil
	}
}
