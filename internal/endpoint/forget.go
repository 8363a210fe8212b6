// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"io/fs"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// forget takes an endpoint whose interface is gone out of the programs' maps.
// Without pins there is nothing to forget. Pins that nobody may open, because
// bpf(2) is refused or the directory somebody else's, do not keep a container
// from being let go: what they hold of it goes with the next GC that may.
func (p *Plugin) forget(e datapath.Endpoint) error {
	h, err := datapath.OpenMaps()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		p.Log.Warn("leave entries in the eBPF maps to GC", "err", err)
		return nil
	}
	defer h.Close()
	return h.Unregister(e)
}

// forgetAttachment takes an attachment whose interface is gone out of the programs'
// maps: by its record if that is complete. What an interrupted ADD has written, or
// one whose record is lost, nobody has noted; all of it is of an interface that is
// gone.
func (p *Plugin) forgetAttachment(conn *nlmsg.Conn, key state.Key, record *state.Record, link hostLink) error {
	what := "forget " + key.String() + " in the eBPF maps"
	if record != nil && record.Phase == state.Ready {
		l := layoutOf(record)
		if link.index != 0 {
			l.hostIndex = link.index
		}
		if !record.Programs {
			forgetPlain(l)
			return nil
		}
		return cniproto.Wrap(cniproto.CodeNetlink, what, p.forget(endpointOf(l)))
	}
	if record == nil && link.index == 0 {
		return nil // never attached, as far as anybody can tell
	}
	if err := sweepPrograms(conn); err != nil {
		p.Log.Warn(what, "err", err)
	}
	return nil
}

// forgetPlain undoes registerPlain. What cannot be, GC sweeps.
func forgetPlain(l *layout) {
	if h, err := datapath.OpenMaps(); err == nil {
		_ = h.Unregister(endpointOf(l))
		h.Close()
	}
}

// sweepPrograms takes interfaces that are gone out of the programs' maps.
func sweepPrograms(conn *nlmsg.Conn) error {
	return datapath.Sweep(func(ifindex int) bool {
		_, err := rtnl.Name(conn, ifindex)
		return errors.Is(err, rtnl.ErrNoLink)
	})
}
