// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
)

// BIG TCP: with packets of up to 512 KiB the stack is walked once where it would be
// eight times, and a stream between two containers is half as fast again. But what a
// container puts together has to leave whole by the uplink, too: a packet that is
// larger than that takes is cut into single segments in software, and then the
// stream has a third of its speed (measured: docs/benchmarks/datapath.md).
//
// A socket takes the limit of the device that its route leads to, and a container has
// one device. So there are two ways to be fast to both sides (ADR 13):
//
//   - auto: no more than the uplink takes;
//   - local: the most, and by the routes to the outside an MTU so much smaller than the
//     device's that the number of segments of a packet is a limit there and none here.

// localMTU is the MTU of a device, bytes, whose routes to the outside have a smaller
// one: large enough that a packet of few segments reaches maxSize, small enough that
// a receiver's first window holds some.
const localMTU = 12000

// headers4 are what a segment has at least before its payload, bytes (IPv4, TCP): the
// fewer, the more segments fill a packet.
const headers4 = 40

// offloads are the limits of the two ends of a pair.
type offloads struct{ host, container rtnl.Offload }

// bothWays lets both ends send packets of a size, bytes, and of IPv4 of another. What
// the host receives from the container it may have to forward: there the kernel must
// put nothing together that is larger than it was (GRO).
func bothWays(size, size4 int) offloads {
	o := offloads{host: rtnl.Offload{GSO: size, GSO4: size4}}
	o.container = o.host
	o.container.GRO, o.container.GRO4 = size, size4
	return o
}

// chooseOffload decides on the limits, and with local on the MTUs.
func (l *layout) chooseOffload(conn *nlmsg.Conn, o options, up4, up6 uplink) error {
	if l.limits.any() { // then large packets gain nothing
		l.offload = offloads{host: l.limits.ingress.offload(l.mtu), container: l.limits.egress.offload(l.mtu)}
		return nil
	}
	insists := o.BigTCP.bytes != 0 || o.BigTCP.mode == modeLocal
	size, size4 := maxSize, maxSize
	if len(l.routes) > 0 { // else nothing leads further than to the host
		size, size4 = min(up4.gso, up6.gso, maxSize), min(up4.gso4, maxSize)
	}
	if o.BigTCP.mode == modeOff || !insists && max(size, size4) <= legacySize {
		return nil
	}
	if err := takesBigTCP(conn); err != nil {
		if insists {
			return cniproto.Errorf(cniproto.CodeNotAvailable, "allow packets of more than 64 KiB", "%w: set bigTCP to auto or off", err)
		}
		return nil
	}
	switch {
	case o.BigTCP.bytes != 0:
		l.offload = bothWays(o.BigTCP.bytes, o.BigTCP.bytes)
	case o.BigTCP.mode == modeLocal:
		return l.offloadLocally()
	default:
		l.offload = bothWays(max(size, legacySize), max(size4, legacySize))
	}
	return nil
}

// offloadLocally has large packets where the MTU is large, and 64 KiB by the routes.
func (l *layout) offloadLocally() error {
	if l.mtu >= localMTU {
		return cniproto.Errorf(cniproto.CodeInvalidConfig, "choose packet sizes",
			"bigTCP local: the MTU to the outside is %d, and must be below %d: set mtu, or bigTCP to auto", l.mtu, localMTU)
	}
	l.offload = bothWays(maxSize, maxSize)
	l.offload.container.Segments = (legacySize - 1) / (l.mtu - headers4)
	l.routeMTU, l.mtu = l.mtu, localMTU
	for i, r := range l.routes {
		if r.GW.IsValid() && r.MTU == 0 {
			l.routes[i].MTU = l.routeMTU
		}
	}
	return nil
}

// takesBigTCP asks what the kernel says of any link, such as lo: some older ones took
// a size without being able to send IPv4 packets of it.
func takesBigTCP(conn *nlmsg.Conn) error {
	lo, err := rtnl.LinkAt(conn, loopbackIndex)
	if err == nil && lo.Offload.GSO4 == 0 {
		err = errors.New("the kernel has no gso_ipv4_max_size (Linux 6.3)")
	}
	return err
}
