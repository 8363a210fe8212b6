// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// GC removes every resource of the call's network that belongs to none of the
// valid attachments. It removes what it can, goes on after an error, and
// reports all of them.
func (p *Plugin) GC(ctx context.Context, call Call) error {
	if err := sinceVersion(call.Config, "1.1.0", "GC"); err != nil {
		return err
	}
	if !call.Config.HasValidAttachments {
		return cniproto.Errorf(cniproto.CodeInvalidConfig, "collect garbage of network "+call.Config.Name,
			`"cni.dev/valid-attachments" is absent: give the list of attachments to keep ([] to keep none)`)
	}
	manager, err := p.addressManager(call, cniproto.Args{})
	if err != nil {
		return err
	}
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()
	store, err := p.openExisting()
	if err != nil {
		return err
	}
	stale, errs := staleKeys(store, conn, call.Config)
	if err := errors.Join(errs...); err != nil {
		// What stands is not known, and the address of what stands is not free.
		return cniproto.Wrap(cniproto.CodeInternal, "collect garbage of network "+call.Config.Name, err)
	}
	if store == nil && len(stale) > 0 { // the directory is lost: its locks are needed, and the host is to be tidied
		if store, err = state.Open(p.StateDir, true); err != nil {
			return cniproto.Wrap(cniproto.CodeIO, "open state", err)
		}
	}
	if store != nil {
		defer store.Close()
	}
	holders := slices.Clone(call.Config.ValidAttachments)
	for _, k := range stale {
		p.Log.Info("collect", "attachment", k.String())
		if err := p.collect(ctx, store, conn, k); err != nil {
			errs = append(errs, err)
			holders = append(holders, cniproto.Attachment{ContainerID: k.ContainerID, IfName: k.IfName})
		}
	}
	errs = append(errs, manager.GC(ctx, holders), sweepPrograms(conn))
	if store != nil {
		var keep []state.Key
		for _, a := range call.Config.ValidAttachments {
			keep = append(keep, state.Key{Network: call.Config.Name, ContainerID: a.ContainerID, IfName: a.IfName})
		}
		errs = append(errs, store.RemoveTemps(call.Config.Name, keep), removeDamaged(store, conn, call.Config.Name, keep), p.tidyHost(store, conn))
	}
	return cniproto.Wrap(cniproto.CodeInternal, "collect garbage of network "+call.Config.Name, errors.Join(errs...))
}

// collect disconnects one stale attachment; its address goes by the record, and
// one without a record by the address manager's own collection.
func (p *Plugin) collect(ctx context.Context, store *state.Store, conn *nlmsg.Conn, k state.Key) error {
	if store != nil {
		lock, err := p.lockKey(store, k)
		if err != nil {
			return err
		}
		defer lock.Unlock()
	}
	return p.disconnect(ctx, store, conn, k, lessor{})
}

// staleKeys are the attachments of the network that are recorded, or that an
// interface on the host names as its owner, and are not valid.
func staleKeys(store *state.Store, conn *nlmsg.Conn, c *cniproto.Config) (stale []state.Key, errs []error) {
	var all []state.Key
	if store != nil {
		records, err := store.List(c.Name)
		errs = append(errs, err)
		for _, r := range records {
			all = append(all, r.Key)
		}
	}
	links, err := rtnl.Links(conn)
	errs = append(errs, err)
	for _, l := range links {
		if k, ok := keyOfAlias(l.Alias); ok && k.Network == c.Name {
			all = append(all, k)
		}
	}
	for _, k := range all {
		keep := slices.Contains(c.ValidAttachments, cniproto.Attachment{ContainerID: k.ContainerID, IfName: k.IfName})
		if !keep && !slices.Contains(stale, k) {
			stale = append(stale, k)
		}
	}
	return stale, errs
}

// keyOfAlias reads the alias of a host interface. What it says is no proof:
// disconnect compares name and address with those derived from the key.
func keyOfAlias(text string) (state.Key, bool) {
	text, ok := strings.CutPrefix(text, aliasPrefix)
	f := strings.Split(text, "/")
	if !ok || len(f) != 3 {
		return state.Key{}, false
	}
	return state.Key{Network: f[0], ContainerID: f[1], IfName: f[2]}, true
}

// sinceVersion refuses a verb that the configuration's version does not have.
func sinceVersion(c *cniproto.Config, since, verb string) error {
	if cniproto.AtLeast(c.CNIVersion, since) {
		return nil
	}
	return cniproto.Errorf(cniproto.CodeIncompatibleVersion, verb,
		"cniVersion %s of network %q does not have it: it came with %s", c.CNIVersion, c.Name, since)
}
