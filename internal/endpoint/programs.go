// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// endpointOf is an attachment as the eBPF programs know it.
func endpointOf(l *layout) datapath.Endpoint {
	e := datapath.Endpoint{
		Network: datapath.IDOf(l.key.Network), Owner: datapath.OwnerOf(l.key.ContainerID), IfIndex: l.hostIndex,
		MAC: l.containerMAC, HostMAC: l.hostMAC, MTU: l.mtu,
		FastPath: l.fastPath, Isolated: l.isolated, HostClosed: l.hostClosed, Netkit: l.device == rtnl.Netkit,
		Congestion: l.congestion, Limited: l.limits.any(),
		Acceleration: l.acceleration,
	}
	for _, ip := range l.ips {
		e.Addrs = append(e.Addrs, ip.Address.Addr())
	}
	if l.has(false) {
		e.Addrs = append(e.Addrs, linkLocal(l.containerMAC).Addr())
	}
	for _, name := range l.allowed {
		e.Allowed = append(e.Allowed, datapath.IDOf(name))
	}
	return e
}

// openPrograms opens the eBPF data path for an attachment that wants it, and
// loads it if this is the first. Without it containers still reach each other by
// routes: only a configuration that insists gets an error, others nil.
func (p *Plugin) openPrograms(store *state.Store, conn *nlmsg.Conn, o options) (*datapath.Handle, error) {
	if !o.wantsPrograms() {
		return nil, nil
	}
	h, err := p.loadPrograms(store, conn, o.needsPrograms())
	if err != nil {
		return nil, p.withoutPrograms(o, err)
	}
	return h, nil
}

// loadPrograms opens the eBPF data path, and loads it if that is to be tried: not again
// in one boot, unless somebody insists.
func (p *Plugin) loadPrograms(store *state.Store, conn *nlmsg.Conn, insists bool) (*datapath.Handle, error) {
	h, err := datapath.Open()
	if errors.Is(err, fs.ErrNotExist) && !insists {
		if why, lacks := store.Lacks(programsFeature, p.Version); lacks {
			return nil, fmt.Errorf("tried in this boot: %s", why)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = p.withSharedLock(store, func() error {
			var loaded bool
			h, loaded, err = datapath.OpenOrLoad()
			if err == nil || !insists { // a refused ADD leaves nothing
				p.noteOutcome(store, programsFeature, err)
			}
			if err == nil && loaded {
				// A newer build, or pins that were lost: those that
				// run go over to the programs and maps of now.
				err = p.attachAll(store, conn, h)
			}
			return err
		})
	}
	if err == nil {
		return h, nil
	}
	if h != nil {
		h.Close()
	}
	return nil, err
}

// withoutPrograms is nil if the configuration can do without the programs.
func (p *Plugin) withoutPrograms(o options, err error) error {
	if o.needsPrograms() {
		return cniproto.Errorf(cniproto.CodeNotAvailable, "set up the eBPF data path",
			"%w: mend it, or do not insist on fastPath, isolation, hostAccess, localCongestionControl or socketAcceleration", err)
	}
	p.Log.Warn("no eBPF data path: traffic goes by plain routes", "err", err)
	return nil
}

// attach tells the programs of an attachment and puts them on its host end, in place
// of another build's. One that stands for longer may have somebody's ingress qdisc by
// now, to which no filter must be sent; a new one gets everything at once.
func attach(h *datapath.Handle, conn *nlmsg.Conn, l *layout, fresh bool) error {
	var b nlmsg.Batch
	rtnl.AddClsact(&b, l.hostIndex, l.hostIf)
	err := h.Register(endpointOf(l))
	if err == nil && !fresh {
		err = conn.Do(&b)
		b = nlmsg.Batch{}
	}
	if err == nil {
		rtnl.SetFilter(&b, l.hostIndex, rtnl.Egress, int(h.ToContainer), "emerita to_container", l.hostIf)
		if l.device != rtnl.Netkit {
			rtnl.SetFilter(&b, l.hostIndex, rtnl.Ingress, int(h.FromContainer), "emerita from_container", l.hostIf)
		}
		err = conn.Do(&b)
	}
	if err == nil && l.device == rtnl.Netkit {
		err = h.AttachNetkit(l.hostIndex)
	}
	return err
}

// attachAll attaches the programs to every attachment that has some, and tells them of
// all others. It goes on after an error: what is attached already stays so.
func (p *Plugin) attachAll(store *state.Store, conn *nlmsg.Conn, h *datapath.Handle) error {
	records, err := store.List("")
	if err != nil {
		return err
	}
	sockets := p.reloadCongestion(h, records)
	accelerated := p.reloadAcceleration(h, records)
	p.reloadPorts(h, records)
	var errs []error
	for _, r := range records {
		link, found, err := findHostLink(conn, r.Key, r)
		if err != nil || !found || r.Phase != state.Ready {
			continue // gone, or under way: its own ADD or DEL sees to it
		}
		l := layoutOf(r)
		l.hostIf, l.hostIndex = link.name, link.index
		e := endpointOf(l)
		if !l.programs {
			err = h.Register(e)
		} else {
			// The addresses first: it talks, and a program that has just been
			// attached drops what comes from an address that it does not know.
			err = h.RegisterAddrs(e)
			if err == nil && sockets {
				err = h.RegisterSockets(e)
			}
			if err == nil && accelerated {
				err = p.accelerateAgain(h, l)
			}
			if err == nil {
				err = attach(h, conn, l, false)
			}
		}
		if err == nil {
			err = h.Publish(cookieOf(conn), l.hostIndex, programPorts(l))
		}
		if errors.Is(err, fs.ErrNotExist) && !l.loopback {
			err = nil // nobody has loaded the programs for it
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("attach programs to %s: %w", r.Key, err))
		}
	}
	return errors.Join(errs...)
}

// registerPlain tells the programs, where there are some, of an attachment that has
// none: by whose interface a packet has come in is how isolated networks know it. It
// comes after the record, so that whoever loads the programs just now finds that.
func (p *Plugin) registerPlain(l *layout) {
	h, err := datapath.OpenMaps()
	if err == nil {
		defer h.Close()
		err = h.Register(endpointOf(l))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.Log.Debug("networks that are isolated do not know "+l.key.String(), "err", err)
	}
}

// unloadPrograms removes the pins when nothing is attached. An ADD that is under
// way has its record by then; if one begins just now, the next one after it
// loads and attaches anew.
func (p *Plugin) unloadPrograms(store *state.Store) error {
	return p.withSharedLock(store, func() error {
		if none, err := store.Empty(); err != nil || !none {
			return err
		}
		p.forgetOutcomes(store)
		return datapath.Unload()
	})
}

// comparePrograms says what is missing of the programs of an attachment.
func comparePrograms(conn *nlmsg.Conn, l *layout) error {
	hooks := map[string]func() (uint32, error){
		"egress":  func() (uint32, error) { return rtnl.Filter(conn, l.hostIndex, rtnl.Egress) },
		"ingress": func() (uint32, error) { return rtnl.Filter(conn, l.hostIndex, rtnl.Ingress) },
	}
	if l.device == rtnl.Netkit {
		delete(hooks, "ingress")
		hooks["the peer"] = func() (uint32, error) { return datapath.AttachedNetkit(l.hostIndex) }
	}
	for where, program := range hooks {
		id, err := program()
		if err != nil {
			return err
		}
		if id == 0 {
			return fmt.Errorf("eBPF program is missing on %s of %q: emerita repair puts it back", where, l.hostIf)
		}
	}
	h, err := datapath.OpenMaps()
	if err != nil {
		return fmt.Errorf("eBPF data path: %w: emerita repair puts it back", err)
	}
	defer h.Close()
	if err := h.Lost(endpointOf(l)); err != nil {
		return fmt.Errorf("%w: emerita repair puts it back", err)
	}
	known, err := h.Knows(endpointOf(l))
	if err == nil && !known {
		err = fmt.Errorf("the eBPF maps do not know %s: emerita repair tells them", l.key)
	}
	return err
}

// losesPin says which pin is missing that one of some attachments needs, for STATUS.
func losesPin(attached []*layout) error {
	h, err := datapath.OpenMaps()
	if err != nil {
		return nil // comparePrograms has said it, of one that has programs
	}
	defer h.Close()
	type needs struct{ congestion, acceleration, root bool }
	seen := map[needs]bool{}
	for _, l := range attached {
		n := needs{l.congestion != nil, l.acceleration != nil, l.acceleration != nil && l.acceleration.Cgroup == ""}
		if !l.programs || seen[n] {
			continue
		}
		seen[n] = true
		if err := h.Lost(endpointOf(l)); err != nil {
			return fmt.Errorf("%w: emerita repair puts it back", err)
		}
	}
	return nil
}
