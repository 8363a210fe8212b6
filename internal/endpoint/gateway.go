// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"crypto/sha256"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// gatewayKinds are the device types that can carry the gateway addresses, in
// order of preference: without ports and with addresses of their own. A bridge
// without ports stands in on kernels without CONFIG_DUMMY.
var gatewayKinds = [...]string{"dummy", "bridge"}

// gatewayMAC is the address given to the shared interface at its creation.
// Nobody ever sends to it; it is explicit so that udev leaves it alone.
func gatewayMAC(name string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("gateway interface\x00" + name))
	sum[0] = sum[0]&^1 | 2
	return net.HardwareAddr(sum[:6])
}

// gateway is the shared interface, and what of it an ADD has made.
type gateway struct {
	index   int
	mac     net.HardwareAddr
	created bool
	added   []netip.Addr
}

// fresh says that an address was not there: whatever routes relied on it are gone.
func (g *gateway) fresh() bool { return g.created || len(g.added) > 0 }

// gatewayLock is held by every ADD, with others, from before it looks for the shared
// interface until its record is complete or it has failed; and alone by the failed one
// that takes away what it has made of it. So nobody relies on that but those whose record
// is complete: who comes later looks anew.
func gatewayLock(ifname string) string { return "gateway interface " + ifname }

// gatewayPatience bounds how long a failing ADD waits for others that are under way.
const gatewayPatience = 2 * time.Second

// undoGateway takes back what a failing ADD has made of the shared interface, but for
// what a complete attachment uses. Where others come so thick that it never has it alone
// it leaves it to them.
func undoGateway(t tools, l *layout, gw *gateway) error {
	if !gw.fresh() {
		return nil
	}
	err := t.lock.Alone(gatewayLock(l.gatewayIf), gatewayPatience)
	if errors.Is(err, state.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	records, err := t.store.List("")
	if err != nil {
		return err
	}
	records = slices.DeleteFunc(records, func(r *state.Record) bool {
		return r.Key == l.key || r.Phase != state.Ready || r.Gateway != l.gatewayIf
	})
	if gw.created && len(records) == 0 {
		return deleteGatewayInterface(t.conn, l.gatewayIf)
	}
	var b nlmsg.Batch
	for _, a := range gw.added {
		if !slices.ContainsFunc(records, func(r *state.Record) bool { return slices.Contains(r.Gateways, a) }) {
			rtnl.DelAddr(&b, gw.index, hostPrefix(a), l.gatewayIf)
		}
	}
	return t.conn.Do(&b)
}

// clearGateways takes gateway addresses from interfaces of the operator's when nothing is
// attached: those that have the mark, which a kernel before 5.18 does not keep. The shared
// interface of Emerita's own stays with its addresses, for the next container.
func clearGateways(store *state.Store, conn *nlmsg.Conn) error {
	if none, err := store.Empty(); err != nil || !none {
		return err
	}
	marked, err := rtnl.MarkedAddrs(conn)
	errs := []error{err}
	for index, addrs := range marked {
		link, err := rtnl.LinkAt(conn, index)
		if err == nil && !slices.Equal(link.MAC, gatewayMAC(link.Name)) {
			err = clearGateway(store, conn, link, addrs)
		}
		if !errors.Is(err, rtnl.ErrNoLink) && !errors.Is(err, state.ErrLocked) { // an ADD is under way: nothing is over
			errs = append(errs, err)
		}
	}
	return cniproto.Wrap(cniproto.CodeNetlink, "take gateway addresses back", errors.Join(errs...))
}

// clearGateway asks for records again when no ADD relies on the interface: one that comes
// later has its record, but looks anew.
func clearGateway(store *state.Store, conn *nlmsg.Conn, link rtnl.LinkInfo, addrs []netip.Prefix) error {
	lock, err := store.LockShared(gatewayLock(link.Name), gatewayPatience)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if none, err := store.Empty(); err != nil || !none {
		return err
	}
	var b nlmsg.Batch
	for _, a := range addrs {
		rtnl.DelAddr(&b, link.Index, a, link.Name)
	}
	return conn.Do(&b)
}

// deleteGatewayInterface deletes it if it is one that createGatewayInterface made.
func deleteGatewayInterface(c *nlmsg.Conn, name string) error {
	mac, err := rtnl.HardwareAddr(c, name)
	if err == nil && slices.Equal(mac, gatewayMAC(name)) {
		var index int
		if index, err = rtnl.Index(c, name); err == nil {
			err = rtnl.DeleteAndWait(c, index, name)
		}
	}
	if errors.Is(err, rtnl.ErrNoLink) {
		return nil
	}
	return err
}

// ensureGatewayInterface makes the shared interface, up, if it is not there,
// and fills in gw, also on error.
func ensureGatewayInterface(c *nlmsg.Conn, tree *sysctl.Tree, name string, gw *gateway) (err error) {
	gw.index, err = rtnl.Index(c, name)
	if errors.Is(err, rtnl.ErrNoLink) {
		gw.created = true
		gw.index, err = createGatewayInterface(c, tree, name)
	}
	if err == nil {
		gw.mac, err = rtnl.HardwareAddr(c, name)
	}
	return cniproto.Wrap(cniproto.CodeNetlink, "make gateway interface", err)
}

func createGatewayInterface(c *nlmsg.Conn, tree *sysctl.Tree, name string) (int, error) {
	var err error
	for _, kind := range gatewayKinds {
		var b nlmsg.Batch
		rtnl.AddLink(&b, name, kind, gatewayMAC(name))
		b.Tolerate(unix.EEXIST) // a parallel ADD was faster
		if err = c.Do(&b); err == nil {
			break
		}
		if !errors.Is(err, unix.EOPNOTSUPP) {
			return 0, err
		}
	}
	if err != nil {
		return 0, err
	}
	index, err := rtnl.Index(c, name)
	if err != nil {
		return 0, err
	}
	hasIPv6 := tree.Has(sysctl.IPv6, name, "accept_ra")
	if hasIPv6 {
		if err := tree.Set(sysctl.IPv6, name, "accept_ra", "0"); err != nil {
			return 0, err
		}
	}
	var b nlmsg.Batch
	// A dummy, which has a carrier, would get a link-local address of the kernel's.
	rtnl.Prepare(&b, index, name, aliasPrefix+"gateways", true, hasIPv6)
	rtnl.SetUp(&b, index, name)
	return index, c.Do(&b)
}

// addGateways puts the gateway addresses on the shared interface; mostly they
// are there already.
func addGateways(b *nlmsg.Batch, l *layout, gatewayIndex int) {
	for _, g := range l.onHost {
		rtnl.AddAddr(b, gatewayIndex, hostPrefix(g), l.gatewayIf)
		rtnl.MarkAddr(b)
		b.Tolerate(unix.EEXIST)
	}
}
