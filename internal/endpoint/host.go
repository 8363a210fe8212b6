// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"net"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
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

// ensureGatewayInterface makes the shared interface, up, if it is not there,
// and returns its index and address. created tells the caller that whatever
// routes relied on its addresses are gone.
func ensureGatewayInterface(c *nlmsg.Conn, tree *sysctl.Tree, name string) (index int, mac net.HardwareAddr, created bool, err error) {
	index, err = rtnl.Index(c, name)
	if errors.Is(err, rtnl.ErrNoLink) {
		created = true
		index, err = createGatewayInterface(c, tree, name)
	}
	if err == nil {
		mac, err = rtnl.HardwareAddr(c, name)
	}
	return index, mac, created, cniproto.Wrap(cniproto.CodeNetlink, "make gateway interface", err)
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

// muteIPv6 applies, before an interface of ours is up, what keeps router
// advertisements from configuring it (CVE-2020-10749), and switches IPv6 on or
// off on it as the network has IPv6 addresses or not. It runs in the
// interface's namespace.
func muteIPv6(tree *sysctl.Tree, ifname string, wanted bool) error {
	settings, err := tree.Open(sysctl.IPv6, ifname)
	if errors.Is(err, fs.ErrNotExist) { // booted with ipv6.disable=1
		if wanted {
			return cniproto.Errorf(cniproto.CodeInvalidConfig, "enable IPv6 on "+ifname,
				"the kernel has no IPv6 (ipv6.disable=1?): remove the IPv6 ranges from the configuration")
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer settings.Close()
	if err := settings.Set("accept_ra", "0"); err != nil {
		return err
	}
	if !wanted {
		return settings.Set("disable_ipv6", "1")
	}
	return enableIPv6(settings)
}

// enableIPv6 writes only where the namespace's default is off: the write takes
// the rtnl lock.
func enableIPv6(settings *sysctl.Interface) error {
	if v, err := settings.Get("disable_ipv6"); err != nil || v == "0" {
		return err
	}
	return settings.Set("disable_ipv6", "0")
}

// wireHost makes the host's half of an attachment whose pair exists: settings,
// then up, gateway addresses, routes and neighbours. fresh tells the caller that
// a gateway address was not there: whatever routes relied on it are gone.
func wireHost(c *nlmsg.Conn, tree *sysctl.Tree, l *layout, index, gatewayIndex int) (fresh bool, err error) {
	if err := muteIPv6(tree, l.hostIf, l.has(false)); err != nil {
		return false, err
	}
	if l.has(false) {
		settings, err := tree.Open(sysctl.IPv6, l.gatewayIf)
		if err != nil {
			return false, err
		}
		defer settings.Close()
		if err := enableIPv6(settings); err != nil {
			return false, err
		}
	}
	var b nlmsg.Batch
	addGateways(&b, l, gatewayIndex)
	rtnl.Prepare(&b, index, l.hostIf, l.alias(), true, l.has(false))
	rtnl.SetUp(&b, index, l.hostIf)
	for _, r := range l.hostRoutes(index) {
		rtnl.AddRoute(&b, r, l.hostIf)
	}
	for _, ip := range l.ips {
		rtnl.AddNeigh(&b, index, ip.Address.Addr(), l.containerMAC, l.hostIf)
	}
	err = c.Do(&b)
	return b.Met() < len(l.onHost), err
}

// addGateways puts the gateway addresses on the shared interface; mostly they
// are there already.
func addGateways(b *nlmsg.Batch, l *layout, gatewayIndex int) {
	for _, g := range l.onHost {
		rtnl.AddAddr(b, gatewayIndex, hostPrefix(g), l.gatewayIf)
		b.Tolerate(unix.EEXIST)
	}
}
