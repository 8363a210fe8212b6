// SPDX-License-Identifier: MIT OR Apache-2.0

package nlmsg

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// native is the byte order of netlink headers and integers (netlink(7)).
var native = binary.NativeEndian

// Batch is a list of netlink messages that travel in one sendmsg. The kernel
// handles them in order and goes on after a failed one (netlink_rcv_skb in
// net/netlink/af_netlink.c). The zero Batch is empty and ready.
type Batch struct {
	buf  []byte
	msgs []message
	met  []uint32 // sequence numbers of messages

	transaction bool // of Transaction
}

// message is what is kept of an encoded message to explain its answer.
type message struct {
	start    int
	what     string
	tolerate []unix.Errno
}

// Begin starts a message of a type with flags beyond NLM_F_REQUEST. what names
// the operation and the object for errors ("create link \"emx\"").
func (b *Batch) Begin(typ, flags uint16, what string) {
	b.end()
	b.msgs = append(b.msgs, message{start: len(b.buf), what: what})
	b.buf = append(b.buf, make([]byte, unix.NLMSG_HDRLEN)...)
	hdr := b.buf[len(b.buf)-unix.NLMSG_HDRLEN:]
	native.PutUint16(hdr[4:], typ)
	native.PutUint16(hdr[6:], flags|unix.NLM_F_REQUEST)
	native.PutUint32(hdr[8:], uint32(len(b.msgs))) // sequence: 1, 2, 3 …
}

// Tolerate makes some errors of the current message count as success, such as
// EEXIST for something that may be there already.
func (b *Batch) Tolerate(errs ...unix.Errno) {
	m := &b.msgs[len(b.msgs)-1]
	m.tolerate = append(m.tolerate, errs...)
}

// Met is the number of errors that the kernel answered with and that were
// tolerated, after Do.
func (b *Batch) Met() int { return len(b.met) }

// MetAt says whether message i, from 0, was answered by such an error.
func (b *Batch) MetAt(i int) bool { return slices.Contains(b.met, uint32(i+1)) }

// Raw appends a fixed structure of the protocol, such as ifinfomsg.
func (b *Batch) Raw(p []byte) { b.buf = append(b.buf, p...) }

// Bytes appends an attribute.
func (b *Batch) Bytes(typ uint16, p []byte) {
	n := unix.SizeofRtAttr + len(p)
	b.buf = native.AppendUint16(b.buf, uint16(n))
	b.buf = native.AppendUint16(b.buf, typ)
	b.buf = append(b.buf, p...)
	b.pad()
}

// String appends a NUL-terminated string attribute.
func (b *Batch) String(typ uint16, s string) {
	b.Bytes(typ, append([]byte(s), 0))
}

// U8 appends an attribute of one byte.
func (b *Batch) U8(typ uint16, v uint8) { b.Bytes(typ, []byte{v}) }

// U32 appends a native-endian integer attribute.
func (b *Batch) U32(typ uint16, v uint32) {
	b.Bytes(typ, native.AppendUint32(nil, v))
}

// U64 appends a native-endian integer attribute.
func (b *Batch) U64(typ uint16, v uint64) {
	b.Bytes(typ, native.AppendUint64(nil, v))
}

// Addr appends an address attribute of 4 or 16 bytes.
func (b *Batch) Addr(typ uint16, a netip.Addr) { b.Bytes(typ, a.AsSlice()) }

// Nest appends an attribute that holds whatever fill appends.
func (b *Batch) Nest(typ uint16, fill func()) {
	at := len(b.buf)
	b.buf = append(b.buf, 0, 0, 0, 0)
	fill()
	native.PutUint16(b.buf[at:], uint16(len(b.buf)-at))
	native.PutUint16(b.buf[at+2:], typ)
}

// Encoded returns the messages as they travel. They stay the Batch's.
func (b *Batch) Encoded() []byte {
	b.end()
	return b.buf
}

// Len is the number of messages.
func (b *Batch) Len() int { return len(b.msgs) }

func (b *Batch) pad() {
	for len(b.buf)%unix.NLMSG_ALIGNTO != 0 {
		b.buf = append(b.buf, 0)
	}
}

// end writes the length of the message being built.
func (b *Batch) end() {
	if len(b.msgs) == 0 {
		return
	}
	start := b.msgs[len(b.msgs)-1].start
	native.PutUint32(b.buf[start:], uint32(len(b.buf)-start))
}

// answered asks for the answer to the last message, which tells that all are done, and
// returns its sequence number. Of a transaction it is the last one inside: to the end of
// the transaction itself kernels before 6.10 do not answer.
func (b *Batch) answered() uint32 {
	last := len(b.msgs)
	if b.transaction {
		last--
	}
	at := b.msgs[last-1].start + 6
	native.PutUint16(b.buf[at:], native.Uint16(b.buf[at:])|unix.NLM_F_ACK)
	return uint32(last)
}

// refusedWhole says whether an error to a message is about the whole transaction: no
// other answer is sure to come.
func (b *Batch) refusedWhole(seq uint32) bool { return b.transaction && seq == 1 }

// tolerated says whether message seq may answer with errno.
func (b *Batch) tolerated(seq uint32, errno unix.Errno) bool {
	return slices.Contains(b.msgs[seq-1].tolerate, errno)
}
