// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// pluginModule is where the upstream plugins come from; go.mod pins the version.
const pluginModule = "github.com/containernetworking/plugins"

// emptyProgram shows what a Go program costs that does nothing.
const emptyProgram = "package main\n\nfunc main() {}\n"

// build fills work/bin with what is measured, everything with the flags of a
// release of Emerita, and says what it runs on. Without the file emerita, Emerita
// is left out.
func build(ctx context.Context, work, emerita string, stderr io.Writer) (machine, error) {
	bin := filepath.Join(work, "bin")
	empty := filepath.Join(work, "empty.go")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return machine{}, fmt.Errorf("make a directory for the plugins: %w", err)
	}
	if err := os.WriteFile(empty, []byte(emptyProgram), 0o600); err != nil {
		return machine{}, fmt.Errorf("write the empty program: %w", err)
	}
	var version string
	if emerita != "" {
		var err error
		if version, err = copyEmerita(bin, emerita); err != nil {
			return machine{}, err
		}
	}
	fmt.Fprintln(stderr, "build the plugins")
	for name, source := range map[string]string{
		"bridge":     pluginModule + "/plugins/main/bridge",
		"ptp":        pluginModule + "/plugins/main/ptp",
		"portmap":    pluginModule + "/plugins/meta/portmap",
		"bandwidth":  pluginModule + "/plugins/meta/bandwidth",
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
	m.Emerita = version
	return m, nil
}

// copyEmerita copies the binary, since a rebuild meanwhile must not change what
// is measured, and returns its version.
func copyEmerita(bin, emerita string) (string, error) {
	b, err := os.ReadFile(emerita)
	if err != nil {
		return "", fmt.Errorf("read emerita, build it first or leave it out with -variants: %w", err)
	}
	info, err := buildinfo.Read(bytes.NewReader(b))
	if err != nil {
		return "", fmt.Errorf("read the version of emerita: %w", err)
	}
	if err := os.WriteFile(filepath.Join(bin, "emerita"), b, 0o755); err != nil {
		return "", fmt.Errorf("copy emerita: %w", err)
	}
	return info.Main.Version, nil
}
