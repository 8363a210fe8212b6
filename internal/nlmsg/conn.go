// SPDX-License-Identifier: MIT OR Apache-2.0

package nlmsg

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Conn is a netlink socket. It belongs to the network namespace of the thread
// that opened it, wherever it is used from.
type Conn struct {
	fd  int
	buf []byte
}

// rcvBuf holds the largest datagram of a dump (NLMSG_GOODSIZE is at most 16 KiB
// since Linux 4.5) .
const rcvBuf = 32 << 10

// Open opens a socket of a protocol such as unix.NETLINK_ROUTE in the network
// namespace of the calling thread. The caller closes it.
func Open(protocol int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", os.NewSyscallError("socket", err))
	}
	// Both are for better errors only: a kernel without them still answers.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &Conn{fd: fd}, nil
}

// Close closes the socket.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// FD is the file descriptor, for ioctls that need any socket of the namespace.
// It stays the Conn's.
func (c *Conn) FD() int { return c.fd }

// Do sends a batch and waits until the kernel has handled all of it. All
// messages are tried; the errors of those that failed and did not tolerate it
// are joined, each an *OpError.
func (c *Conn) Do(b *Batch) error {
	if b.Len() == 0 {
		return nil
	}
	last := b.answered()
	c.fit(b)
	if err := c.send(b); err != nil {
		return err
	}
	var errs []error
	for done := false; !done; {
		err := c.receive(func(typ uint16, seq uint32, p []byte) error {
			if typ != unix.NLMSG_ERROR || seq == 0 || seq > last {
				return nil
			}
			err := b.opError(seq, p)
			if err != nil {
				errs = append(errs, err)
			}
			done = done || seq == last || err != nil && b.refusedWhole(seq)
			return nil
		})
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

// Sizes of socket buffers that every kernel gives by default hold (net.core.wmem_default
// and rmem_default, 212992 bytes, of which the kernel's own structures take a part).
const (
	usualLen   = 64 << 10 // bytes
	usualCount = 100      // answers
	answerSize = 2 << 10  // bytes of an answer, with the kernel's structures
)

// fit makes room for a batch that is larger than usual: the kernel refuses a message that
// is larger than the buffer for sending (EMSGSIZE), and forgets answers for which that for
// receiving has no room (ENOBUFS). Who may change the network may have more than the
// sysctls allow. If it is refused, send says what comes of it.
func (c *Conn) fit(b *Batch) {
	if len(b.Encoded()) > usualLen {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, len(b.Encoded()))
	}
	if b.Len() > usualCount {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, b.Len()*answerSize)
	}
}

// Get sends a batch of one message and calls each with the type and payload of
// every part of the answer. With NLM_F_DUMP in the message's flags it walks the
// whole dump.
func (c *Conn) Get(b *Batch, each func(typ uint16, payload []byte) error) error {
	if err := c.send(b); err != nil {
		return err
	}
	for done := false; !done; {
		err := c.receive(func(typ uint16, _ uint32, p []byte) error {
			switch typ {
			case unix.NLMSG_DONE:
				done = true
				return nil
			case unix.NLMSG_ERROR:
				done = true
				return b.opError(1, p)
			default:
				if !b.dump() {
					done = true
				}
				return each(typ, p)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dump says whether the first message asks for a list.
func (b *Batch) dump() bool {
	flags := native.Uint16(b.buf[b.msgs[0].start+6:])
	return flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
}

func (c *Conn) send(b *Batch) error {
	err := unix.Sendto(c.fd, b.Encoded(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err != nil {
		return fmt.Errorf("%s: %w", b.msgs[0].what, os.NewSyscallError("sendto", err))
	}
	return nil
}

// receive reads one datagram and hands over its messages.
func (c *Conn) receive(each func(typ uint16, seq uint32, payload []byte) error) error {
	if c.buf == nil {
		c.buf = make([]byte, rcvBuf)
	}
	n, from, err := unix.Recvfrom(c.fd, c.buf, 0)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read netlink answer: %w", os.NewSyscallError("recvfrom", err))
	}
	if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid != 0 {
		return nil // not from the kernel
	}
	for p := c.buf[:n]; len(p) >= unix.NLMSG_HDRLEN; {
		size := int(native.Uint32(p))
		if size < unix.NLMSG_HDRLEN || size > len(p) {
			return errors.New("read netlink answer: message length out of bounds")
		}
		if err := each(native.Uint16(p[4:]), native.Uint32(p[8:]), p[unix.NLMSG_HDRLEN:size]); err != nil {
			return err
		}
		p = p[min(align(size), len(p)):]
	}
	return nil
}
