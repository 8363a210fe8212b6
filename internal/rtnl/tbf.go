// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// TBF is a token bucket as the root queueing discipline of a link.
type TBF struct {
	Rate  uint64 // bytes/s, below MaxRate
	Burst uint32 // bytes: what may pass at once after a pause
	Queue uint32 // bytes that wait; more are dropped
	Whole uint32 // bytes: a longer packet of several segments is cut into them
}

// MaxRate is the first rate that is too high, bytes/s. The kernel cuts packets only by
// a peak rate, which must be higher than the rate, and is to limit nothing.
const MaxRate = 1 << 50

// Constants of include/uapi/linux/pkt_sched.h.
const (
	tcHRoot               = 0xffffffff // TC_H_ROOT
	tcLinklayerEthernet   = 1          // TC_LINKLAYER_ETHERNET: the kernel needs no table
	tcaTBFParms           = 1          // TCA_TBF_PARMS
	tcaTBFRate64          = 4          // TCA_TBF_RATE64
	tcaTBFPRate64         = 5          // TCA_TBF_PRATE64
	tcaTBFBurst           = 6          // TCA_TBF_BURST
	tcaTBFPBurst          = 7          // TCA_TBF_PBURST
	tcaFQCodelTarget      = 1          // TCA_FQ_CODEL_TARGET
	sizeofTBFQopt         = 36         // struct tc_tbf_qopt: two of tc_ratespec, then
	tbfLimitAt            = 24
	tbfBufferAt           = 28
	ratespecLinklayerAt   = 1
	ratespecRateAt        = 8
	sizeofRatespec        = 12
	rootHandle            = 1 << 16
	rootClass             = rootHandle | 1
	tick                  = 64 * time.Nanosecond // PSCHED_SHIFT of include/net/pkt_sched.h
	codelTarget           = 5 * time.Millisecond // the kernel's own
	codelPacketsPerTarget = 2
)

// AddTBF limits what leaves by a link that has no queueing discipline but the
// kernel's own. Where there is fq_codel, it orders what waits, so that a flow of few
// packets passes those that fill the queue; else those wait in turn.
func AddTBF(b *nlmsg.Batch, index int, t TBF, name string) {
	b.Begin(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "add tbf to "+quote(name))
	tcmsg(b, index, rootHandle, tcHRoot, 0)
	b.String(unix.TCA_KIND, "tbf")
	b.Nest(unix.TCA_OPTIONS, func() {
		q := make([]byte, sizeofTBFQopt)
		for i, rate := range [...]uint64{t.Rate, MaxRate} {
			spec := q[i*sizeofRatespec:]
			spec[ratespecLinklayerAt] = tcLinklayerEthernet
			binary.NativeEndian.PutUint32(spec[ratespecRateAt:], uint32(min(rate, 1<<32-1)))
		}
		binary.NativeEndian.PutUint32(q[tbfLimitAt:], t.Queue)
		b.Bytes(tcaTBFParms, q)
		b.U64(tcaTBFRate64, t.Rate)
		b.U64(tcaTBFPRate64, MaxRate)
		b.U32(tcaTBFBurst, t.Burst)
		b.U32(tcaTBFPBurst, t.Whole)
	})
	b.Begin(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "add fq_codel to "+quote(name))
	b.Tolerate(unix.ENOENT) // the kernel has none; or no tbf, which is the error of that
	tcmsg(b, index, 0, rootClass, 0)
	b.String(unix.TCA_KIND, "fq_codel")
	b.Nest(unix.TCA_OPTIONS, func() {
		// A packet that is on its way is no queue.
		target := max(codelTarget, codelPacketsPerTarget*timeOf(uint64(t.Whole), t.Rate))
		b.U32(tcaFQCodelTarget, uint32(min(target/time.Microsecond, 1<<32-1)))
	})
}

// DelTBF removes what AddTBF made, or whatever is in its place. Nothing is success.
func DelTBF(b *nlmsg.Batch, index int, name string) {
	b.Begin(unix.RTM_DELQDISC, 0, "remove the root qdisc of "+quote(name))
	b.Tolerate(unix.ENOENT, unix.EINVAL) // none, or the kernel's own
	tcmsg(b, index, 0, tcHRoot, 0)
}

// HasTBF says whether a link has a token bucket of a rate and burst as its root. How
// long its queue is may differ from one version to the next. It is a dump: not for ADD and
// DEL. (Asked for one qdisc that is the kernel's own, the kernel answers nothing.)
func HasTBF(c *nlmsg.Conn, index int, t TBF) (bool, error) {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETQDISC, unix.NLM_F_DUMP, "list qdiscs")
	tcmsg(&b, 0, 0, 0, 0)
	same := false
	err := c.Get(&b, func(_ uint16, p []byte) error {
		if len(p) < 20 || int(nlmsg.Uint32(p[4:])) != index || nlmsg.Uint32(p[12:]) != tcHRoot {
			return nil
		}
		for typ, v := range nlmsg.Attrs(p[20:]) {
			switch {
			case typ == unix.TCA_KIND && nlmsg.CString(v) != "tbf":
				return nil
			case typ == unix.TCA_OPTIONS:
				same = isTBF(v, t)
			}
		}
		return nil
	})
	return same, err
}

func isTBF(options []byte, t TBF) bool {
	var rate uint64
	var buffer uint32
	for typ, v := range nlmsg.Attrs(options) {
		switch {
		case typ == tcaTBFParms && len(v) >= sizeofTBFQopt:
			rate = max(rate, uint64(nlmsg.Uint32(v[ratespecRateAt:])))
			buffer = nlmsg.Uint32(v[tbfBufferAt:])
		case typ == tcaTBFRate64 && len(v) >= 8:
			rate = binary.NativeEndian.Uint64(v)
		}
	}
	// The kernel tells the burst as a time at the rate, in ticks of which it counts no
	// more than 32 bits, and rounds a little when it calculates.
	want := uint64(timeOf(uint64(t.Burst), t.Rate) / tick)
	off := int64(int32(buffer - uint32(want)))
	return rate == t.Rate && max(off, -off) <= int64(want>>20)+2
}

// timeOf is how long bytes take at a rate.
func timeOf(bytes, rate uint64) time.Duration {
	return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
}
