// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"math"

	"github.com/emerita-cni/emerita/internal/rtnl"
)

// How long what waits for a limit may take, by the limit: 2.5 ms hold as much as one TCP
// connection needs to keep to the rate, where 1.6 ms cost it a tenth (measured: ADR 19).
// But a queue of fewer than some packets is none, however slow they are.
const (
	queuesPerSecond = 400
	queuePackets    = 8
)

// A packet that the stack has put together of many segments is cut where it would take
// up too much of the queue: one that is longer than half a millisecond, or than two
// segments.
const (
	wholesPerSecond = 2000
	wholeSegments   = 2
)

// etherHeader is that of Ethernet, bytes.
const etherHeader = 14

// bucket is a limit as the kernel's, for packets of an MTU. A burst smaller than a
// packet would let none pass, ever: upstream's does just that.
func (l limit) bucket(mtu int) rtnl.TBF {
	rate, frame := l.rate/8, uint64(mtu+etherHeader)
	burst := max(l.burst/8, frame)
	return rtnl.TBF{
		Rate: rate, Burst: clamp(burst),
		Queue: clamp(max(rate/queuesPerSecond, queuePackets*frame)),
		Whole: clamp(min(burst, max(rate/wholesPerSecond, wholeSegments*frame))),
	}
}

func clamp(bytes uint64) uint32 { return uint32(min(bytes, math.MaxUint32)) }

// offload keeps the stack from putting together, on an end that sends into a limit, what
// is only cut again: it would come to the queue at once, and the tail of it be dropped.
func (l limit) offload(mtu int) rtnl.Offload {
	if l.rate == 0 {
		return rtnl.Offload{}
	}
	return rtnl.Offload{GSO: int(min(l.bucket(mtu).Whole, legacySize))}
}
