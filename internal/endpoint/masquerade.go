// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nft"
	"github.com/emerita-cni/emerita/internal/state"
)

// ensureMasquerade makes sure that the nftables table knows the networks of an
// attachment that is masqueraded. Mostly it does: the first ADD of a network, and the
// first one after somebody flushed the ruleset, pay for the commit, and put what the
// table has of all other attachments back as well.
func (p *Plugin) ensureMasquerade(store *state.Store, l *layout) error {
	if !l.masquerade {
		return nil // see enterUnmasqueraded
	}
	err := p.ensureTable(store, l.networks())
	if errors.Is(err, nft.ErrUnsupported) {
		return cniproto.Errorf(cniproto.CodeNotAvailable, "masquerade network "+l.key.Network,
			"%w: load nf_tables and nft_masq, or set ipMasq to false", err)
	}
	return cniproto.Wrap(cniproto.CodeNetlink, "masquerade network "+l.key.Network, err)
}

// enterUnmasqueraded makes sure that traffic to an attachment that is not masqueraded
// is not rewritten when it comes from one that is. Where nobody needs a table there is
// none: its chains would have the kernel track every connection. It comes after the
// record, so that whoever makes the table just now finds that.
func (p *Plugin) enterUnmasqueraded(store *state.Store, l *layout) {
	if l.masquerade || len(l.ports) > 0 || !store.NeedsTable() {
		return
	}
	if err := p.ensureTable(store, l.networks()); err != nil {
		p.Log.Warn("traffic to network "+l.key.Network+" may be masqueraded", "err", err)
	}
}

// ensureTable has the table stand and hold the wanted networks; where it does not, all
// that attachments need of it as well.
func (p *Plugin) ensureTable(store *state.Store, wanted []nft.Network) error {
	if ok, err := nft.Present(wanted...); store.NeedsTable() && (ok || err != nil) {
		return err
	}
	return p.withSharedLock(store, func() error { return p.buildTable(store, wanted) })
}

// buildTable is the part of ensureTable under the shared lock.
func (p *Plugin) buildTable(store *state.Store, wanted []nft.Network) error {
	first := !store.NeedsTable() // then nobody has entered networks without masquerade
	if first {
		if err := store.NoteTable(); err != nil {
			return err
		}
	}
	if ok, err := nft.Present(wanted...); !first && (ok || err != nil) {
		return err
	}
	records, err := store.List("")
	if err != nil {
		return err
	}
	ports, err := p.portsOf(records)
	if err != nil {
		return err
	}
	networks := append(networksOf(records), wanted...)
	if first { // the table of before may stand: it goes with a GC, not with the last DEL
		if ok, err := nft.Present(networks...); ok || err != nil {
			return err
		}
	}
	return nft.Add(networks, ports)
}

// heldElements says which set lacks a network of an attachment that needs the table, for
// CHECK and STATUS.
func heldElements(l *layout) error {
	if !l.masquerade && len(l.ports) == 0 {
		return nil
	}
	lacks, err := nft.Lacks(l.networks()...)
	if err == nil && lacks != "" {
		err = fmt.Errorf("%s: somebody changed the nftables ruleset: emerita repair puts it back", lacks)
	}
	if err != nil {
		return fmt.Errorf("masquerade: %w", err)
	}
	return nil
}

// networksOf are the networks of recorded attachments.
func networksOf(records []*state.Record) []nft.Network {
	var all []nft.Network
	for _, r := range records {
		all = append(all, layoutOf(r).networks()...)
	}
	return all
}

// tableNeeded says whether a recorded attachment needs the table.
func tableNeeded(r *state.Record) bool { return r.Masquerade || len(r.Ports) > 0 }

// forgetNetworks takes out of the table networks that no attachment is in and ports that
// nobody has, and the table away if nobody needs the rest. An ADD under way has not
// recorded its network yet, only its addresses: a network that holds one of these stays.
func (p *Plugin) forgetNetworks(store *state.Store) error {
	err := p.withSharedLock(store, func() error {
		records, err := store.List("")
		if err != nil {
			return err
		}
		if err := p.sweepPorts(store); err != nil {
			return err
		}
		standing, err := nft.List()
		if err != nil {
			return err
		}
		used := slices.DeleteFunc(standing, func(n nft.Network) bool { return !inUse(n.Prefix, records) })
		if slices.ContainsFunc(used, func(n nft.Network) bool { return n.Masquerade }) || slices.ContainsFunc(records, tableNeeded) {
			ports, err := p.portsOf(records)
			if err != nil {
				return err
			}
			return nft.Replace(used, ports)
		}
		return errors.Join(nft.Replace(nil, nil), store.ForgetTable())
	})
	if errors.Is(err, nft.ErrUnsupported) {
		return nil
	}
	return cniproto.Wrap(cniproto.CodeNetlink, "forget networks in the nftables table", err)
}

func inUse(p netip.Prefix, records []*state.Record) bool {
	return slices.ContainsFunc(records, func(r *state.Record) bool {
		return slices.ContainsFunc(r.Claimed, p.Contains) ||
			slices.ContainsFunc(r.Addresses, func(a netip.Prefix) bool { return p.Contains(a.Addr()) }) ||
			r.Phase == state.Claiming && len(r.Claimed) == 0
	})
}
