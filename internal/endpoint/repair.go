// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/nft"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// Repair puts back what attached containers share and somebody has removed: the
// shared interface and its addresses, host routes, forwarding, the nftables
// table, and the eBPF programs. What is right stays as it is. It goes on after
// an error, and reports all.
func (p *Plugin) Repair() error {
	if err := p.WarnUnrecorded(""); err != nil {
		return err
	}
	store, err := state.Open(p.StateDir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing is known to be attached
	}
	if err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "open state", err)
	}
	defer store.Close()
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()
	p.forgetOutcomes(store)
	attached, err := liveLayouts(store, conn)
	if err != nil {
		return err
	}
	errs := []error{p.repairRoutes(store, conn, attached), p.repairTable(store, attached), p.repairPrograms(store, conn, attached)}
	tree := sysctl.OpenTree()
	defer tree.Close()
	errs = append(errs, repairShapes(conn, tree, attached)) // its filter stands behind ours
	return cniproto.Wrap(cniproto.CodeInternal, "repair", errors.Join(errs...))
}

// liveLayouts are the layouts of the attachments whose interface is there.
func liveLayouts(store *state.Store, conn *nlmsg.Conn) ([]*layout, error) {
	records, err := store.List("")
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeIO, "read state", err)
	}
	var out []*layout
	for _, r := range records {
		if link, found, err := findHostLink(conn, r.Key, r); err == nil && found && r.Phase == state.Ready {
			l := layoutOf(r)
			l.hostIf, l.hostIndex = link.name, link.index
			out = append(out, l)
		}
	}
	return out, nil
}

func (p *Plugin) repairRoutes(store *state.Store, conn *nlmsg.Conn, attached []*layout) error {
	tree := sysctl.OpenTree()
	defer tree.Close()
	var errs []error
	done := map[string]bool{}
	for _, l := range attached {
		up4, up6 := findUplinks(conn, l)
		errs = append(errs, p.enableForwarding(store, tree, l, up4, up6))
		if done[l.gatewayIf] {
			continue
		}
		done[l.gatewayIf] = true
		var gw gateway
		err := ensureGatewayInterface(conn, tree, l.gatewayIf, &gw)
		if err == nil {
			err = p.mendHostRoutes(store, conn, l.gatewayIf, gw.index)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (p *Plugin) repairTable(store *state.Store, attached []*layout) error {
	var networks []nft.Network
	needed := false
	for _, l := range attached {
		networks = append(networks, l.networks()...)
		needed = needed || l.masquerade || len(l.ports) > 0
	}
	if !needed {
		return nil
	}
	return p.withSharedLock(store, func() error {
		if err := p.claimAgain(attached); err != nil {
			return err
		}
		records, err := store.List("") // with those that have come meanwhile
		if err != nil {
			return err
		}
		ports, err := p.portsOf(records)
		if err != nil {
			return err
		}
		if ok, _ := nft.Present(networks...); ok {
			lacks, _ := nft.Lacks(networks...)
			if ok, _ := nft.HasPorts(ports); ok && lacks == "" {
				return nil
			}
		}
		return errors.Join(store.NoteTable(), nft.Add(networks, ports))
	})
}

func (p *Plugin) repairPrograms(store *state.Store, conn *nlmsg.Conn, attached []*layout) error {
	wanted := false
	for _, l := range attached {
		wanted = wanted || l.programs || len(l.ports) > 0
	}
	if !wanted {
		return nil
	}
	return p.withSharedLock(store, func() error {
		if err := datapath.Restore(); err != nil {
			return err
		}
		h, _, err := datapath.OpenOrLoad()
		if err != nil {
			return err
		}
		defer h.Close()
		return p.attachAll(store, conn, h)
	})
}
