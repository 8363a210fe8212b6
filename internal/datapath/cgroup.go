// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// openBelowRoot opens a cgroup by its path below the root of cgroup v2, and no other
// directory, whatever the path says. One of systemd's, a slice without its parents
// ("kubepods-burstable-pod1.slice"), is looked for where systemd puts it.
func openBelowRoot(path string) (int, error) {
	root, err := cgroupRoot()
	if err != nil {
		return -1, err
	}
	at, err := openCgroup(root)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	below := strings.TrimPrefix(expandSlice(path), "/")
	if below == "" {
		return -1, fmt.Errorf("cgroup %q: it is the root", path)
	}
	fd, err := unix.Openat2(at, below, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return -1, fmt.Errorf("open cgroup below the root of cgroup v2, %s: %w", root, &os.PathError{Op: "openat2", Path: path, Err: err})
	}
	return fd, nil
}

// expandSlice is where systemd has a slice: within those whose names are the beginnings
// of its own, up to a dash (systemd.slice(5)). Another path stays as it is.
func expandSlice(path string) string {
	name := strings.TrimPrefix(path, "/")
	stem, ok := strings.CutSuffix(name, ".slice")
	if !ok || strings.Contains(name, "/") || stem == "" {
		return path
	}
	var out strings.Builder
	for i := range stem {
		if i > 0 && stem[i] == '-' {
			out.WriteString("/" + stem[:i] + ".slice")
		}
	}
	return out.String() + "/" + name
}
