// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/ipam"
	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// request is an ADD whose every input has been validated.
type request struct {
	call         Call
	options      options
	mac          net.HardwareAddr // asked for; nil if not
	labels       map[string]string
	aliases      []string
	ports        []cniproto.PortMapping
	acceleration *datapath.Acceleration // nil if none; without namespace
	prev         *cniproto.Result       // nil for the first plugin of a chain
	ipam         ipam.Manager
	ns           *netns.NS
}

// parse validates an ADD without touching anything. The caller closes ns.
func (p *Plugin) parse(call Call) (r *request, err error) {
	r = &request{call: call}
	if r.options, err = parseOptions(call.Config.Raw); err != nil {
		return nil, err
	}
	args, err := cniproto.ParseArgs(call.Env.Args)
	if err != nil {
		return nil, err
	}
	r.labels = workloadLabels(call.Config, args)
	if r.aliases, err = wantedAliases(call.Config); err != nil {
		return nil, err
	}
	if r.ports, err = cniproto.ParsePortMappings(call.Config.RuntimeConfig.PortMappings); err != nil {
		return nil, err
	}
	if err := checkHostIPs(r.ports); err != nil {
		return nil, err
	}
	if r.acceleration, err = r.accelerated(); err != nil {
		return nil, err
	}
	if r.mac, err = wantedMAC(call.Config, args); err != nil {
		return nil, err
	}
	if call.Config.PrevResult != nil {
		if r.prev, err = cniproto.DecodePrevResult(call.Config.PrevResult, call.Config.CNIVersion); err != nil {
			return nil, err
		}
	}
	if r.ipam, err = p.addressManager(call, args); err != nil {
		return nil, err
	}
	r.ns, err = openContainer(call.Env.Netns)
	return r, err
}

// openContainer opens the container's namespace and refuses the host's, which
// the plugin would otherwise reconfigure as if it were a container.
func openContainer(path string) (*netns.NS, error) {
	ns, err := netns.Open(path)
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeInvalidEnv, "open CNI_NETNS", err)
	}
	host, err := ns.IsHost()
	if err != nil {
		ns.Close()
		return nil, cniproto.Wrap(cniproto.CodeInvalidEnv, "open CNI_NETNS", err)
	}
	if host {
		ns.Close()
		return nil, hostRefused(path)
	}
	return ns, nil
}

// Add connects a container to the network and returns what it made, in the form
// of CNI 1.1.0. On error nothing of it is left.
func (p *Plugin) Add(ctx context.Context, call Call) (*cniproto.Result, error) {
	r, err := p.parse(call)
	if err != nil {
		return nil, err
	}
	defer r.ns.Close()
	if err := mayAccelerate(r.acceleration); err != nil {
		return nil, err
	}
	if err := mayChoose(r.options); err != nil {
		return nil, err
	}
	store, err := state.Open(p.StateDir, true)
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeIO, "open state", err)
	}
	defer store.Close()
	lock, err := p.lockKey(store, call.key())
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeNetlink, "open rtnetlink", err)
	}
	defer conn.Close()
	prefer, err := p.reclaim(store, conn, call.key())
	if err != nil {
		return nil, err
	}
	return p.connect(ctx, r, tools{store: store, lock: lock, conn: conn}, prefer)
}

// reclaim clears away a dead attachment of the same key and returns the
// addresses that it had. A living one is refused: to touch it would break a
// running container.
func (p *Plugin) reclaim(store *state.Store, conn *nlmsg.Conn, key state.Key) ([]netip.Addr, error) {
	record, err := store.Load(key)
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeIO, "read state", err)
	}
	link, found, err := findHostLink(conn, key, record)
	if err != nil {
		return nil, err
	}
	if found && (record == nil || record.Phase == state.Ready) {
		return nil, cniproto.Errorf(cniproto.CodeNetlink, "attach "+key.String(),
			"it is attached already by %q: DEL it first", link.name)
	}
	if found {
		if err := rtnl.DeleteAndWait(conn, link.index, link.name); err != nil {
			return nil, cniproto.Wrap(cniproto.CodeNetlink, "clear interrupted attachment", err)
		}
	}
	if record != nil && hasIfb(record) {
		if err := deleteIfb(conn, key, record); err != nil {
			return nil, cniproto.Wrap(cniproto.CodeNetlink, "clear interrupted attachment", err)
		}
	}
	if err := p.forgetAttachment(conn, key, record, link); err != nil {
		return nil, err
	}
	if record == nil {
		return nil, nil
	}
	p.dismissRecorded(store, record)
	if err := p.unpublish(store, conn, formerLayout(conn, record, link)); err != nil {
		return nil, err
	}
	return record.Claimed, nil
}

// connect is the part of ADD that has side effects, and undoes them on error.
func (p *Plugin) connect(ctx context.Context, r *request, t tools, prefer []netip.Addr) (result *cniproto.Result, err error) {
	key, store, conn := r.call.key(), t.store, t.conn
	undo := undoList{}
	defer func() {
		if err != nil {
			err = undo.run(err)
		}
	}()

	record := p.newRecord(r)
	if record.BootID, err = state.BootID(); err != nil {
		return nil, cniproto.Wrap(cniproto.CodeIO, "identify boot", err)
	}
	undo.add(func() error { return p.restoreHost(store, conn) })
	undo.add(func() error { return store.Remove(key) })
	given, err := r.ipam.Add(ctx, ipam.Hooks{
		Claiming: func(c ipam.Claim) error {
			record.ClaimDir, record.Claimed = c.Dir, c.Addrs
			return store.Save(record)
		},
		Alive:  p.vacancy(store, conn, r.call.Config.Name),
		Prefer: prefer,
	})
	if err != nil {
		return nil, cniproto.Wrap(cniproto.CodeIPAM, "get an address", err)
	}
	undo.add(func() error {
		return r.ipam.Del(context.WithoutCancel(ctx), &ipam.Claim{Dir: record.ClaimDir, Addrs: record.Claimed})
	})

	l := newLayout(r)
	if err := l.plan(given.IPs, append(given.Routes, r.options.routes...)); err != nil {
		return nil, err
	}
	describe(record, l)
	if l.ports, err = resolvePorts(r.ports, l.ips); err != nil {
		return nil, err
	}
	if err := r.options.checkListeners(l.ports); err != nil {
		return nil, err
	}
	up4, up6 := findUplinks(conn, l)
	if err := checkHost(conn, l, up4, up6); err != nil {
		return nil, err
	}
	if err := l.chooseMTU(r.options.MTU, up4, up6); err != nil {
		return nil, err
	}
	if err := l.chooseOffload(conn, r.options, up4, up6); err != nil {
		return nil, err
	}
	t.tree = sysctl.OpenTree()
	defer t.tree.Close()
	if t.programs, err = p.openPrograms(store, conn, r.options); err != nil {
		return nil, err
	}
	if t.programs != nil {
		defer t.programs.Close()
		if t.congestion, err = p.openCongestion(store, t.tree, t.programs, r.options); err != nil {
			return nil, err
		}
		t.acceleration = r.acceleration
		if err := p.openAcceleration(store, t.programs, t.acceleration); err != nil {
			return nil, err
		}
	}
	gatewayMAC, err := p.wire(t, r, l, &undo)
	if err != nil {
		return nil, err
	}
	describeWiring(record, l)
	if err := p.enableForwarding(store, t.tree, l, up4, up6); err != nil {
		return nil, err
	}
	if err := p.ensureMasquerade(store, l); err != nil {
		return nil, err
	}
	if err := p.publish(t, l, record, &undo); err != nil {
		return nil, err
	}
	result = l.result(r, gatewayMAC, resolver(r.call.Config, given.DNS))
	record.Phase = state.Ready
	if record.Result, err = json.Marshal(result); err == nil {
		err = store.Update(record)
	}
	if err == nil {
		p.enterUnmasqueraded(store, l)
	}
	if err == nil && !l.programs {
		p.registerPlain(l)
	}
	return result, cniproto.Wrap(cniproto.CodeIO, "write state", err)
}

// undoList is what a failing ADD has to undo, last first.
type undoList struct{ steps []func() error }

func (u *undoList) add(step func() error) { u.steps = append(u.steps, step) }

// run undoes everything. What cannot be undone is added to the error; the
// record is the first step and thus the last to go, so that DEL finds the rest.
func (u *undoList) run(err error) error {
	for i := len(u.steps) - 1; i >= 0; i-- {
		if uerr := u.steps[i](); uerr != nil {
			e := *cniproto.AsError(err)
			e.Details += "; undo: " + uerr.Error()
			e.Err = errors.Join(e.Err, uerr)
			return &e
		}
	}
	return err
}
