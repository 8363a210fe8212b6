// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/state"
)

// programPorts are the ports of an attachment as the eBPF programs know them.
func programPorts(l *layout) []datapath.Port {
	var out []datapath.Port
	for _, p := range l.ports {
		out = append(out, datapath.Port{
			Protocol: protocolOf(p.Protocol), HostAddr: p.HostIP, HostPort: p.HostPort, Addr: p.ContainerIP, Port: p.ContainerPort,
			Open: l.programs && !p.HostIP.IsLoopback(),
		})
	}
	return out
}

// atLoopback says whether a port is for the host's own processes alone.
func atLoopback(p state.Port) bool { return p.HostIP.IsLoopback() }

// cookieOf is the number of the network namespace of a netlink connection, here the
// host's; 0 before Linux 5.14.
func cookieOf(conn *nlmsg.Conn) uint64 {
	cookie, _ := unix.GetsockoptUint64(conn.FD(), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return cookie
}

// openToPrograms tells the programs of an attachment's ports, and sees to it that those
// are at work that lead from loopback addresses. Where that cannot be, the port is open
// at the host's other addresses; an address that was named is worth an error.
func (p *Plugin) openToPrograms(t tools, l *layout) error {
	named := slices.IndexFunc(l.ports, atLoopback)
	insists := named >= 0
	if insists && l.ports[named].Protocol == "sctp" {
		return cniproto.Errorf(cniproto.CodeNotAvailable, "publish "+l.ports[named].String(), "the kernel has no hook for SCTP there: take another hostIP")
	}
	h := t.programs
	if h == nil {
		var err error
		if h, err = p.loadPrograms(t.store, t.conn, insists); err != nil {
			return p.withoutLoopback(l, named, err)
		}
		defer h.Close()
	}
	err := p.loadPorts(t.store, h, insists)
	if perr := h.Publish(cookieOf(t.conn), l.hostIndex, programPorts(l)); perr != nil && (err == nil || !errors.Is(perr, fs.ErrNotExist)) {
		if errors.Is(perr, fs.ErrNotExist) {
			perr = fmt.Errorf("%w: emerita repair puts it back", perr)
		}
		return cniproto.Wrap(cniproto.CodeNetlink, "publish ports in the eBPF maps", perr)
	}
	if err != nil {
		return p.withoutLoopback(l, named, err)
	}
	l.loopback = true
	return nil
}

// loadPorts puts the programs on the cgroup, unless they are there, or it is known that
// they cannot be.
func (p *Plugin) loadPorts(store *state.Store, h *datapath.Handle, insists bool) error {
	if h.HasPorts() {
		return nil
	}
	if why, lacks := store.Lacks(portsFeature, p.Version); lacks && !insists {
		return fmt.Errorf("tried in this boot: %s", why)
	}
	err := p.withSharedLock(store, h.LoadPorts)
	if err == nil || !insists {
		p.noteOutcome(store, portsFeature, err)
	}
	return err
}

// withoutLoopback is nil if no port names a loopback address.
func (p *Plugin) withoutLoopback(l *layout, named int, err error) error {
	if named >= 0 {
		return cniproto.Errorf(cniproto.CodeNotAvailable, "publish "+l.ports[named].String(), "%w: mend it, or take another hostIP", err)
	}
	p.Log.Warn("published ports are not open at loopback addresses of the host", "err", err)
	return nil
}

// closeToPrograms undoes openToPrograms. What cannot be, GC sweeps.
func (p *Plugin) closeToPrograms(conn *nlmsg.Conn, l *layout) {
	h, err := datapath.OpenMaps()
	if err == nil {
		err = h.Unpublish(cookieOf(conn), l.hostIndex, programPorts(l))
		h.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.Log.Warn("leave ports in the eBPF maps to GC", "err", err)
	}
}

// reloadPorts gives attachments with ports this build's programs, after the pins were
// lost or were another build's.
func (p *Plugin) reloadPorts(h *datapath.Handle, records []*state.Record) {
	if !slices.ContainsFunc(records, func(r *state.Record) bool { return r.Loopback }) {
		return
	}
	if err := h.LoadPorts(); err != nil {
		p.Log.Warn("published ports are not open at loopback addresses of the host", "err", err)
	}
}

// comparePortPrograms says which programs or entries are missing for the ports of an
// attachment.
func comparePortPrograms(conn *nlmsg.Conn, l *layout) error {
	ports := programPorts(l)
	if !l.loopback { // then only what the programs on the device know
		ports = slices.DeleteFunc(ports, func(p datapath.Port) bool { return !p.Open })
		for i := range ports {
			if ports[i].HostAddr.IsUnspecified() {
				ports[i].HostAddr = somewhere(ports[i].HostAddr)
			}
		}
	}
	if len(ports) == 0 {
		return nil
	}
	h, err := datapath.OpenMaps()
	if err != nil {
		return fmt.Errorf("published ports: %w: emerita repair puts the eBPF programs back", err)
	}
	defer h.Close()
	if l.loopback {
		if err := h.LostPorts(); err != nil {
			return fmt.Errorf("published ports: %w: emerita repair puts it back", err)
		}
	}
	known, err := h.Published(cookieOf(conn), l.hostIndex, ports)
	if err != nil {
		return fmt.Errorf("published ports: %w", err)
	}
	if !known {
		return errors.New("published ports: the eBPF maps do not know them: emerita repair tells them")
	}
	return nil
}

// somewhere is an address of a family that is neither loopback nor unspecified.
func somewhere(a netip.Addr) netip.Addr { return linkLocalGateway(a.Is4()) }
