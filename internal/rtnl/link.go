// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// inet6AddrGenModeNone is IN6_ADDR_GEN_MODE_NONE: no link-local address of the
// kernel's own making (include/uapi/linux/if_link.h).
const inet6AddrGenModeNone = 1

// Indices of struct ipv4_devconf as IFLA_INET_CONF counts them
// (include/uapi/linux/ip.h).
const ipv4DevconfForwarding = 1

// ifinfo appends struct ifinfomsg.
func ifinfo(b *nlmsg.Batch, index int, flags, change uint32) {
	p := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(p[4:], uint32(index))
	binary.NativeEndian.PutUint32(p[8:], flags)
	binary.NativeEndian.PutUint32(p[12:], change)
	b.Raw(p)
}

// AddLink creates a link without parameters of a kind ("dummy", "bridge"),
// down.
func AddLink(b *nlmsg.Batch, name, kind string, mac net.HardwareAddr) {
	b.Begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "create "+kind+" "+quote(name))
	ifinfo(b, 0, 0, 0)
	b.String(unix.IFLA_IFNAME, name)
	b.Bytes(unix.IFLA_ADDRESS, mac)
	b.Nest(unix.IFLA_LINKINFO, func() {
		b.Bytes(unix.IFLA_INFO_KIND, []byte(kind))
	})
}

// SetUp brings a link up.
func SetUp(b *nlmsg.Batch, index int, name string) {
	b.Begin(unix.RTM_SETLINK, 0, "set link "+quote(name)+" up")
	ifinfo(b, index, unix.IFF_UP, unix.IFF_UP)
}

// Prepare sets what a link needs before it is up: the alias (if not empty),
// IPv4 forwarding when the link is the host's end, and no IPv6 link-local
// address by the kernel when noLinkLocal is true.
func Prepare(b *nlmsg.Batch, index int, name, alias string, forward4, noLinkLocal bool) {
	b.Begin(unix.RTM_SETLINK, 0, "configure link "+quote(name))
	ifinfo(b, index, 0, 0)
	if alias != "" {
		b.Bytes(unix.IFLA_IFALIAS, []byte(alias))
	}
	if !forward4 && !noLinkLocal {
		return
	}
	b.Nest(unix.IFLA_AF_SPEC, func() {
		if forward4 {
			b.Nest(unix.AF_INET, func() {
				b.Nest(unix.IFLA_INET_CONF, func() { b.U32(ipv4DevconfForwarding, 1) })
			})
		}
		if noLinkLocal {
			b.Nest(unix.AF_INET6, func() { b.U8(unix.IFLA_INET6_ADDR_GEN_MODE, inet6AddrGenModeNone) })
		}
	})
}

// DelLink deletes a link by index. A link that is gone is success.
func DelLink(b *nlmsg.Batch, index int, name string) {
	b.Begin(unix.RTM_DELLINK, 0, "delete link "+quote(name))
	ifinfo(b, index, 0, 0)
	b.Tolerate(unix.ENODEV)
}

func quote(s string) string { return `"` + s + `"` }
