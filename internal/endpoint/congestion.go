// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// unpaced is what TCP between two containers of a host gets in place of a congestion
// control that paces: there is no bottleneck to find, and the timers cost two thirds
// of the speed (measured: docs/benchmarks/datapath.md).
const unpaced = "cubic"

// paces says whether a congestion control sends by a clock of its own making: bbr and
// its successors. bpf/socket.bpf.c asks each socket the same.
func paces(name string) bool { return strings.HasPrefix(name, "bbr") }

// mayChoose refuses, before anything is touched, an algorithm that the kernel does not have.
func mayChoose(o options) error {
	if !o.namesCongestion() {
		return nil
	}
	if err := knownCongestion(o.Congestion); err != nil {
		return cniproto.Errorf(cniproto.CodeNotAvailable, "choose congestion control of local connections", "%w", err)
	}
	return nil
}

// openCongestion decides which congestion control local connections of an attachment
// get, and sees to it that the program that sets it is there. Without one it is nil;
// only a name in the configuration is worth an error.
func (p *Plugin) openCongestion(store *state.Store, tree *sysctl.Tree, h *datapath.Handle, o options) (*datapath.Congestion, error) {
	wanted := &datapath.Congestion{Name: o.Congestion}
	switch {
	case o.Congestion == modeOff:
		return nil, nil
	case !o.namesCongestion():
		// A namespace takes over the first one's when it is made, as the container's was.
		usual, err := tree.TCP("congestion_control")
		if err != nil || !paces(usual) || o.limited.any() { // a limit is the bottleneck that it looks for
			return nil, err
		}
		wanted.Name, wanted.Unpaced = unpaced, true
	}
	if h.HasCongestion() {
		return wanted, nil
	}
	if _, lacks := store.Lacks(congestionFeature, p.Version); lacks && !o.namesCongestion() {
		return nil, nil // the ADD that tried has said so
	}
	err := p.withSharedLock(store, h.LoadCongestion)
	if err == nil || !o.namesCongestion() {
		p.noteOutcome(store, congestionFeature, err)
	}
	if err == nil {
		return wanted, nil
	}
	if o.namesCongestion() {
		return nil, cniproto.Errorf(cniproto.CodeNotAvailable, "choose congestion control of local connections",
			"%w: mend it, or set localCongestionControl to auto", err)
	}
	p.Log.Warn("local connections keep the host's congestion control", "err", err)
	return nil, nil
}

// reloadCongestion gives this build's program to attachments that have a congestion
// control, after the pins were lost or were another build's. Without it they talk on
// with the host's.
func (p *Plugin) reloadCongestion(h *datapath.Handle, records []*state.Record) bool {
	if !slices.ContainsFunc(records, func(r *state.Record) bool { return r.Congestion != nil }) {
		return false
	}
	err := h.LoadCongestion()
	if err != nil {
		p.Log.Warn("local connections keep the host's congestion control", "err", err)
	}
	return err == nil
}

// knownCongestion asks the kernel for an algorithm, which loads its module.
func knownCongestion(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer unix.Close(fd)
	err = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the kernel has no congestion control %q: localCongestionControl takes one of net.ipv4.tcp_available_congestion_control", name)
	}
	return err
}
