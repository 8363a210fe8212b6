// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"io/fs"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// Packets are forwarded if the interface on which they come in forwards. The
// host end of an attachment does from its creation (IFLA_INET_CONF). Answers
// from outside come in by the uplink, whose setting is the operator's: where it
// is off it is turned on, on that interface alone, and the record of the change
// lets the last DEL turn it off again.

// setting is one sysctl and the value it needs.
type setting struct {
	family             sysctl.Family
	iface, key, wanted string
}

// forwarding4 are the settings for IPv4.
func forwarding4(up uplink) []setting {
	if up.name == "" {
		return nil
	}
	return []setting{{sysctl.IPv4, up.name, "forwarding", "1"}}
}

// forwarding6 are the settings for IPv6, where forwarding is the namespace's:
// from Linux 6.17 an interface can forward by itself (force_forwarding). Before,
// all of them must; then an uplink that takes its default route from router
// advertisements needs accept_ra=2 to go on doing so (Documentation/networking/
// ip-sysctl.rst).
//
// A closed host end forwards by its own setting as well: the question whether a packet
// is for the host has no other answer than "not forwarded" without (bpf_ipv6_fib_lookup
// of net/core/filter.c knows of no force_forwarding).
func forwarding6(tree *sysctl.Tree, up uplink, hostIf string, closed bool) []setting {
	var out []setting
	if closed {
		out = append(out, setting{sysctl.IPv6, hostIf, "forwarding", "1"})
	}
	if v, err := tree.Get(sysctl.IPv6, sysctl.All, "forwarding"); err != nil || v == "1" {
		return out
	}
	if tree.Has(sysctl.IPv6, hostIf, "force_forwarding") {
		out = append(out, setting{sysctl.IPv6, hostIf, "force_forwarding", "1"})
		if up.name != "" {
			out = append(out, setting{sysctl.IPv6, up.name, "force_forwarding", "1"})
		}
		return out
	}
	if up.name != "" {
		if v, err := tree.Get(sysctl.IPv6, up.name, "accept_ra"); err == nil && v == "1" {
			out = append(out, setting{sysctl.IPv6, up.name, "accept_ra", "2"})
		}
	}
	return append(out, setting{sysctl.IPv6, sysctl.All, "forwarding", "1"})
}

// forwardingSettings are all settings that an attachment needs beyond its own
// interface.
func forwardingSettings(tree *sysctl.Tree, l *layout, up4, up6 uplink) []setting {
	var out []setting
	if l.has(true) {
		out = append(out, forwarding4(up4)...)
	}
	if l.has(false) {
		out = append(out, forwarding6(tree, up6, l.hostIf, l.hostClosed)...)
	}
	return out
}

// missing are the settings that do not have the wanted value.
func missing(tree *sysctl.Tree, list []setting) []setting {
	var out []setting
	for _, s := range list {
		if v, err := tree.Get(s.family, s.iface, s.key); err != nil || v != s.wanted {
			out = append(out, s)
		}
	}
	return out
}

// enableForwarding applies the settings that are missing. Those of interfaces
// that are not the attachment's own are noted first, to be undone.
func (p *Plugin) enableForwarding(store *state.Store, tree *sysctl.Tree, l *layout, up4, up6 uplink) error {
	for _, s := range missing(tree, forwardingSettings(tree, l, up4, up6)) {
		if s.iface != l.hostIf {
			was, err := tree.Get(s.family, s.iface, s.key)
			if err != nil {
				return err
			}
			change := state.SysctlChange{Family: string(s.family), Interface: s.iface, Key: s.key, Was: was, Set: s.wanted}
			if err := p.withSharedLock(store, func() error { return store.NoteSysctl(change) }); err != nil {
				return err
			}
			p.Log.Info("enable forwarding", "interface", s.iface, "family", s.family, "sysctl", s.key)
		}
		if err := tree.Set(s.family, s.iface, s.key, s.wanted); err != nil {
			return cniproto.Wrap(cniproto.CodeNetlink, "enable forwarding on "+s.iface, err)
		}
	}
	return nil
}

// restoreHost undoes the changes of enableForwarding when no attachment is left, and
// forgets that any needed nftables. What somebody has changed since stays as they want
// it.
func (p *Plugin) restoreHost(store *state.Store, conn *nlmsg.Conn) error {
	if !store.HasSysctls() && !store.NeedsTable() {
		return nil
	}
	// Asked first without the lock: of a hundred DELs one is the last.
	if none, err := store.Empty(); err != nil || !none {
		return err
	}
	if lost, err := unrecorded(store, conn); err != nil || len(lost) > 0 {
		return err
	}
	return p.withSharedLock(store, func() error {
		if none, err := store.Empty(); err != nil || !none {
			return err
		}
		return errors.Join(restoreForwarding(store), store.ForgetTable(), state.ForgetPorts(p.RunDir))
	})
}

func restoreForwarding(store *state.Store) error {
	changes, err := store.Sysctls()
	if err != nil {
		return err
	}
	tree := sysctl.OpenTree()
	defer tree.Close()
	var errs []error
	for _, c := range changes {
		f := sysctl.Family(c.Family)
		now, err := tree.Get(f, c.Interface, c.Key)
		if errors.Is(err, fs.ErrNotExist) || err == nil && now != c.Set {
			continue
		}
		errs = append(errs, tree.Set(f, c.Interface, c.Key, c.Was))
	}
	return errors.Join(append(errs, store.ForgetSysctls())...)
}
