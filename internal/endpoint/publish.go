// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nft"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/state"
)

// publish leads ports of the host to an attachment whose interface is up. The record has
// them first, so that whoever builds the table just now, or has to undo a killed ADD,
// finds them.
func (p *Plugin) publish(t tools, l *layout, record *state.Record, undo *undoList) error {
	if len(l.ports) == 0 {
		return nil
	}
	record.Ports = l.ports
	if err := t.store.Update(record); err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "write state", err)
	}
	undo.add(func() error { return p.unpublish(t.store, t.conn, l) })
	err := p.withSharedLock(t.store, func() error {
		if err := p.claimPorts(t, l); err != nil {
			return err
		}
		if err := p.buildTable(t.store, l.networks()); err != nil {
			return err
		}
		return nft.AddPorts(tablePorts(l.key, l.ports))
	})
	if errors.Is(err, nft.ErrUnsupported) {
		return cniproto.Errorf(cniproto.CodeNotAvailable, "publish ports", "%w: load nf_tables, nft_nat and nft_fib_inet", err)
	}
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "publish ports", err)
	}
	if err := p.openToPrograms(t, l); err != nil {
		return err
	}
	record.Ports, record.Loopback = l.ports, l.loopback
	p.forgetFlows(l.ports, false, nil)
	return nil
}

// claimPorts makes the ports the attachment's own, unless another one has some: then
// none of them. One that was left by an attachment that is gone is nobody's. One that
// the same container has by another network stays there: runtimes ask each network of a
// container for all its ports.
func (p *Plugin) claimPorts(t tools, l *layout) error {
	dir, err := state.OpenPorts(p.RunDir, true)
	if err != nil {
		return err
	}
	defer dir.Close()
	var left []nft.Port
	var mine []state.Port
	for _, port := range l.ports {
		others, err := dir.Others(port, l.key)
		if err != nil {
			return err
		}
		elsewhere := false
		for _, c := range others {
			holder, err := p.livingHolder(t, c)
			switch {
			case err != nil:
				return err
			case holder == nil:
				left = append(left, nft.Port{Protocol: protocolOf(port.Protocol), HostAddr: c.HostIP, HostPort: port.HostPort})
			case holder.ContainerID == l.key.ContainerID:
				elsewhere = true
				p.Log.Info("port stays with the container's other interface", "port", port.String(), "attachment", holder.String())
			default:
				return cniproto.Errorf(cniproto.CodePortTaken, "publish "+port.String()+" for "+l.key.String(),
					"%s has it: publish another port, or DEL that one first", holder)
			}
		}
		if !elsewhere {
			mine = append(mine, port)
		}
	}
	l.ports = mine
	if err := removeLeft(left); err != nil {
		return err
	}
	for _, port := range l.ports {
		if err := dir.Claim(port, l.key); err != nil {
			return err
		}
	}
	return nil
}

// livingHolder is the attachment that a claim belongs to; nil if it is gone.
func (p *Plugin) livingHolder(t tools, c state.Claim) (*state.Key, error) {
	r, err := t.store.ByName(c.Holder)
	if r == nil {
		return nil, err
	}
	if alive, _ := p.aliveness(t.store, t.conn, r.Key.Network)(r.Key.ContainerID, r.Key.IfName); alive {
		return &r.Key, nil
	}
	return nil, nil
}

// removeLeft takes ports out of the table whose attachment is gone. There may be no
// nftables yet, or any more.
func removeLeft(ports []nft.Port) error {
	if len(ports) == 0 {
		return nil
	}
	c, err := nft.DeletePorts(ports)
	if c != nil {
		defer c.Close()
	}
	return err
}

// unpublish takes back the ports of an attachment: those that are still its own. What is
// gone already is success.
func (p *Plugin) unpublish(store *state.Store, conn *nlmsg.Conn, l *layout) error {
	if len(l.ports) == 0 {
		return nil
	}
	k := l.key
	p.closeToPrograms(conn, l)
	var own []state.Port
	var rest closer
	err := p.withSharedLock(store, func() error {
		dir, err := state.OpenPorts(p.RunDir, false)
		if dir == nil {
			return err
		}
		defer dir.Close()
		for _, port := range l.ports {
			has, err := dir.Has(port, k)
			if err != nil {
				return err
			}
			if has {
				own = append(own, port)
			}
		}
		if len(own) == 0 {
			return nil
		}
		table, err := nft.DeletePorts(tablePorts(k, own))
		if table != nil {
			rest = table
		}
		if err != nil && !errors.Is(err, nft.ErrUnsupported) {
			return err
		}
		var errs []error
		for _, port := range own {
			errs = append(errs, dir.Release(port, k))
		}
		return errors.Join(errs...)
	})
	p.forgetFlows(own, true, rest)
	return cniproto.Wrap(cniproto.CodeNetlink, "take back the ports of "+k.String(), err)
}

// sweepPorts takes back the claims whose record is gone. The caller holds the shared
// lock; an ADD has its record before it claims.
func (p *Plugin) sweepPorts(store *state.Store) error {
	dir, err := state.OpenPorts(p.RunDir, false)
	if dir == nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Names()
	errs := []error{err}
	for _, name := range names {
		errs = append(errs, dir.ReleaseIf(name, func(c state.Claim) bool {
			r, err := store.ByName(c.Holder)
			return r == nil && err == nil
		}))
	}
	return errors.Join(append(errs, state.ForgetPorts(p.RunDir))...)
}

// claimAgain puts back claims that somebody has removed: where nobody else has claimed
// the port since.
func (p *Plugin) claimAgain(attached []*layout) error {
	var errs []error
	for _, l := range attached {
		if len(l.ports) == 0 {
			continue
		}
		dir, err := state.OpenPorts(p.RunDir, true)
		if err != nil {
			return err
		}
		for _, port := range l.ports {
			if others, err := dir.Others(port, l.key); err != nil || len(others) > 0 {
				errs = append(errs, err)
				continue
			}
			errs = append(errs, dir.Claim(port, l.key))
		}
		errs = append(errs, dir.Close())
	}
	return errors.Join(errs...)
}
