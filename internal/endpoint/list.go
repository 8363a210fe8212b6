// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"cmp"
	"slices"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/state"
)

// Attached is an attachment as the operator sees it.
type Attached struct {
	*state.Record
	Counters *datapath.Counters // nil if no programs count for it
}

// List returns all attachments, sorted by network, container and interface.
func (p *Plugin) List() ([]Attached, error) {
	store, err := p.openExisting()
	if store == nil {
		return nil, err
	}
	defer store.Close()
	records, err := store.List("")
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeIO, "read state", err)
	}
	slices.SortFunc(records, func(a, b *state.Record) int { return cmp.Compare(a.Key.String(), b.Key.String()) })
	h, err := datapath.OpenMaps()
	if err == nil {
		defer h.Close()
	}
	out := make([]Attached, len(records))
	for i, r := range records {
		out[i].Record = r
		if h == nil || !r.Programs {
			continue
		}
		if c, err := h.Counters(r.HostIfIndex); err == nil {
			out[i].Counters = &c
		}
	}
	return out, nil
}
