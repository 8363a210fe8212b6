// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// killAt runs a command and kills it on entry to the n-th of the given system
// calls, counted over all its threads and children: strace counts each thread by
// itself, and a Go program changes threads as it likes. It is the process that
// makes the call which is killed. killAt returns false if there was no n-th call.
// The caller is locked to its thread, as every test on a host of its own is.
func killAt(t *testing.T, cmd *exec.Cmd, calls []uint64, n int) (killed bool) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // reaped below already
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_EXITKILL
	ready := false
	for count := 0; ; {
		var ws unix.WaitStatus
		// Of this thread's children only: other tests have their own.
		pid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return killed
		case err != nil:
			t.Fatalf("wait for %q: %v", cmd.Args, err)
		case !ws.Stopped():
			continue
		}
		if !ready {
			ready = true
			if err := unix.PtraceSetOptions(pid, options); err != nil {
				t.Fatalf("trace %q: %v", cmd.Args, err)
			}
		}
		pass := 0
		switch sig := ws.StopSignal(); {
		case sig == unix.SIGTRAP|0x80:
			if slices.Contains(calls, enteredCall(pid)) {
				if count++; count == n {
					killed = true
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			}
		case sig != unix.SIGTRAP && sig != unix.SIGSTOP:
			pass = int(sig) // the runtime's own
		}
		_ = unix.PtraceSyscall(pid, pass) // it may be dead by now
	}
}

// enteredCall is the number of the system call that a stopped thread is about to
// make, or none such if it comes out of one (PTRACE_GET_SYSCALL_INFO, ptrace(2),
// Linux 5.3).
func enteredCall(pid int) uint64 {
	const getSyscallInfo, entry, none = 0x420e, 1, 1 << 63
	var info struct {
		op     uint8
		_      [3]uint8
		_      uint32
		_, _   uint64
		number uint64
		_      [8]uint64
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(pid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != entry {
		return none
	}
	return info.number
}
