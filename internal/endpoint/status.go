// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/nft"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// Status says whether an ADD could be served: nil, or an error with
// CodeNotAvailable, or CodeLimited if attached containers suffer as well. It
// changes nothing, and is cheap enough to be polled.
func (p *Plugin) Status(ctx context.Context, call Call) error {
	if err := sinceVersion(call.Config, "1.1.0", "STATUS"); err != nil {
		return err
	}
	o, err := parseOptions(call.Config.Raw)
	if err != nil {
		return err
	}
	manager, err := p.addressManager(call, cniproto.Args{})
	if err != nil {
		return err
	}
	store, err := state.Open(p.StateDir, false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return notAvailable(call, err)
	}
	if err == nil {
		defer store.Close()
		if err := p.shared(call, store); err != nil {
			return err
		}
		if err := store.Writable(); err != nil {
			return notAvailable(call, err)
		}
	}
	if err := manager.Status(ctx); err != nil {
		return notAvailable(call, err)
	}
	if string(o.Capabilities["portMappings"]) == "true" {
		ports, err := state.OpenPorts(p.RunDir, false)
		if err != nil {
			return notAvailable(call, err)
		}
		if ports != nil {
			ports.Close()
		}
	}
	if o.needsPrograms() {
		if err := datapath.Available(); err != nil {
			return notAvailable(call, err)
		}
	}
	if o.accelerates() {
		if err := datapath.AccelerationAvailable(); err != nil {
			return notAvailable(call, err)
		}
	}
	if _, err := nft.Present(); err != nil && o.IPMasq {
		return notAvailable(call, err)
	}
	return nil
}

func notAvailable(call Call, err error) error {
	return &cniproto.Error{Code: cniproto.CodeNotAvailable, Msg: "network " + call.Config.Name + " is not ready", Details: err.Error(), Err: err}
}

func limited(call Call, err error) error {
	return &cniproto.Error{
		Code: cniproto.CodeLimited, Msg: "network " + call.Config.Name + " has lost what its containers need", Details: err.Error(), Err: err,
	}
}

// shared looks at what attached containers of the network rely on.
func (p *Plugin) shared(call Call, store *state.Store) error {
	records, err := store.List(call.Config.Name)
	if err != nil {
		return notAvailable(call, err)
	}
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return notAvailable(call, err)
	}
	defer conn.Close()
	tree := sysctl.OpenTree()
	defer tree.Close()
	var attached []*layout
	for _, r := range records {
		if link, found, err := findHostLink(conn, r.Key, r); err == nil && found && r.Phase == state.Ready {
			l := layoutOf(r)
			l.hostIf, l.hostIndex = link.name, link.index
			attached = append(attached, l)
		}
	}
	if len(attached) == 0 {
		return nil
	}
	l := attached[0] // shared by all: one attachment tells
	if err := sharedObjects(conn, tree, l); err != nil {
		return limited(call, fmt.Errorf("%w: the next ADD mends it", err))
	}
	if err := errors.Join(heldElements(l), hasPorts(attached...)); err != nil {
		return limited(call, err)
	}
	if l.programs {
		if err := comparePrograms(conn, l); err != nil {
			return limited(call, err)
		}
	}
	if err := losesPin(attached); err != nil {
		return limited(call, err)
	}
	if i := slices.IndexFunc(attached, func(l *layout) bool { return l.loopback }); i >= 0 {
		l = attached[i] // of those with ports the one that needs most
	}
	if err := comparePortPrograms(conn, l); err != nil {
		return limited(call, err)
	}
	return nil
}

// sharedObjects compares what attachments share with what one of them needs.
// CHECK asks it too.
func sharedObjects(conn *nlmsg.Conn, tree *sysctl.Tree, l *layout) error {
	link, err := rtnl.Link(conn, l.gatewayIf)
	if err != nil {
		return fmt.Errorf("gateway interface %q: %w", l.gatewayIf, err)
	}
	if !link.Up {
		return fmt.Errorf("gateway interface %q is down", l.gatewayIf)
	}
	if err := hasAddrs(conn, link.Index, l.gatewayIf, hostPrefixes(l.onHost)); err != nil {
		return err
	}
	ok, err := nft.Present(l.networks()...)
	if l.masquerade && err != nil {
		return fmt.Errorf("masquerade: %w", err)
	}
	if l.masquerade && !ok {
		return fmt.Errorf("masquerade: table inet emerita does not hold network %s: somebody flushed the nftables ruleset", l.ips[0].Address.Masked())
	}
	up4, up6 := findUplinks(conn, l)
	for _, s := range missing(tree, forwardingSettings(tree, l, up4, up6)) {
		return fmt.Errorf("forwarding is off: sysctl net.%s.conf.%s.%s is not %s", s.family, s.iface, s.key, s.wanted)
	}
	return nil
}

// forwardsIPv4 says whether the host end of an attachment still forwards.
func forwardsIPv4(tree *sysctl.Tree, l *layout) error {
	if !l.has(true) {
		return nil
	}
	v, err := tree.Get(sysctl.IPv4, l.hostIf, "forwarding")
	if err == nil && v != "1" {
		err = fmt.Errorf("forwarding is off: sysctl net.ipv4.conf.%s.forwarding is %s", l.hostIf, v)
	}
	return err
}
