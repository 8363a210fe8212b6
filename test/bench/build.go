// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pluginModule is where the upstream plugins come from; go.mod pins the version.
const pluginModule = "github.com/containernetworking/plugins"

// emptyProgram shows what a Go program costs that does nothing.
const emptyProgram = "package main\n\nfunc main() {}\n"

// build fills work/bin with what is measured, everything with the flags of a
// release of Emerita, and says what it runs on.
func build(ctx context.Context, work, emerita string, p plan, stderr io.Writer) (machine, error) {
	bin := filepath.Join(work, "bin")
	empty := filepath.Join(work, "empty.go")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return machine{}, fmt.Errorf("make a directory for the plugins: %w", err)
	}
	if err := os.WriteFile(empty, []byte(emptyProgram), 0o600); err != nil {
		return machine{}, fmt.Errorf("write the empty program: %w", err)
	}
	fmt.Fprintln(stderr, "build the plugins")
	for name, source := range map[string]string{
		"bridge":     pluginModule + "/plugins/main/bridge",
		"ptp":        pluginModule + "/plugins/main/ptp",
		"host-local": pluginModule + "/plugins/ipam/host-local",
		"empty":      empty,
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(bin, name), source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = stderr
		if err := cmd.Run(); err != nil {
			return machine{}, fmt.Errorf("build %q: %w", name, err)
		}
	}

	m, err := inspect(work)
	if err != nil {
		return machine{}, err
	}
	for _, name := range p.Variants {
		if newVariant(name).plugin != "emerita" {
			continue
		}
		// A copy: a rebuild meanwhile must not change what is measured.
		b, err := os.ReadFile(emerita)
		if err != nil {
			return machine{}, fmt.Errorf("read emerita, build it first or leave it out with -variants: %w", err)
		}
		if err := os.WriteFile(filepath.Join(bin, "emerita"), b, 0o755); err != nil {
			return machine{}, fmt.Errorf("copy emerita: %w", err)
		}
		info, err := buildinfo.ReadFile(emerita)
		if err != nil {
			return machine{}, fmt.Errorf("read the version of emerita: %w", err)
		}
		m.Emerita = info.Main.Version
		break
	}
	return m, nil
}

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
