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

// An entered is a system call that a thread is about to make.
type entered struct {
	number uint64
	args   [6]uint64
}

// bpf says whether it is one of some commands of bpf(2).
func (e entered) bpf(commands ...uint64) bool {
	return e.number == unix.SYS_BPF && slices.Contains(commands, e.args[0])
}

// killAt runs a command and kills it on entry to the n-th of the given system
// calls, counted over all its threads and children: strace counts each thread by
// itself, and a Go program changes threads as it likes. It is the process that
// makes the call which is killed. killAt returns false if there was no n-th call.
func killAt(t *testing.T, cmd *exec.Cmd, calls []uint64, n int) (killed bool) {
	t.Helper()
	return killWhen(t, cmd, func(e entered) bool { return slices.Contains(calls, e.number) }, n)
}

// killWhen is killAt for calls that are known by more than their number.
func killWhen(t *testing.T, cmd *exec.Cmd, is func(entered) bool, n int) (killed bool) {
	t.Helper()
	count := 0
	trace(t, cmd, func(pid int, e entered) {
		if is(e) {
			if count++; count == n {
				killed = true
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	})
	return killed
}

// trace runs a command, with a look at each system call that it and its children are
// about to make. The caller is locked to its thread, as every test on a host of its own is.
func trace(t *testing.T, cmd *exec.Cmd, look func(pid int, e entered)) {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // reaped below already
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_EXITKILL
	ready := false
	for {
		var ws unix.WaitStatus
		// Of this thread's children only: other tests have their own.
		pid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return
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
			if e, ok := enteredCall(pid); ok {
				look(pid, e)
			}
		case sig != unix.SIGTRAP && sig != unix.SIGSTOP:
			pass = int(sig) // the runtime's own
		}
		_ = unix.PtraceSyscall(pid, pass) // it may be dead by now
	}
}

// enteredCall is the system call that a stopped thread is about to make, and false if it
// comes out of one (PTRACE_GET_SYSCALL_INFO, ptrace(2), Linux 5.3).
func enteredCall(pid int) (entered, bool) {
	const getSyscallInfo, entry = 0x420e, 1
	var info struct {
		op   uint8
		_    [3]uint8
		_    uint32
		_, _ uint64
		entered
		_ [2]uint64
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(pid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	return info.entered, errno == 0 && info.op == entry
}
