// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A fault is memory whose first touch waits until it is let go: who touches it in a system
// call keeps what locks the call has (userfaultfd(2)).
type fault struct {
	t    *testing.T
	fd   int
	page []byte
}

// Requests of ioctl_userfaultfd(2), and what they take (include/uapi/linux/userfaultfd.h).
const (
	uffdAPI         = 0xaa
	uffdioAPI       = 0xc018aa3f
	uffdioRegister  = 0xc020aa00
	uffdioZeropage  = 0xc020aa04
	uffdModeMissing = 1
	uffdMessage     = 32
)

type (
	uffdFeatures struct{ api, features, ioctls uint64 }
	uffdRange    struct{ start, size, mode, out uint64 }
)

func newFault(t *testing.T) *fault {
	t.Helper()
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	if errno != 0 {
		t.Fatal(os.NewSyscallError("userfaultfd", errno))
	}
	f := &fault{t: t, fd: int(fd)}
	t.Cleanup(func() { unix.Close(f.fd) }) // who waits still goes on
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(os.NewSyscallError("mmap", err))
	}
	t.Cleanup(func() { _ = unix.Munmap(page) })
	f.page = page
	f.control(uffdioAPI, unsafe.Pointer(&uffdFeatures{api: uffdAPI}))
	f.control(uffdioRegister, unsafe.Pointer(f.all(uffdModeMissing)))
	return f
}

// awaitTouch waits for the first touch.
func (f *fault) awaitTouch() {
	f.t.Helper()
	if _, err := unix.Read(f.fd, make([]byte, uffdMessage)); err != nil {
		f.t.Fatal(os.NewSyscallError("read of userfaultfd", err))
	}
}

// letGo has who touched it read zeros.
func (f *fault) letGo() {
	f.t.Helper()
	f.control(uffdioZeropage, unsafe.Pointer(f.all(0)))
}

func (f *fault) all(mode uint64) *uffdRange {
	return &uffdRange{start: uint64(uintptr(unsafe.Pointer(&f.page[0]))), size: uint64(len(f.page)), mode: mode}
}

func (f *fault) control(request uintptr, arg unsafe.Pointer) {
	f.t.Helper()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.fd), request, uintptr(arg)); errno != 0 {
		f.t.Fatal(os.NewSyscallError("ioctl of userfaultfd", errno))
	}
}
