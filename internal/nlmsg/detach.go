// SPDX-License-Identifier: MIT OR Apache-2.0

package nlmsg

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Child is a process that sends one batch and ends.
type Child struct {
	pid    int
	reaped bool
}

// Detach sends a batch from a forked child, for requests whose end is not worth
// waiting for. The child is in a session of its own and holds no descriptor but
// its socket, so that nobody who waits for the caller's output or locks waits
// for it. The batch must stay untouched until the child has exited; its errors
// are not reported.
func Detach(b *Batch) (*Child, error) {
	raw := b.Encoded()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)

	// A signal in the child would run the Go runtime's handler in a process
	// that has none of its threads: block all of them across the fork.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = math.MaxUint64
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		return nil, fmt.Errorf("block signals: %w", err)
	}
	pid, errno := forkAndSend(uintptr(fd), unsafe.Pointer(unsafe.SliceData(raw)), uintptr(len(raw)))
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	runtime.KeepAlive(b)
	if errno != 0 {
		return nil, fmt.Errorf("fork: %w", errno)
	}
	return &Child{pid: int(pid)}, nil
}

// forkAndSend returns in the parent only. The child is a copy with one thread
// and no scheduler: it may do nothing but raw system calls, in one frame.
//
//go:nosplit
//go:norace
func forkAndSend(fd uintptr, buf unsafe.Pointer, size uintptr) (pid uintptr, errno unix.Errno) {
	pid, _, errno = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	unix.RawSyscall6(unix.SYS_SETSID, 0, 0, 0, 0, 0, 0)
	if fd > 0 {
		unix.RawSyscall6(unix.SYS_CLOSE_RANGE, 0, fd-1, 0, 0, 0, 0)
	}
	_, _, errno = unix.RawSyscall6(unix.SYS_CLOSE_RANGE, fd+1, math.MaxUint32, 0, 0, 0, 0)
	if errno != 0 { // before Linux 5.9
		for i := uintptr(0); i < 1024; i++ {
			if i != fd {
				unix.RawSyscall6(unix.SYS_CLOSE, i, 0, 0, 0, 0, 0)
			}
		}
	}
	unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(buf), size, 0, 0, 0)
	for {
		unix.RawSyscall6(unix.SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0)
	}
}

// Exited says, without waiting, whether the child has ended.
func (c *Child) Exited() bool {
	if !c.reaped {
		pid, err := unix.Wait4(c.pid, nil, unix.WNOHANG, nil)
		c.reaped = err != nil || pid == c.pid
	}
	return c.reaped
}

// Release lets the child end on its own; a caller that lives on reaps it.
func (c *Child) Release() {
	if !c.reaped {
		go func() { _, _ = unix.Wait4(c.pid, nil, 0, nil) }()
	}
}
