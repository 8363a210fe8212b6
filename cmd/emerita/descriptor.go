// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// descriptor is stdout or stderr. Of an os.File for one of these the runtime would end the
// process with SIGPIPE where nobody reads any more (os/signal, "SIGPIPE"), in the middle of
// whatever was to be undone. Here that is an error like others.
type descriptor int

// Write writes all of p, also to a descriptor that whoever gave it has made non-blocking.
func (d descriptor) Write(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := unix.Write(int(d), p[n:])
		switch err {
		case nil:
			n += m
		case unix.EINTR:
		case unix.EAGAIN:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(d), Events: unix.POLLOUT}}, -1)
		default:
			return n, os.NewSyscallError("write", err)
		}
	}
	return n, nil
}

// wasClosed says whether the process got a descriptor closed. The runtime has then opened
// /dev/null in its place, for reading as well (checkfds of runtime/fds_unix.go), as no
// redirection does.
func wasClosed(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return true
	}
	if flags&unix.O_ACCMODE != unix.O_RDWR {
		return false
	}
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}
