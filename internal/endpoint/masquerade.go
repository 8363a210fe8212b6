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
// attachment that is masqueraded. Mostly it does: the first ADD of a network, and the
// first one after somebody flushed the ruleset, pay for the commit, and put the
// networks of all other attachments back as well.
func (p *Plugin) ensureMasquerade(store *state.Store, l *layout) error {
	if !l.masquerade {
		return nil // see enterUnmasqueraded
	}
	var others []nft.Network // that nobody entered as long as none was masqueraded
	var err error
	if !store.Masquerades() {
		if err = store.NoteMasquerade(); err == nil {
			others, err = recordedNetworks(store)
		}
	}
	if err == nil {
		err = p.enterNetworks(store, append(l.networks(), others...))
	}
	if errors.Is(err, nft.ErrUnsupported) {
		return cniproto.Errorf(cniproto.CodeNotAvailable, "masquerade network "+l.key.Network,
			"%w: load nf_tables and nft_masq, or set ipMasq to false", err)
	}
	return cniproto.Wrap(cniproto.CodeNetlink, "masquerade network "+l.key.Network, err)
}

// enterUnmasqueraded makes sure that traffic to an attachment that is not masqueraded
// is not rewritten when it comes from one that is. Where none is, there is no table: its
// chain would have the kernel track every connection. It comes after the record, so that
// whoever makes the table just now finds that.
func (p *Plugin) enterUnmasqueraded(store *state.Store, l *layout) {
	if l.masquerade || !store.Masquerades() {
		return
	}
	if err := p.enterNetworks(store, l.networks()); err != nil {
		p.Log.Warn("traffic to network "+l.key.Network+" may be masqueraded", "err", err)
	}
}

// enterNetworks has the table hold the wanted networks; where it does not, those of all
// attachments as well.
func (p *Plugin) enterNetworks(store *state.Store, wanted []nft.Network) error {
	if ok, err := nft.Present(wanted...); ok || err != nil {
		return err
	}
	return p.withSharedLock(store, func() error {
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

// forgetMasquerade takes networks out of the table that no attachment is in, and the
// table away if none of the rest is masqueraded. An ADD under way has not recorded its network yet, only its addresses: a
// network that holds one of these stays.
func (p *Plugin) forgetMasquerade(store *state.Store) error {
	err := p.withSharedLock(store, func() error {
		standing, err := nft.List()
		if err != nil {
			return err
		}
		records, err := store.List("")
		if err != nil {
			return err
		}
		used := slices.DeleteFunc(standing, func(n nft.Network) bool { return !inUse(n.Prefix, records) })
		if slices.ContainsFunc(used, func(n nft.Network) bool { return n.Masquerade }) ||
			slices.ContainsFunc(records, func(r *state.Record) bool { return r.Masquerade }) {
			return nft.Replace(used...)
		}
		return errors.Join(nft.Replace(), store.ForgetMasquerade())
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
