// SPDX-License-Identifier: MIT OR Apache-2.0

package nlmsg

import (
	"errors"

	"golang.org/x/sys/unix"
)

// OpError is the kernel's refusal of one message.
type OpError struct {
	What   string     // the message, as given to Begin
	Errno  unix.Errno // the kernel's answer
	Reason string     // the kernel's own words (extended ack), if any
}

func (e *OpError) Error() string {
	if e.Reason != "" {
		return e.What + ": " + e.Reason + " (" + e.Errno.Error() + ")"
	}
	return e.What + ": " + e.Errno.Error()
}

// Unwrap gives the errno, for errors.Is(err, unix.EEXIST).
func (e *OpError) Unwrap() error { return e.Errno }

// opError decodes the payload of an NLMSG_ERROR that answers message seq: nil
// for an acknowledgement and for a tolerated error.
func (b *Batch) opError(seq uint32, p []byte) error {
	if len(p) < 4+unix.NLMSG_HDRLEN {
		return errors.New("read netlink answer: truncated error message")
	}
	code := int32(native.Uint32(p))
	if code == 0 {
		return nil
	}
	errno := unix.Errno(-code)
	if b.tolerated(seq, errno) {
		b.met = append(b.met, seq)
		return nil
	}
	op := &OpError{What: b.msgs[seq-1].what, Errno: errno}
	// With NETLINK_CAP_ACK the request's payload is left out, so that the
	// attributes follow its header (netlink_ack in net/netlink/af_netlink.c).
	for typ, v := range Attrs(p[4+unix.NLMSG_HDRLEN:]) {
		if typ == unix.NLMSGERR_ATTR_MSG && len(v) > 0 {
			op.Reason = CString(v)
		}
	}
	return op
}
