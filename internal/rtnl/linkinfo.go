// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// skipStats is RTEXT_FILTER_SKIP_STATS of include/uapi/linux/rtnetlink.h.
const skipStats = 1 << 3

// LinkInfo is what CHECK and GC want to know of a link.
type LinkInfo struct {
	Index     int
	Name      string
	Alias     string
	Kind      string // "veth", "dummy", "bridge" …; empty for hardware
	MAC       net.HardwareAddr
	MTU       int // bytes
	Up        bool
	PeerIndex int // of a veth's other end, in its own namespace
	Loopback  bool
	NoARP     bool // it has no neighbours to be asked for
	Offload   Offload
}

// Link asks for one link by name. The error wraps ErrNoLink when there is none.
func Link(c *nlmsg.Conn, name string) (LinkInfo, error) {
	return getLink(c, 0, name, "get link "+quote(name))
}

// LinkAt asks for one link by index, which unlike its name nobody changes. The
// error wraps ErrNoLink when there is none.
func LinkAt(c *nlmsg.Conn, index int) (LinkInfo, error) {
	return getLink(c, index, "", fmt.Sprintf("get link %d", index))
}

func getLink(c *nlmsg.Conn, index int, name, op string) (found LinkInfo, err error) {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETLINK, 0, op)
	ifinfo(&b, index, 0, 0)
	if name != "" {
		b.String(unix.IFLA_IFNAME, name)
	}
	b.U32(unix.IFLA_EXT_MASK, skipStats)
	err = c.Get(&b, func(_ uint16, p []byte) error {
		found = parseLink(p)
		return nil
	})
	if errors.Is(err, unix.ENODEV) {
		return found, fmt.Errorf("%s: %w", op, ErrNoLink)
	}
	return found, err
}

// Links lists all links. It is a dump: not for ADD and DEL.
func Links(c *nlmsg.Conn) ([]LinkInfo, error) {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETLINK, unix.NLM_F_DUMP, "list links")
	ifinfo(&b, 0, 0, 0)
	b.U32(unix.IFLA_EXT_MASK, skipStats)
	var all []LinkInfo
	err := c.Get(&b, func(_ uint16, p []byte) error {
		all = append(all, parseLink(p))
		return nil
	})
	return all, err
}

func parseLink(p []byte) LinkInfo {
	if len(p) < unix.SizeofIfInfomsg {
		return LinkInfo{}
	}
	l := LinkInfo{
		Index: int(nlmsg.Uint32(p[4:])),
		Up:    nlmsg.Uint32(p[8:])&unix.IFF_UP != 0,

		Loopback: nlmsg.Uint32(p[8:])&unix.IFF_LOOPBACK != 0,
		NoARP:    nlmsg.Uint32(p[8:])&unix.IFF_NOARP != 0,
	}
	for typ, v := range nlmsg.Attrs(p[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = nlmsg.CString(v)
		case unix.IFLA_IFALIAS:
			l.Alias = nlmsg.CString(v)
		case unix.IFLA_ADDRESS:
			l.MAC = append(net.HardwareAddr(nil), v...)
		case unix.IFLA_MTU:
			l.MTU = int(nlmsg.Uint32(v))
		case unix.IFLA_LINK:
			l.PeerIndex = int(nlmsg.Uint32(v))
		case unix.IFLA_GSO_MAX_SIZE:
			l.Offload.GSO = int(nlmsg.Uint32(v))
		case unix.IFLA_GSO_IPV4_MAX_SIZE:
			l.Offload.GSO4 = int(nlmsg.Uint32(v))
		case unix.IFLA_GSO_MAX_SEGS:
			l.Offload.Segments = int(nlmsg.Uint32(v))
		case unix.IFLA_GRO_MAX_SIZE:
			l.Offload.GRO = int(nlmsg.Uint32(v))
		case unix.IFLA_GRO_IPV4_MAX_SIZE:
			l.Offload.GRO4 = int(nlmsg.Uint32(v))
		case unix.IFLA_LINKINFO:
			for t, w := range nlmsg.Attrs(v) {
				if t == unix.IFLA_INFO_KIND {
					l.Kind = nlmsg.CString(w)
				}
			}
		}
	}
	return l
}
