// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"io/fs"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

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
// then up, gateway addresses, routes and neighbours. It adds to what the shared
// interface has been given.
func wireHost(c *nlmsg.Conn, tree *sysctl.Tree, l *layout, index int, gw *gateway) error {
	if err := muteIPv6(tree, l.hostIf, l.has(false)); err != nil {
		return err
	}
	if l.has(false) {
		settings, err := tree.Open(sysctl.IPv6, l.gatewayIf)
		if err != nil {
			return err
		}
		defer settings.Close()
		if err := enableIPv6(settings); err != nil {
			return err
		}
	}
	var b nlmsg.Batch
	addGateways(&b, l, gw.index)
	rtnl.Prepare(&b, index, l.hostIf, l.alias(), true, l.has(false))
	rtnl.SetUp(&b, index, l.hostIf)
	for _, r := range l.hostRoutes(index) {
		rtnl.AddRoute(&b, r, l.hostIf)
	}
	for _, ip := range l.ips {
		rtnl.AddNeigh(&b, index, ip.Address.Addr(), l.containerMAC, l.hostIf)
	}
	err := c.Do(&b)
	for i, a := range l.onHost { // the first messages of the batch
		if !b.MetAt(i) {
			gw.added = append(gw.added, a)
		}
	}
	return err
}
