// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
)

// defaultMTU is Ethernet's, for a host without an uplink.
const defaultMTU = 1500

// uplink is the interface that the host's default route leads to.
type uplink struct {
	name string // empty without one
	mtu  int    // bytes: the interface's, or the route's if that is smaller
}

// probeAddr is an address that nothing but a default route leads to: the IPv4
// dummy address (RFC 7600), and one of the newest documentation prefix for IPv6
// (RFC 9637).
func probeAddr(v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte{192, 0, 0, 8})
	}
	return netip.AddrFrom16([16]byte{0: 0x3f, 1: 0xff, 15: 8})
}

// findUplink looks for the uplink of one address family. A route by the
// loopback interface (65,536 bytes) is none.
func findUplink(c *nlmsg.Conn, v4 bool) uplink {
	none := uplink{mtu: defaultMTU}
	r, err := rtnl.RouteTo(c, probeAddr(v4))
	if err != nil || r.Link == 0 {
		return none
	}
	name, err := rtnl.Name(c, r.Link)
	if err != nil {
		return none
	}
	flags, err := rtnl.Flags(c, name)
	if err != nil || flags&unix.IFF_LOOPBACK != 0 {
		return none
	}
	mtu, err := rtnl.MTU(c, name)
	if err != nil {
		return none
	}
	if r.MTU != 0 {
		mtu = min(mtu, r.MTU)
	}
	return uplink{name: name, mtu: mtu}
}

// findUplinks looks for the uplinks of the families that an attachment has.
func findUplinks(c *nlmsg.Conn, l *layout) (v4, v6 uplink) {
	v4, v6 = uplink{mtu: maxMTU}, uplink{mtu: maxMTU}
	if l.has(true) {
		v4 = findUplink(c, true)
	}
	if l.has(false) {
		v6 = findUplink(c, false)
		if v6.name == "" && v4.name != "" {
			v6.mtu = v4.mtu // IPv6 inside the host only
		}
	}
	return v4, v6
}
