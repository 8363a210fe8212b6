// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/nlmsg"
)

// The single-value questions of ADD and DEL go through ioctls of netdevice(7)
// on the netlink socket: a hash lookup each, against the allocation of a whole
// RTM_GETLINK answer.

// ErrNoLink is wrapped by errors about an interface that does not exist.
var ErrNoLink = errors.New("no such interface")

// sizeofIfreq is the size of struct ifreq on 64-bit machines, where 32-bit ones
// have 32: the kernel copies no more than its own.
const sizeofIfreq = 40

func ifreqFor(name string) (*unix.Ifreq, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("interface name %q: %w", name, err)
	}
	return req, nil
}

func ask(c *nlmsg.Conn, name string, request uint, what string) (*unix.Ifreq, error) {
	req, err := ifreqFor(name)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlIfreq(c.FD(), request, req); err != nil {
		if errors.Is(err, unix.ENODEV) {
			err = ErrNoLink
		}
		return nil, fmt.Errorf("get %s of %q: %w", what, name, os.NewSyscallError("ioctl", err))
	}
	return req, nil
}

// Index is the interface index of a name in the Conn's namespace.
func Index(c *nlmsg.Conn, name string) (int, error) {
	req, err := ask(c, name, unix.SIOCGIFINDEX, "index")
	if err != nil {
		return 0, err
	}
	return int(req.Uint32()), nil
}

// Name is the name of an interface index in the Conn's namespace.
func Name(c *nlmsg.Conn, index int) (string, error) {
	var raw [sizeofIfreq]byte
	binary.NativeEndian.PutUint32(raw[unix.IFNAMSIZ:], uint32(index))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.FD()), unix.SIOCGIFNAME, uintptr(unsafe.Pointer(&raw)))
	switch errno {
	case 0:
		return nlmsg.CString(raw[:unix.IFNAMSIZ]), nil
	case unix.ENODEV:
		return "", fmt.Errorf("get name of interface %d: %w", index, ErrNoLink)
	default:
		return "", fmt.Errorf("get name of interface %d: %w", index, os.NewSyscallError("ioctl", errno))
	}
}

// HardwareAddr is the MAC address of an interface.
func HardwareAddr(c *nlmsg.Conn, name string) (net.HardwareAddr, error) {
	var raw [sizeofIfreq]byte
	if len(name) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("interface name %q: %w", name, unix.EINVAL)
	}
	copy(raw[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.FD()), unix.SIOCGIFHWADDR, uintptr(unsafe.Pointer(&raw)))
	switch errno {
	case 0:
	case unix.ENODEV:
		return nil, fmt.Errorf("get address of %q: %w", name, ErrNoLink)
	default:
		return nil, fmt.Errorf("get address of %q: %w", name, os.NewSyscallError("ioctl", errno))
	}
	return net.HardwareAddr(raw[unix.IFNAMSIZ+2:][:6]), nil // after sa_family
}
