// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// Records can be lost or damaged while containers live. Then none being left does not
// mean that nothing is attached: the interfaces tell. They are looked for where something
// that attachments share would go: by GC, and by the DEL of the last record. It is a dump
// of links, and no hot path.

// standing is a host end that is there.
type standing struct {
	link rtnl.LinkInfo
	what string // the alias: its key, or the key's hash
	hash string // of its key
}

// standingOf reads the alias of a link. It is a host end if it has the derived address,
// or where the key is not known, the derived name.
func standingOf(l rtnl.LinkInfo) (standing, bool) {
	what, ok := strings.CutPrefix(l.Alias, aliasPrefix)
	if k, isKey := keyOfAlias(l.Alias); isKey {
		return standing{l, what, k.Hash()}, slices.Equal(l.MAC, k.HostMAC())
	}
	return standing{l, what, what}, ok && state.IsHostIfName(l.Name, what)
}

func standingLinks(conn *nlmsg.Conn) ([]standing, error) {
	links, err := rtnl.Links(conn)
	var all []standing
	for _, l := range links {
		if s, ok := standingOf(l); ok {
			all = append(all, s)
		}
	}
	return all, err
}

// unrecorded are the host ends that stand without a record that can be read. store is nil
// if there is no state at all.
func unrecorded(store *state.Store, conn *nlmsg.Conn) ([]standing, error) {
	all, err := standingLinks(conn)
	if err != nil || len(all) == 0 || store == nil {
		return all, err
	}
	// An ADD has its record before its interface, and a DEL until that is gone: what was
	// there before the records are read, and is thereafter, has none.
	records, err := store.List("")
	if err != nil {
		return nil, err
	}
	recorded := make(map[string]bool, len(records))
	for _, r := range records {
		recorded[r.Key.Hash()] = true
	}
	return slices.DeleteFunc(all, func(s standing) bool {
		if recorded[s.hash] {
			return true
		}
		_, err := rtnl.Name(conn, s.link.Index)
		return errors.Is(err, rtnl.ErrNoLink)
	}), nil
}

// warn says what it means that interfaces have no record.
func (p *Plugin) warn(lost []standing) {
	for _, s := range lost {
		p.Log.Warn("interface " + s.link.Name + " of " + s.what + " has no record: what containers share stays as it is while it stands, " +
			"and repair passes it over: DEL it and start the container anew, or put the record back")
	}
}

// WarnUnrecorded logs which interfaces of a network, or of all if it is empty, have no
// record.
func (p *Plugin) WarnUnrecorded(network string) error {
	store, err := p.openExisting()
	if err != nil {
		return err
	}
	if store != nil {
		defer store.Close()
	}
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()
	lost, err := unrecorded(store, conn)
	p.warn(slices.DeleteFunc(lost, func(s standing) bool {
		k, ok := keyOfAlias(s.link.Alias)
		return ok && network != "" && k.Network != network
	}))
	return cniproto.Wrap(cniproto.CodeNetlink, "look for interfaces without a record", err)
}

// tidyHost takes back what no attachment needs any more. It finishes as well what a DEL
// did not come to that was killed after it had removed the last record. While an
// attachment stands of which nothing is known all of it stays.
func (p *Plugin) tidyHost(store *state.Store, conn *nlmsg.Conn) error {
	lost, err := unrecorded(store, conn)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "look for interfaces without a record", err)
	}
	if len(lost) > 0 {
		p.warn(lost)
		return nil
	}
	return errors.Join(p.forgetNetworks(store), p.unloadPrograms(store), clearGateways(store, conn),
		cniproto.Wrap(cniproto.CodeNetlink, "restore the host", p.restoreHost(store, conn)))
}

// removeDamaged removes the records of a network that cannot be read, but for those of the
// keys to keep and those whose interface stands: nothing else would, and nothing that
// attachments share could ever go.
func removeDamaged(store *state.Store, conn *nlmsg.Conn, network string, keep []state.Key) error {
	all, err := standingLinks(conn)
	if err != nil {
		return err
	}
	return store.RemoveDamaged(network, func(hash string) bool {
		return slices.ContainsFunc(keep, func(k state.Key) bool { return k.Hash() == hash }) ||
			slices.ContainsFunc(all, func(s standing) bool { return s.hash == hash })
	})
}
