// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// runningKernel is the kernel of this machine.
func runningKernel() (kernel, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return kernel{}, fmt.Errorf("ask for the kernel's release: %w", err)
	}
	k := kernel{release: strings.TrimSpace(string(raw))}
	for _, path := range []string{
		"/proc/config.gz", "/boot/config-" + k.release, "/lib/modules/" + k.release + "/config",
	} {
		k.config, err = readConfig(path)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return k, err
		}
	}
	return k, nil
}

// readConfig returns the options that are on in a kernel's configuration, as a
// module or built in.
func readConfig(path string) (map[string]bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open kernel configuration: %w", err)
	}
	defer file.Close()
	var text io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(file); err != nil {
			return nil, fmt.Errorf("read kernel configuration %q: %w", path, err)
		}
	}
	on := map[string]bool{}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		if option, value, _ := strings.Cut(lines.Text(), "="); value == "y" || value == "m" {
			on[option] = true
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read kernel configuration %q: %w", path, err)
	}
	if len(on) == 0 {
		return nil, fmt.Errorf("kernel configuration %q has no option that is on", path)
	}
	return on, nil
}
