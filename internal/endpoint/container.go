// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/sysctl"
)

// loopbackIndex is the index of lo in every namespace (LOOPBACK_IFINDEX of
// include/net/flow.h).
const loopbackIndex = 1

// wireContainer makes the container's half of an attachment, in its namespace:
// lo and the interface up, addresses, routes, and the neighbours that stand for
// every next hop. It returns the cookie of the namespace, 0 on kernels before 5.14.
func wireContainer(tree *sysctl.Tree, ns *netns.NS, l *layout) (cookie uint64, err error) {
	err = ns.Do(func() error {
		ifname := l.key.IfName
		if err := muteIPv6(tree, ifname, l.has(false)); err != nil {
			return err
		}
		c, err := nlmsg.Open(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer c.Close()
		cookie, _ = unix.GetsockoptUint64(c.FD(), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
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
		err = c.Do(&b)
		if err == nil && b.Met() > 0 {
			err = addSecondBest(c, l, index)
		}
		if err == nil {
			err = awaitLocal(c, l.addrs())
		}
		return err
	})
	return cookie, err
}

// localWait is the longest wait for an IPv6 address to be in use. It takes a while only
// where many containers start at once.
const localWait = 5 * time.Second

// awaitLocal waits until a namespace takes packets for its new IPv6 addresses. The kernel
// does not yet when it has added one, without duplicate address detection too: that is
// left to a work queue, which waits for the rtnl lock (addrconf_dad_start of
// net/ipv6/addrconf.c). What came before would be lost.
func awaitLocal(c *nlmsg.Conn, addrs []netip.Addr) error {
	deadline := time.Now().Add(localWait)
	for _, a := range addrs {
		for a.Is6() {
			local, err := rtnl.IsLocal(c, a)
			if local {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("address %s is not in use after %v: %w", a, localWait, err)
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	return nil
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
// next hop or destination. Then the first one counts, as with the upstream
// plugins, and the other waits behind it for the day when that one goes.
func addContainerRoutes(b *nlmsg.Batch, l *layout, index int) {
	for _, r := range append(l.linkRoutes(index), l.farRoutes(index)...) {
		if !mayMerge(r) {
			rtnl.AppendRoute(b, r, l.key.IfName)
			continue
		}
		rtnl.AddRoute(b, r, l.key.IfName)
		b.Tolerate(unix.EEXIST)
	}
}

// mayMerge says whether the kernel would send by this route and by another of its key in
// turn: of IPv6 it makes one of them (rt6_qualify_for_ecmp of include/net/ip6_route.h),
// and of IPv4 default routes it tries the next one whenever it does not know the
// neighbour of this one to have answered, which a permanent one never has
// (fib_select_default of net/ipv4/fib_semantics.c).
func mayMerge(r rtnl.Route) bool { return r.Gateway.Is6() || r.Gateway.IsValid() && r.Dst.Bits() == 0 }

// defaultMetric6 is what the kernel gives an IPv6 route (IP6_RT_PRIO_USER of
// include/uapi/linux/ipv6_route.h).
const defaultMetric6 = 1024

// addSecondBest adds those routes whose place another attachment has taken, at
// a metric of this interface's.
func addSecondBest(c *nlmsg.Conn, l *layout, index int) error {
	have, err := rtnl.Routes(c, index)
	if err != nil {
		return err
	}
	var b nlmsg.Batch
	for _, r := range append(l.linkRoutes(index), l.farRoutes(index)...) {
		r.Table = cmp.Or(r.Table, unix.RT_TABLE_MAIN)
		if r.Dst.Addr().Is6() {
			r.Priority = cmp.Or(r.Priority, defaultMetric6)
		}
		if !mayMerge(r) || slices.ContainsFunc(have, func(h rtnl.Route) bool {
			return h.Dst == r.Dst && h.Gateway == r.Gateway && h.Table == r.Table && h.Priority == r.Priority
		}) {
			continue
		}
		r.Priority = int(min(int64(r.Priority)+int64(index), math.MaxUint32))
		rtnl.AddRoute(&b, r, l.key.IfName)
		b.Tolerate(unix.EEXIST)
	}
	return c.Do(&b)
}

// linkLocal is the interface's IPv6 link-local address (modified EUI-64, RFC
// 4291 appendix A). The kernel would make the same one, and then spend a second
// on looking for a duplicate of it.
func linkLocal(mac net.HardwareAddr) netip.Prefix {
	a := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}
