// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nft"
	"github.com/emerita-cni/emerita/internal/state"
)

// ensureMasquerade makes sure that the nftables table knows the networks of an
// attachment. Mostly it does: the first ADD of a network, and the first one
// after somebody flushed the ruleset, pay for the commit, and put the networks
// of all other attachments back as well. A network without masquerade is
// entered too, so that traffic to it from others is not rewritten; without
// nftables in the kernel that is not worth an error.
func (p *Plugin) ensureMasquerade(store *state.Store, l *layout) error {
	wanted := l.networks()
	ok, err := nft.Present(wanted...)
	if err == nil && !ok {
		err = p.withSharedLock(store, func() error {
			if ok, err := nft.Present(wanted...); ok || err != nil {
				return err
			}
			attached, err := recordedNetworks(store)
			if err != nil {
				return err
			}
			return nft.Add(append(attached, wanted...)...)
		})
	}
	if errors.Is(err, nft.ErrUnsupported) && !l.masquerade {
		p.Log.Debug("no nftables, none needed", "network", l.key.Network, "err", err)
		return nil
	}
	if errors.Is(err, nft.ErrUnsupported) {
		return cniproto.Errorf(cniproto.CodeNotAvailable, "masquerade network "+l.key.Network,
			"%w: load nf_tables and nft_masq, or set ipMasq to false", err)
	}
	return cniproto.Wrap(cniproto.CodeNetlink, "masquerade network "+l.key.Network, err)
}

// recordedNetworks are the networks of all attachments.
func recordedNetworks(store *state.Store) ([]nft.Network, error) {
	records, err := store.List("")
	if err != nil {
		return nil, err
	}
	var all []nft.Network
	for _, r := range records {
		all = append(all, layoutOf(r).networks()...)
	}
	return all, nil
}

// forgetMasquerade takes networks out of the table that no attachment is in.
// An ADD under way has not recorded its network yet, only its addresses: a
// network that holds one of these stays.
func (p *Plugin) forgetMasquerade(store *state.Store) error {
	err := p.withSharedLock(store, func() error {
		standing, err := nft.List()
		if err != nil || len(standing) == 0 {
			return err
		}
		records, err := store.List("")
		if err != nil {
			return err
		}
		return nft.Replace(slices.DeleteFunc(standing, func(n nft.Network) bool { return !inUse(n.Prefix, records) })...)
	})
	if errors.Is(err, nft.ErrUnsupported) {
		return nil
	}
	return cniproto.Wrap(cniproto.CodeNetlink, "forget masqueraded networks", err)
}

func inUse(p netip.Prefix, records []*state.Record) bool {
	return slices.ContainsFunc(records, func(r *state.Record) bool {
		return slices.ContainsFunc(r.Claimed, p.Contains) ||
			slices.ContainsFunc(r.Addresses, func(a netip.Prefix) bool { return p.Contains(a.Addr()) }) ||
			r.Phase == state.Claiming && len(r.Claimed) == 0
	})
}
