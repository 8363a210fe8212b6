// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
)

// loopbackIndex is the index of lo in every namespace (LOOPBACK_IFINDEX of
// include/net/flow.h).
const loopbackIndex = 1

// wireContainer makes the container's half of an attachment, in its namespace:
// lo and the interface up, addresses, routes, and the neighbours that stand for
// every next hop.
func wireContainer(ns *netns.NS, l *layout) error {
	return ns.Do(func() error {
		ifname := l.key.IfName
		if err := muteIPv6(ifname, l.has(false)); err != nil {
			return err
		}
		c, err := nlmsg.Open(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer c.Close()
		index, err := rtnl.Index(c, ifname)
		if err != nil {
			return err
		}
		var b nlmsg.Batch
		rtnl.SetUp(&b, loopbackIndex, "lo")
		if l.has(false) {
			rtnl.Prepare(&b, index, ifname, "", false, true)
		}
		rtnl.SetUp(&b, index, ifname)
		addContainerAddrs(&b, l, index)
		addContainerRoutes(&b, l, index)
		for _, g := range l.gateways {
			rtnl.AddNeigh(&b, index, g, l.hostMAC, ifname)
		}
		return c.Do(&b)
	})
}

func addContainerAddrs(b *nlmsg.Batch, l *layout, index int) {
	for _, ip := range l.ips {
		rtnl.AddAddr(b, index, ip.Address, l.key.IfName)
	}
	if l.has(false) {
		rtnl.AddAddr(b, index, linkLocal(l.containerMAC), l.key.IfName)
		b.Tolerate(unix.EEXIST) // the configuration's own address
	}
}

// addContainerRoutes: another attachment of the container may have the same
// next hop or destination. Routes of ours stand beside its own. Of those that
// IPAM advises the first one counts, as with the upstream plugins; an IPv4 one
// waits behind it for the day when that attachment goes. An IPv6 one cannot: the
// kernel would make one route of both, and send by either (rt6_qualify_for_ecmp
// of net/ipv6/route.c).
func addContainerRoutes(b *nlmsg.Batch, l *layout, index int) {
	for _, r := range l.linkRoutes(index) {
		rtnl.AppendRoute(b, r, l.key.IfName)
	}
	for _, r := range l.farRoutes(index) {
		if r.Dst.Addr().Is4() {
			rtnl.AppendRoute(b, r, l.key.IfName)
			continue
		}
		rtnl.AddRoute(b, r, l.key.IfName)
		b.Tolerate(unix.EEXIST)
	}
}

// linkLocal is the interface's IPv6 link-local address (modified EUI-64, RFC
// 4291 appendix A). The kernel would make the same one, and then spend a second
// on looking for a duplicate of it.
func linkLocal(mac net.HardwareAddr) netip.Prefix {
	a := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}
