// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// Route describes a unicast route out of one link. Zero fields are left to the
// kernel; Table 0 is the main table.
type Route struct {
	Dst      netip.Prefix
	Gateway  netip.Addr
	Src      netip.Addr // preferred source address
	Link     int        // output interface index
	Scope    uint8      // unix.RT_SCOPE_*
	Priority int        // metric
	Table    int
	MTU      int // bytes
	AdvMSS   int // bytes
}

// AddRoute adds a route; one with the same key is an error (EEXIST). The kernel
// takes a gateway only when a route of link scope leads to it.
func AddRoute(b *nlmsg.Batch, r Route, name string) {
	what := "add route " + r.Dst.String()
	if r.Gateway.IsValid() {
		what += " via " + r.Gateway.String()
	}
	b.Begin(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, what+" dev "+quote(name))
	putRoute(b, r)
}

// AppendRoute adds a route beside those of other links with the same key.
func AppendRoute(b *nlmsg.Batch, r Route, name string) {
	b.Begin(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, "append route "+r.Dst.String()+" dev "+quote(name))
	putRoute(b, r)
	b.Tolerate(unix.EEXIST) // this very route
}

func putRoute(b *nlmsg.Batch, r Route) {
	table := r.Table
	if table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	p := make([]byte, unix.SizeofRtMsg)
	p[0] = family(r.Dst.Addr())
	p[1] = byte(r.Dst.Bits())
	p[4] = byte(min(table, unix.RT_TABLE_COMPAT)) // RTA_TABLE below has the whole number
	p[5] = unix.RTPROT_STATIC
	p[6] = r.Scope
	p[7] = unix.RTN_UNICAST
	b.Raw(p)
	if r.Dst.Bits() > 0 {
		b.Addr(unix.RTA_DST, r.Dst.Masked().Addr())
	}
	if r.Gateway.IsValid() {
		b.Addr(unix.RTA_GATEWAY, r.Gateway)
	}
	if r.Src.IsValid() {
		b.Addr(unix.RTA_PREFSRC, r.Src)
	}
	b.U32(unix.RTA_OIF, uint32(r.Link))
	b.U32(unix.RTA_TABLE, uint32(table))
	if r.Priority != 0 {
		b.U32(unix.RTA_PRIORITY, uint32(r.Priority))
	}
	if r.MTU != 0 || r.AdvMSS != 0 {
		b.Nest(unix.RTA_METRICS, func() {
			if r.MTU != 0 {
				b.U32(unix.RTAX_MTU, uint32(r.MTU))
			}
			if r.AdvMSS != 0 {
				b.U32(unix.RTAX_ADVMSS, uint32(r.AdvMSS))
			}
		})
	}
}
