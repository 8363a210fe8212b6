// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// inspect gathers the facts on which figures depend, and none that tell whose
// machine it is.
func inspect(work string) (machine, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return machine{}, fmt.Errorf("ask for the kernel's version: %w", err)
	}
	m := machine{
		Date:       time.Now().UTC().Format(time.DateOnly),
		Kernel:     unix.ByteSliceToString(uts.Release[:]),
		CPU:        "unknown",
		CPUs:       runtime.NumCPU(),
		Go:         runtime.Version(),
		IPTables:   "none",
		NFT:        "none",
		Filesystem: "other",
	}
	cpus, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return machine{}, fmt.Errorf("ask for the CPU: %w", err)
	}
	for line := range strings.Lines(string(cpus)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(model)
			break
		}
	}
	info, err := buildinfo.ReadFile(filepath.Join(work, "bin", "bridge"))
	if err != nil {
		return machine{}, fmt.Errorf("read the version of the plugins: %w", err)
	}
	for _, dep := range append(info.Deps, &info.Main) {
		if dep.Path == pluginModule {
			m.Plugins = dep.Version
		}
	}
	if out, err := exec.Command("iptables", "--version").Output(); err == nil {
		m.IPTables = strings.TrimSpace(strings.TrimPrefix(string(out), "iptables "))
	}
	if out, err := exec.Command("nft", "--version").Output(); err == nil {
		m.NFT = strings.TrimSpace(strings.TrimPrefix(string(out), "nftables "))
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(work, &fs); err != nil {
		return machine{}, fmt.Errorf("ask for the file system: %w", err)
	}
	switch uint32(fs.Type) {
	case unix.EXT4_SUPER_MAGIC:
		m.Filesystem = "ext4"
	case unix.XFS_SUPER_MAGIC:
		m.Filesystem = "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		m.Filesystem = "btrfs"
	case unix.TMPFS_MAGIC:
		m.Filesystem = "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		m.Filesystem = "overlay"
	}
	return m, nil
}
