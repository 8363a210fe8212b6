// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRemoveCgroups(t *testing.T) {
	t.Parallel()
	work, run := t.TempDir(), filepath.Join(t.TempDir(), "run")
	if err := removeCgroups(work); err != nil {
		t.Errorf("a run that made none: %v", err)
	}
	for _, host := range []string{"loopback", "bridge"} {
		if err := os.MkdirAll(filepath.Join(run, host), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(run, filepath.Join(work, cgroupLink)); err != nil {
		t.Fatal(err)
	}
	if err := removeCgroups(work); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(run); err == nil {
		t.Error("the run's cgroup is still there")
	}
}
