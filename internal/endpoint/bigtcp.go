// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
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
type offloads struct {
	host, container rtnl.Offload
	explicit        bool // the kernel has to take them
}

// size is a packet's, bytes; zero if the limit is the kernel's own.
func (o offloads) size() int { return max(o.host.GSO, o.host.GSO4) }

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
func (l *layout) chooseOffload(o options, up4, up6 uplink) error {
	switch {
	case o.BigTCP.bytes != 0:
		l.offload = bothWays(o.BigTCP.bytes, o.BigTCP.bytes)
		l.offload.explicit = true
	case o.BigTCP.mode == modeOff:
	case o.BigTCP.mode == modeLocal:
		if l.mtu >= localMTU {
			return cniproto.Errorf(cniproto.CodeInvalidConfig, "choose packet sizes",
				"bigTCP local: the MTU to the outside is %d, and must be below %d: set mtu, or bigTCP to auto", l.mtu, localMTU)
		}
		l.offload = bothWays(maxSize, maxSize)
		l.offload.explicit = true
		l.offload.container.Segments = (legacySize - 1) / (l.mtu - headers4)
		l.routeMTU, l.mtu = l.mtu, localMTU
		for i, r := range l.routes {
			if r.GW.IsValid() && r.MTU == 0 {
				l.routes[i].MTU = l.routeMTU
			}
		}
	case len(l.routes) == 0: // nothing leads further than to the host
		l.offload = bothWays(maxSize, maxSize)
	default:
		size, size4 := min(up4.gso, up6.gso, maxSize), min(up4.gso4, maxSize)
		if size > legacySize || size4 > legacySize {
			l.offload = bothWays(max(size, legacySize), max(size4, legacySize))
		}
	}
	return nil
}

// explainOffload says what a kernel lacks that has refused a pair with limits, or has
// passed over them; nil if it has not.
func (l *layout) explainOffload(err error, have rtnl.Offload) error {
	if !l.offload.explicit {
		return nil
	}
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ERANGE) {
		return nil
	}
	want := l.offload.host
	switch {
	case err != nil:
	case l.has(true) && have.GSO4 != want.GSO4:
		err = fmt.Errorf("the kernel has no gso_ipv4_max_size (Linux 6.3)")
	case have.GSO != want.GSO:
		err = fmt.Errorf("gso_max_size is %d", have.GSO)
	default:
		return nil
	}
	return cniproto.Errorf(cniproto.CodeNotAvailable, "allow packets of "+fmt.Sprint(want.GSO)+" bytes",
		"%w: set bigTCP to auto or off", err)
}
