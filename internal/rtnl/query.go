// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// Addrs lists the addresses of a link, or of every link if index is 0. It is a dump: not
// for ADD and DEL.
func Addrs(c *nlmsg.Conn, index int) ([]netip.Prefix, error) {
	var all []netip.Prefix
	err := dumpAddrs(c, func(at int, a netip.Prefix, _ uint8) {
		if index == 0 || at == index {
			all = append(all, a)
		}
	})
	return all, err
}

func dumpAddrs(c *nlmsg.Conn, each func(index int, a netip.Prefix, proto uint8)) error {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETADDR, unix.NLM_F_DUMP, "list addresses")
	b.Raw(make([]byte, unix.SizeofIfAddrmsg))
	return c.Get(&b, func(_ uint16, p []byte) error {
		if len(p) < unix.SizeofIfAddrmsg {
			return nil
		}
		var addr netip.Addr
		var proto uint8
		for typ, v := range nlmsg.Attrs(p[unix.SizeofIfAddrmsg:]) {
			switch {
			case typ == unix.IFA_LOCAL || typ == unix.IFA_ADDRESS && !addr.IsValid():
				addr, _ = netip.AddrFromSlice(v)
			case typ == ifaProto && len(v) == 1:
				proto = v[0]
			}
		}
		each(int(nlmsg.Uint32(p[4:])), netip.PrefixFrom(addr, int(p[1])), proto)
		return nil
	})
}

// Routes lists the unicast routes of all tables out of a link, or out of every
// link if index is 0. It is
// a dump: not for ADD and DEL.
func Routes(c *nlmsg.Conn, index int) ([]Route, error) {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETROUTE, unix.NLM_F_DUMP, "list routes")
	b.Raw(make([]byte, unix.SizeofRtMsg))
	var all []Route
	err := c.Get(&b, func(_ uint16, p []byte) error {
		if r, typ := parseRoute(p); typ == unix.RTN_UNICAST && (r.Link == index || index == 0) {
			all = append(all, r)
		}
		return nil
	})
	return all, err
}

// RouteTo asks which route a packet to an address would take from here.
func RouteTo(c *nlmsg.Conn, dst netip.Addr) (Route, error) {
	r, _, err := routeTo(c, dst, 0)
	return r, err
}

// IsLocal says whether the namespace takes packets to an address for itself.
func IsLocal(c *nlmsg.Conn, dst netip.Addr) (bool, error) {
	_, kind, err := routeTo(c, dst, 0)
	return kind == unix.RTN_LOCAL, err
}

// fibMatch is RTM_F_FIB_MATCH of include/uapi/linux/rtnetlink.h: the entry of the routing
// table (Linux 4.13), not what it comes to for this address.
const fibMatch = 0x2000

// Match asks for the entry of the routing tables that an address matches, and its kind,
// unix.RTN_LOCAL for one of the namespace's own, which is on the link of the entry.
// An address that nothing leads to is an error.
func Match(c *nlmsg.Conn, dst netip.Addr) (Route, uint8, error) { return routeTo(c, dst, fibMatch) }

func routeTo(c *nlmsg.Conn, dst netip.Addr, flags uint32) (found Route, kind uint8, err error) {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETROUTE, 0, "get route to "+dst.String())
	p := make([]byte, unix.SizeofRtMsg)
	p[0] = family(dst)
	p[1] = byte(dst.BitLen())
	binary.NativeEndian.PutUint32(p[8:], flags)
	b.Raw(p)
	b.Addr(unix.RTA_DST, dst)
	err = c.Get(&b, func(_ uint16, p []byte) error {
		found, kind = parseRoute(p)
		return nil
	})
	return found, kind, err
}

func parseRoute(p []byte) (r Route, kind uint8) {
	if len(p) < unix.SizeofRtMsg {
		return Route{}, unix.RTN_UNSPEC
	}
	dst := netip.IPv6Unspecified()
	if p[0] == unix.AF_INET {
		dst = netip.IPv4Unspecified()
	}
	r.Table, r.Scope, kind = int(p[4]), p[6], p[7]
	for typ, v := range nlmsg.Attrs(p[unix.SizeofRtMsg:]) {
		switch typ {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case unix.RTA_GATEWAY:
			r.Gateway, _ = netip.AddrFromSlice(v)
		case unix.RTA_PREFSRC:
			r.Src, _ = netip.AddrFromSlice(v)
		case unix.RTA_OIF:
			r.Link = int(nlmsg.Uint32(v))
		case unix.RTA_TABLE:
			r.Table = int(nlmsg.Uint32(v))
		case unix.RTA_PRIORITY:
			r.Priority = int(nlmsg.Uint32(v))
		case unix.RTA_METRICS:
			for t, w := range nlmsg.Attrs(v) {
				switch t {
				case unix.RTAX_MTU:
					r.MTU = int(nlmsg.Uint32(w))
				case unix.RTAX_ADVMSS:
					r.AdvMSS = int(nlmsg.Uint32(w))
				}
			}
		}
	}
	r.Dst = netip.PrefixFrom(dst, int(p[1]))
	return r, kind
}

// Neighbours lists the permanent neighbour entries of a link. It is a dump: not
// for ADD and DEL.
func Neighbours(c *nlmsg.Conn, index int) (map[netip.Addr]net.HardwareAddr, error) {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, "list neighbours")
	b.Raw(make([]byte, unix.SizeofNdMsg))
	all := map[netip.Addr]net.HardwareAddr{}
	err := c.Get(&b, func(_ uint16, p []byte) error {
		if len(p) < unix.SizeofNdMsg || int(nlmsg.Uint32(p[4:])) != index ||
			binary.NativeEndian.Uint16(p[8:])&unix.NUD_PERMANENT == 0 {
			return nil
		}
		var addr netip.Addr
		var mac net.HardwareAddr
		for typ, v := range nlmsg.Attrs(p[unix.SizeofNdMsg:]) {
			switch typ {
			case unix.NDA_DST:
				addr, _ = netip.AddrFromSlice(v)
			case unix.NDA_LLADDR:
				mac = append(mac, v...)
			}
		}
		all[addr] = mac
		return nil
	})
	return all, err
}
