// SPDX-License-Identifier: MIT OR Apache-2.0

package nlmsg

import (
	"bytes"
	"iter"

	"golang.org/x/sys/unix"
)

// Attrs walks the attributes in p: type (flag bits removed) and payload. It
// stops at the first malformed one.
func Attrs(p []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(p) >= unix.SizeofRtAttr {
			size := int(native.Uint16(p))
			if size < unix.SizeofRtAttr || size > len(p) {
				return
			}
			typ := native.Uint16(p[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(typ, p[unix.SizeofRtAttr:size]) {
				return
			}
			p = p[min(align(size), len(p)):]
		}
	}
}

// CString is the text of a string attribute, without its NUL.
func CString(p []byte) string {
	s, _, _ := bytes.Cut(p, []byte{0})
	return string(s)
}

// Uint32 is the value of a native-endian integer attribute, 0 if it is short.
func Uint32(p []byte) uint32 {
	if len(p) < 4 {
		return 0
	}
	return native.Uint32(p)
}

func align(n int) int {
	return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
}
