// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// mistaken is what a program sees that asks for what cannot be.
func mistaken() []behaviour {
	return []behaviour{
		{"send from memory that is not there", "EFAULT, peer has nothing", func(a *scene) string {
			return a.give(brink(a.t, 0, 10)) + ", peer has " + a.ready(1, unix.POLLIN)
		}},
		{"send from memory that ends", "EFAULT, peer has nothing", func(a *scene) string {
			return a.give(brink(a.t, 96, 104)) + ", peer has " + a.ready(1, unix.POLLIN)
		}},
		{"recv into memory that is not there", "EFAULT, then 8", func(a *scene) string {
			a.send("one more")
			return a.take(brink(a.t, 0, 8)) + ", then " + a.recv(1, 10, 0)
		}},
		{"recv into memory that ends", "EFAULT, then 8", func(a *scene) string {
			a.send("one more")
			return a.take(brink(a.t, 3, 5)) + ", then " + a.recv(1, 10, 0)
		}},
		{"a control message that nobody knows", "EINVAL, peer has nothing", func(a *scene) string {
			control := unix.UnixRights() // a header, whose type comes last
			binary.NativeEndian.PutUint32(control[len(control)-4:], 999)
			n, err := unix.SendmsgN(a.ends[0].fd, []byte("one"), control, nil, unix.MSG_NOSIGNAL)
			return result(n, err) + ", peer has " + a.ready(1, unix.POLLIN)
		}},
		{"send with TCP_REPAIR", "EINVAL, peer has nothing", func(a *scene) string {
			a.ends[0].set(unix.IPPROTO_TCP, unix.TCP_REPAIR, 1)
			defer a.ends[0].set(unix.IPPROTO_TCP, unix.TCP_REPAIR, -1) // off, without a probe
			return a.try("one", 0) + ", peer has " + a.ready(1, unix.POLLIN)
		}},
	}
}

// brink is memory of which the first bytes are there, and those after them not.
func brink(t *testing.T, there, missing int) []byte {
	t.Helper()
	page := os.Getpagesize()
	p, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(os.NewSyscallError("mmap", err))
	}
	t.Cleanup(func() { _ = unix.Munmap(p) })
	if err := unix.Mprotect(p[page:], unix.PROT_NONE); err != nil {
		t.Fatal(os.NewSyscallError("mprotect", err))
	}
	return p[page-there : page+missing]
}

// give sends from where a caller says, and take receives to it.
func (a *scene) give(p []byte) string {
	return result(unix.SendmsgN(a.ends[0].fd, p, nil, nil, unix.MSG_NOSIGNAL))
}

func (a *scene) take(p []byte) string {
	n, _, err := unix.Recvfrom(a.ends[1].fd, p, unix.MSG_DONTWAIT)
	return result(n, err)
}
