// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutCalls is the program "without CALLS ERRNO COMMAND…", which runs a command
// that gets an error from some system calls ("bpf,mount").
func withoutCalls() {
	err := refuseAndRun(os.Args[1:])
	fmt.Fprintln(os.Stderr, "without:", err)
	os.Exit(3)
}

func refuseAndRun(args []string) error {
	if len(args) < 3 {
		return errors.New("usage: without CALLS ERRNO COMMAND…")
	}
	errno, ok := map[string]unix.Errno{"EPERM": unix.EPERM, "ENOSYS": unix.ENOSYS}[args[1]]
	if !ok {
		return fmt.Errorf("unknown error %q", args[1])
	}
	// struct seccomp_data begins with the number of the call.
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for _, name := range strings.Split(args[0], ",") {
		nr, ok := map[string]uint32{"bpf": unix.SYS_BPF, "mount": unix.SYS_MOUNT}[name]
		if !ok {
			return fmt.Errorf("unknown call %q", name)
		}
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	return execFiltered(filter, args[2:])
}

// execFiltered becomes the command, under a seccomp filter.
func execFiltered(filter []unix.SockFilter, command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the filter is the thread's that calls execve
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("set seccomp filter: %w", err)
	}
	return unix.Exec(path, command, os.Environ())
}
