// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// InForce is what the host could give to attachments of a network, whatever the
// configuration left to it.
type InForce struct {
	Attached    int             // how many have just this
	Device      string          // kind of the pair
	FastPath    bool            // eBPF programs deliver directly
	Isolated    bool            // they keep other networks out
	HostClosed  bool            // and the container from calling the host
	MTU         int             // bytes
	RouteMTU    int             // bytes, of what leaves the host
	BigTCP      int             // bytes, 0 if the kernel's 64 KiB
	Limits      state.Bandwidth // of bandwidth; zeros are none
	Congestion  string          // of local connections, empty if the host's
	Accelerated bool            // its sockets are
}

// InForce lists what is in force for the attachments of a network, the most frequent
// first. The attachments of a network differ if its configuration or the host has
// changed since.
func (p *Plugin) InForce(network string) ([]InForce, error) {
	all, err := p.List()
	if err != nil {
		return nil, err
	}
	var out []InForce
	for _, a := range all {
		if a.Key.Network != network || a.Phase != state.Ready {
			continue
		}
		is := inForce(a.Record)
		if i := slices.IndexFunc(out, func(o InForce) bool { o.Attached = 0; return o == is }); i >= 0 {
			out[i].Attached++
			continue
		}
		is.Attached = 1
		out = append(out, is)
	}
	slices.SortStableFunc(out, func(a, b InForce) int { return b.Attached - a.Attached })
	return out, nil
}

// Accelerates says whether an attachment that stands has accelerated sockets.
func (p *Plugin) Accelerates() (bool, error) {
	store, err := p.openExisting()
	if store == nil {
		return false, err
	}
	defer store.Close()
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return false, cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()
	attached, err := liveLayouts(store, conn)
	return slices.ContainsFunc(attached, func(l *layout) bool { return l.acceleration != nil }), err
}

func inForce(r *state.Record) InForce {
	f := InForce{
		Device: cmp.Or(r.Device, string(rtnl.Veth)), MTU: r.MTU, RouteMTU: cmp.Or(r.RouteMTU, r.MTU), BigTCP: max(r.BigTCP, r.BigTCP4),
		FastPath: r.FastPath, Isolated: r.Isolated, HostClosed: r.HostClosed,
	}
	if r.Bandwidth != nil {
		f.Limits = *r.Bandwidth
		f.Limits.IfbIndex = 0
	}
	if r.Congestion != nil {
		f.Congestion = r.Congestion.Name
	}
	f.Accelerated = r.Acceleration != nil
	return f
}
