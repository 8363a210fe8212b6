// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Plugins put programs on the root of cgroup v2, and these see the sockets of every
// process below it. So each host has a cgroup of its own for a root, with its traffic in
// there: no variant pays for the programs of another. Unlike all else of a run, cgroups
// do not go with the processes; removeCgroups is for that.

// cgroupLink is what leads from the working directory to the run's cgroup.
const cgroupLink = "cgroup"

// makeCgroups makes the cgroup in which those of the hosts will be.
func makeCgroups(work string) error {
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, filepath.Base(work))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	if err := os.Symlink(dir, filepath.Join(work, cgroupLink)); err != nil {
		return fmt.Errorf("keep the place of the cgroup: %w", err)
	}
	return nil
}

// cgroupRoot is where the root of cgroup v2 is mounted. It is not mounted anew, for that
// would change its options for all (apply_cgroup_root_flags in kernel/cgroup/cgroup.c).
func cgroupRoot() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("look for cgroup v2: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		front, back, ok := strings.Cut(lines.Text(), " - ")
		words := strings.Fields(front) // root and mount point are the fourth and the fifth, proc_pid_mountinfo(5)
		if ok && len(words) > 4 && words[3] == "/" && strings.HasPrefix(back, "cgroup2 ") {
			return words[4], nil
		}
	}
	return "", errors.New("look for cgroup v2: it is not mounted: mount it with mount -t cgroup2 none DIRECTORY")
}

// removeCgroups removes that of the run and those in it, whose processes have ended.
func removeCgroups(work string) error {
	dir, err := os.Readlink(filepath.Join(work, cgroupLink))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the run's cgroup: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the hosts' cgroups: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() { // the rest is the kernel's, and goes with it
			errs = append(errs, removeCgroup(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(append(errs, removeCgroup(dir))...)
}

// removeCgroup waits for the kernel to have forgotten the processes.
func removeCgroup(dir string) error {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup %q: %w", dir, err)
		}
	}
}
