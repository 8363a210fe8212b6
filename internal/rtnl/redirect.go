// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// redirectPriority is behind our program's: what that drops goes nowhere, and what it
// lets pass comes here.
const redirectPriority = filterPriority + 1

// Constants of include/uapi/linux/pkt_cls.h and tc_act/tc_mirred.h.
const (
	tcaU32Sel      = 5 // TCA_U32_SEL
	tcaU32Act      = 7 // TCA_U32_ACT
	tcU32Terminal  = 1 // TC_U32_TERMINAL
	sizeofU32Sel   = 16
	tcaActKind     = 1 // TCA_ACT_KIND
	tcaActOptions  = 2 // TCA_ACT_OPTIONS
	tcaMirredParms = 2 // TCA_MIRRED_PARMS
	tcActStolen    = 4 // TC_ACT_STOLEN
	tcaEgressRedir = 1 // TCA_EGRESS_REDIR
	sizeofMirred   = 28
	mirredActionAt = 8 // of struct tc_mirred
	mirredEgressAt = 20
	mirredIndexAt  = 24
)

// AddRedirect sends what comes in by a link, on which there is a clsact, out by another:
// by a u32 filter that looks at nothing, which old kernels have as well.
func AddRedirect(b *nlmsg.Batch, index, to int, name, toName string) {
	b.Begin(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "redirect "+quote(name)+" to "+quote(toName))
	tcmsg(b, index, 0, uint32(Ingress), redirectPriority<<16|allProtocols)
	b.String(unix.TCA_KIND, "u32")
	b.Nest(unix.TCA_OPTIONS, func() {
		sel := make([]byte, sizeofU32Sel) // without a key: one would not match a packet shorter than it
		sel[0] = tcU32Terminal
		b.Bytes(tcaU32Sel, sel)
		b.Nest(tcaU32Act, func() {
			b.Nest(1, func() {
				b.String(tcaActKind, "mirred")
				b.Nest(tcaActOptions, func() {
					m := make([]byte, sizeofMirred)
					binary.NativeEndian.PutUint32(m[mirredActionAt:], tcActStolen)
					binary.NativeEndian.PutUint32(m[mirredEgressAt:], tcaEgressRedir)
					binary.NativeEndian.PutUint32(m[mirredIndexAt:], uint32(to))
					b.Bytes(tcaMirredParms, m)
				})
			})
		})
	})
}

// DelRedirect removes what AddRedirect made. Nothing is success.
func DelRedirect(b *nlmsg.Batch, index int, name string) {
	b.Begin(unix.RTM_DELTFILTER, 0, "remove the redirection of "+quote(name))
	b.Tolerate(unix.ENOENT, unix.EINVAL) // no filter, no clsact
	tcmsg(b, index, 0, uint32(Ingress), redirectPriority<<16|allProtocols)
}

// Redirect is the index of the link to which AddRedirect sends, 0 if there is no such
// filter. It is a dump: not for ADD and DEL.
func Redirect(c *nlmsg.Conn, index int) (to int, err error) {
	var b nlmsg.Batch
	b.Begin(unix.RTM_GETTFILTER, unix.NLM_F_DUMP, "list filters")
	tcmsg(&b, index, 0, uint32(Ingress), 0)
	err = c.Get(&b, func(_ uint16, p []byte) error {
		if len(p) < 20 || nlmsg.Uint32(p[16:])>>16 != redirectPriority {
			return nil
		}
		for typ, v := range nlmsg.Attrs(p[20:]) {
			if typ == unix.TCA_OPTIONS {
				to = max(to, mirredTo(v))
			}
		}
		return nil
	})
	return to, err
}

// mirredTo reads the options of a u32 filter.
func mirredTo(options []byte) int {
	at := options
	for _, want := range [...]uint16{tcaU32Act, 1, tcaActOptions, tcaMirredParms} {
		var next []byte
		for typ, v := range nlmsg.Attrs(at) {
			if typ == want {
				next = v
			}
		}
		at = next
	}
	if len(at) < sizeofMirred || nlmsg.Uint32(at[mirredEgressAt:]) != tcaEgressRedir {
		return 0
	}
	return int(nlmsg.Uint32(at[mirredIndexAt:]))
}
