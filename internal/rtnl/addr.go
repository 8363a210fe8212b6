// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// family is the address family of a netlink header.
func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// addrFlags: the plugin owns the network, so no duplicate can exist and no
// address has to wait (IFA_F_NODAD, IPv6 only); and it makes the routes, so the
// kernel must not (IFA_F_NOPREFIXROUTE: IPv6 since 3.14, IPv4 since 4.4).
const addrFlags = unix.IFA_F_PERMANENT | unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE

// AddAddr adds an address with the length of its network to a link.
func AddAddr(b *nlmsg.Batch, index int, a netip.Prefix, name string) {
	b.Begin(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "add address "+a.String()+" to "+quote(name))
	p := make([]byte, unix.SizeofIfAddrmsg)
	p[0] = family(a.Addr())
	p[1] = byte(a.Bits())
	p[2] = addrFlags & 0xff
	if a.Addr().IsLinkLocalUnicast() {
		p[3] = unix.RT_SCOPE_LINK
	}
	binary.NativeEndian.PutUint32(p[4:], uint32(index))
	b.Raw(p)
	b.Addr(unix.IFA_LOCAL, a.Addr())
	b.Addr(unix.IFA_ADDRESS, a.Addr())
	b.U32(unix.IFA_FLAGS, addrFlags)
}

// The mark of an address that is Emerita's on a link that is not: IFA_PROTO of
// include/uapi/linux/if_addr.h (Linux 5.18; before, the kernel passes over it). The kernel's
// own values are below 4, and nobody else's of which we know is this.
const (
	ifaProto     = 11
	emeritaProto = 0xe4
)

// MarkAddr marks the address that AddAddr has just added to a batch.
func MarkAddr(b *nlmsg.Batch) { b.U8(ifaProto, emeritaProto) }

// MarkedAddrs are the addresses that have the mark, by the index of their link. It is a
// dump: not for ADD and DEL.
func MarkedAddrs(c *nlmsg.Conn) (map[int][]netip.Prefix, error) {
	all := map[int][]netip.Prefix{}
	err := dumpAddrs(c, func(index int, a netip.Prefix, proto uint8) {
		if proto == emeritaProto {
			all[index] = append(all[index], a)
		}
	})
	return all, err
}

// DelAddr removes an address. One that is gone is success.
func DelAddr(b *nlmsg.Batch, index int, a netip.Prefix, name string) {
	b.Begin(unix.RTM_DELADDR, 0, "remove address "+a.String()+" from "+quote(name))
	p := make([]byte, unix.SizeofIfAddrmsg)
	p[0] = family(a.Addr())
	p[1] = byte(a.Bits())
	binary.NativeEndian.PutUint32(p[4:], uint32(index))
	b.Raw(p)
	b.Addr(unix.IFA_LOCAL, a.Addr())
	b.Tolerate(unix.EADDRNOTAVAIL, unix.ENODEV)
}

// AddNeigh adds a permanent neighbour entry, so that nobody asks for it.
func AddNeigh(b *nlmsg.Batch, index int, a netip.Addr, mac net.HardwareAddr, name string) {
	b.Begin(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, "add neighbour "+a.String()+" on "+quote(name))
	p := make([]byte, unix.SizeofNdMsg)
	p[0] = family(a)
	binary.NativeEndian.PutUint32(p[4:], uint32(index))
	binary.NativeEndian.PutUint16(p[8:], unix.NUD_PERMANENT)
	b.Raw(p)
	b.Addr(unix.NDA_DST, a)
	b.Bytes(unix.NDA_LLADDR, mac)
}
