// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// Install loads and pins the eBPF programs, so that the first container need not wait
// for it, and gives those of this build to every attachment that has some. Without it
// the first ADD does the same. The last GC takes them away again.
func (p *Plugin) Install() error {
	const what = "install the eBPF data path"
	store, err := state.Open(p.StateDir, true)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "open state", err)
	}
	defer store.Close()
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()
	var h *datapath.Handle
	err = p.withSharedLock(store, func() error {
		var loaded bool
		h, loaded, err = datapath.OpenOrLoad()
		p.noteOutcome(store, programsFeature, err)
		if err != nil || !loaded {
			return err
		}
		return p.attachAll(store, conn, h)
	})
	if h != nil {
		defer h.Close()
	}
	if err != nil {
		return cniproto.Wrap(cniproto.CodeNotAvailable, what, err)
	}
	tree := sysctl.OpenTree()
	defer tree.Close()
	p.noteOutcome(store, congestionFeature, nil) // to be tried now
	_, err = p.openCongestion(store, tree, h, options{})
	return cniproto.Wrap(cniproto.CodeNotAvailable, what, err)
}
