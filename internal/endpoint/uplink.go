// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"net/netip"

	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
)

// defaultMTU is Ethernet's, for a host without an uplink.
const defaultMTU = 1500

// uplink is the interface that the host's default route leads to.
type uplink struct {
	name string // empty without one
	mtu  int    // bytes: the interface's, or the route's if that is smaller

	gateway netip.Addr // next hop of the default route, if it has one

	gso, gso4 int // bytes: the largest packet that it takes whole, and of IPv4
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
// loopback interface (65,536 bytes) is none. A link that has been asked about for the
// other family is not asked again: the answer takes the rtnl lock.
func findUplink(c *nlmsg.Conn, v4 bool, known *rtnl.LinkInfo) uplink {
	none := uplink{mtu: defaultMTU, gso: legacySize, gso4: legacySize}
	r, err := rtnl.RouteTo(c, probeAddr(v4))
	if err != nil || r.Link == 0 {
		return none
	}
	if known.Index != r.Link {
		if *known, err = rtnl.LinkAt(c, r.Link); err != nil {
			return none
		}
	}
	if known.Loopback {
		return none
	}
	up := uplink{name: known.Name, mtu: known.MTU, gateway: r.Gateway, gso: known.Offload.GSO, gso4: known.Offload.GSO4}
	if r.MTU != 0 {
		up.mtu = min(up.mtu, r.MTU)
	}
	return up
}

// findUplinks looks for the uplinks of the families that an attachment has.
func findUplinks(c *nlmsg.Conn, l *layout) (v4, v6 uplink) {
	v4 = uplink{mtu: maxMTU, gso: maxSize, gso4: maxSize} // of a family that nobody has
	v6 = v4
	var known rtnl.LinkInfo
	if l.has(true) {
		v4 = findUplink(c, true, &known)
	}
	if l.has(false) {
		v6 = findUplink(c, false, &known)
		if v6.name == "" && v4.name != "" {
			v6.mtu, v6.gso = v4.mtu, v4.gso // IPv6 inside the host only
		}
	}
	return v4, v6
}
