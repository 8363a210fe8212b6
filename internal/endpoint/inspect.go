// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/state"
)

// openExisting opens the state; nil without an error if nothing was ever attached.
func (p *Plugin) openExisting() (*state.Store, error) {
	store, err := state.Open(p.StateDir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeIO, "open state", err)
	}
	return store, nil
}

// RecordedResult is the result that ADD gave for an attachment, for callers
// that have no runtime to keep it; nil if there is no such attachment.
func (p *Plugin) RecordedResult(key state.Key) (json.RawMessage, error) {
	store, err := p.openExisting()
	if store == nil {
		return nil, err
	}
	defer store.Close()
	record, err := store.Load(key)
	if record == nil {
		return nil, cniproto.Wrap(cniproto.CodeIO, "read state", err)
	}
	return record.Result, nil
}

// CollectDead disconnects the attachments of a network whose interface is gone,
// as happens when a namespace is deleted and nobody calls DEL. It is for hosts
// whose runtime never calls GC.
func (p *Plugin) CollectDead(ctx context.Context, network string) error {
	store, err := p.openExisting()
	if store == nil {
		return err
	}
	defer store.Close()
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()
	records, err := store.List(network)
	errs := []error{err}
	alive := p.aliveness(store, conn, network)
	for _, r := range records {
		if alive, _ := alive(r.Key.ContainerID, r.Key.IfName); !alive {
			p.Log.Info("collect", "attachment", r.Key.String())
			errs = append(errs, p.collect(ctx, store, conn, r.Key))
		}
	}
	errs = append(errs, sweepPrograms(conn), removeDamaged(store, conn, network, nil), p.tidyHost(store, conn))
	return cniproto.Wrap(cniproto.CodeInternal, "collect dead attachments of network "+network, errors.Join(errs...))
}
