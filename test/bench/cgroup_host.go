// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// A cgroup is what a host has for the root of cgroup v2. All but dir are file
// descriptors.
type cgroup struct {
	dir      string
	procs    int // the cgroup itself, for processes to start in
	inside   int // the cgroup namespace whose root it is
	everyone int // that of this process
}

// enterCgroup brings the host's thread into a cgroup namespace whose root is a new cgroup.
// A namespace begins where its maker is, and that is where the whole process is: so one
// host is made at a time.
func (h *host) enterCgroup(work string) (err error) {
	run := filepath.Join(work, cgroupLink)
	h.cgroup.dir = filepath.Join(run, h.name)
	if err := os.Mkdir(h.cgroup.dir, 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	if h.cgroup.procs, err = unix.Open(h.cgroup.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open cgroup: %w", err)
	}
	if h.cgroup.everyone, err = openCgroupNamespace(); err != nil {
		return err
	}
	if err := joinCgroup(h.cgroup.dir); err != nil {
		return err
	}
	err = h.do(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fmt.Errorf("unshare cgroup namespace: %w", err)
		}
		h.cgroup.inside, err = openCgroupNamespace()
		return err
	})
	if err != nil {
		return err
	}
	return joinCgroup(run)
}

// joinCgroup moves this process.
func joinCgroup(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
		return fmt.Errorf("join cgroup: %w", err)
	}
	return nil
}

// openCgroupNamespace opens that of the calling thread.
func openCgroupNamespace() (int, error) {
	fd, err := unix.Open("/proc/thread-self/ns/cgroup", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open cgroup namespace: %w", err)
	}
	return fd, nil
}

// startInCgroup starts a process in the host's cgroup, from the host's thread. Meanwhile
// this is in the namespace of this process: from one in which it is not itself it must
// not move anything, if cgroup v2 is mounted with nsdelegate.
func (h *host) startInCgroup(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: h.cgroup.procs}
	if err := unix.Setns(h.cgroup.everyone, unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("leave cgroup namespace: %w", err)
	}
	startErr := cmd.Start()
	if err := unix.Setns(h.cgroup.inside, unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("enter cgroup namespace: %w", err)
	}
	return startErr
}
