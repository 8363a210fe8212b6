// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"net"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// Kind is a type of device that comes in pairs.
type Kind string

// The kinds of pairs.
const (
	Veth   Kind = "veth"
	Netkit Kind = "netkit" // Linux 6.7
)

// Attributes of the kinds (include/uapi/linux/veth.h, if_link.h).
const (
	vethInfoPeer     = 1
	netkitPeerInfo   = 1
	netkitPeerPolicy = 4
	netkitMode       = 5
	netkitL2         = 0 // Ethernet frames, with addresses
	netkitDrop       = 2 // what is done with a packet where no program is
)

// Offload limits what segmentation and receive offload put together on a device,
// bytes. Zero is the kernel's choice, 64 KiB; an older kernel than the attribute's
// passes over it, or refuses.
type Offload struct {
	GSO, GRO   int // Linux 4.16 and 5.19; of IPv6 alone from 6.3 on
	GSO4, GRO4 int // of IPv4: Linux 6.3
	Segments   int // the most of a sent packet
}

// put appends the limits that are set.
func (o Offload) put(b *nlmsg.Batch) {
	for _, a := range [...]struct {
		typ   uint16
		value int
	}{
		{unix.IFLA_GSO_MAX_SIZE, o.GSO}, {unix.IFLA_GRO_MAX_SIZE, o.GRO}, {unix.IFLA_GSO_MAX_SEGS, o.Segments},
		{unix.IFLA_GSO_IPV4_MAX_SIZE, o.GSO4}, {unix.IFLA_GRO_IPV4_MAX_SIZE, o.GRO4},
	} {
		if a.value != 0 {
			b.U32(a.typ, uint32(a.value))
		}
	}
}

// Pair describes a pair of virtual Ethernet interfaces.
type Pair struct {
	Kind        Kind
	Name        string // host end
	MAC         net.HardwareAddr
	Offload     Offload
	PeerName    string
	PeerMAC     net.HardwareAddr
	PeerOffload Offload
	PeerNetns   int  // descriptor of the namespace in which the peer is born
	MTU         int  // bytes, of both ends
	Closed      bool // a netkit lets nothing out of the peer without a program
}

// AddPair creates a pair, both ends down, with final names and addresses and
// the peer in its namespace from the first moment: there is nothing to rename
// or to move, and udev leaves an address alone that was set at creation. The
// peer cannot be created up (ENOTCONN); the host end is not, because its
// settings must be in place before it hears anything.
func AddPair(b *nlmsg.Batch, p Pair) {
	b.Begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "create "+string(p.Kind)+" "+quote(p.Name)+" with peer "+quote(p.PeerName))
	ifinfo(b, 0, 0, 0)
	b.String(unix.IFLA_IFNAME, p.Name)
	b.Bytes(unix.IFLA_ADDRESS, p.MAC)
	b.U32(unix.IFLA_MTU, uint32(p.MTU))
	p.Offload.put(b)
	b.Nest(unix.IFLA_LINKINFO, func() {
		b.Bytes(unix.IFLA_INFO_KIND, []byte(p.Kind))
		b.Nest(unix.IFLA_INFO_DATA, func() {
			peer := uint16(vethInfoPeer)
			if p.Kind == Netkit {
				peer = netkitPeerInfo
				b.U32(netkitMode, netkitL2)
				if p.Closed {
					b.U32(netkitPeerPolicy, netkitDrop)
				}
			}
			b.Nest(peer, func() {
				ifinfo(b, 0, 0, 0)
				b.String(unix.IFLA_IFNAME, p.PeerName)
				b.Bytes(unix.IFLA_ADDRESS, p.PeerMAC)
				b.U32(unix.IFLA_MTU, uint32(p.MTU))
				p.PeerOffload.put(b)
				b.U32(unix.IFLA_NET_NS_FD, uint32(p.PeerNetns))
			})
		})
	})
}
