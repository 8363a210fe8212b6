// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/ipam"
	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// Del disconnects a container. It needs neither the namespace nor prevResult
// nor a record: what is gone already is success, and what stands is found by
// the names derived from the key. It goes on after an error, and reports all.
func (p *Plugin) Del(ctx context.Context, call Call) error {
	if err := refuseHost(call.Env.Netns); err != nil {
		return err
	}
	from := p.lessorOf(call)
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()

	store, err := state.Open(p.StateDir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return p.disconnect(ctx, nil, conn, call.key(), from)
	}
	if err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "open state", err)
	}
	defer store.Close()
	lock, err := p.lockKey(store, call.key())
	if err != nil {
		return err
	}
	defer lock.Unlock()
	return p.disconnect(ctx, store, conn, call.key(), from)
}

// lessor is who gave the addresses of an attachment, by the configuration of
// its DEL.
type lessor struct {
	manager ipam.Manager // nil without IPAM, or if its configuration is invalid
	typ     string
	invalid error
}

// lessorOf does not let a DEL fail for what it can do without: CNI_ARGS ask for
// addresses, and a record tells where they are held.
func (p *Plugin) lessorOf(call Call) lessor {
	args, err := cniproto.ParseArgs(call.Env.Args)
	if err != nil {
		p.Log.Warn("DEL goes on without CNI_ARGS", "err", err)
	}
	if call.Config.IPAM == nil {
		return lessor{}
	}
	manager, err := p.addressManager(call, args)
	if err != nil {
		return lessor{invalid: err}
	}
	return lessor{manager: manager, typ: call.Config.IPAMType}
}

// refuseHost keeps a DEL that names the host's namespace from going on: whoever
// asks for it has mistaken the host for a container. A namespace that is gone,
// or is none, is what a DEL may well find.
func refuseHost(path string) error {
	if path == "" {
		return nil
	}
	ns, err := netns.Open(path)
	if err != nil {
		return nil
	}
	defer ns.Close()
	if host, err := ns.IsHost(); err != nil || !host {
		return nil
	}
	return hostRefused(path)
}

func hostRefused(path string) error {
	return cniproto.Errorf(cniproto.CodeTargetNetns, "open CNI_NETNS", "%q is the host's network namespace: give the container's", path)
}

// disconnect undoes an attachment whose lock is held: first what can carry
// traffic, then the address, last the record, by which a repeated DEL finds
// what a killed one left. store is nil if there is no state at all.
func (p *Plugin) disconnect(ctx context.Context, store *state.Store, conn *nlmsg.Conn, key state.Key, from lessor) error {
	var record *state.Record
	var errs []error
	if store != nil {
		var err error
		record, err = store.Load(key)
		errs = append(errs, err)
	}
	link, found, err := findHostLink(conn, key, record)
	if err == nil && found {
		err = rtnl.DeleteAndWait(conn, link.index, link.name)
	}
	if err == nil && hasIfb(record) {
		err = deleteIfb(conn, key, record)
	}
	if err != nil {
		// Its address must not be given to another while it is there.
		return cniproto.Wrap(cniproto.CodeNetlink, "delete interface of "+key.String(), errors.Join(append(errs, err)...))
	}
	errs = append(errs, p.forgetAttachment(conn, key, record, link))
	p.dismissRecorded(store, record)
	if record != nil && len(record.Ports) > 0 {
		if err := p.unpublish(store, conn, formerLayout(conn, record, link)); err != nil {
			// Nor while ports of the host lead to it.
			return cniproto.Wrap(cniproto.CodeNetlink, "close the ports of "+key.String(), errors.Join(append(errs, err)...))
		}
	}
	errs = append(errs, p.release(ctx, record, key, from))
	if err := errors.Join(errs...); err != nil {
		return cniproto.Wrap(cniproto.CodeIPAM, "release addresses of "+key.String(), err)
	}
	if store == nil {
		return nil
	}
	if err := store.Remove(key); err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "write state", err)
	}
	return cniproto.Wrap(cniproto.CodeNetlink, "restore the host", p.restoreHost(store, conn))
}

// release gives back what the attachment holds by its record, even if the
// configuration names another IPAM or directory by now; without a record, what
// the configuration's IPAM finds.
func (p *Plugin) release(ctx context.Context, record *state.Record, key state.Key, from lessor) error {
	var known *ipam.Claim
	if record != nil && record.ClaimDir != "" {
		known = &ipam.Claim{Dir: record.ClaimDir, Addrs: record.Claimed}
	}
	if known != nil && from.typ != record.IPAM {
		if err := ipam.Release(ctx, *known, key, p.LockTimeout); err != nil || from.manager == nil {
			return err
		}
		known = nil
	}
	if from.manager == nil {
		return from.invalid // where else its addresses may be, nobody can say
	}
	return from.manager.Del(ctx, known)
}
