// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPlace has the host's bpffs mounted while the pins are on our own.
func TestPlace(t *testing.T) {
	t.Parallel()
	own := filepath.Join(ownFS, layoutDir)
	mount := func(t *testing.T) { t.Helper(); must(t, unix.Mount("bpf", systemFS, "bpf", 0, "")) }
	in := func(t *testing.T, want string) {
		t.Helper()
		if got := pinDir(); got != want {
			t.Errorf("the pins are in %q, want %q", got, want)
		}
	}
	gone := func(t *testing.T, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is there, %v", path, err)
			}
		}
	}
	onHost(t, "mounted later", func(t *testing.T) {
		mustHaveNoBPFFS(t)
		mustOpen(t)
		in(t, own)
		mount(t)
		in(t, own)
		if _, loaded, err := OpenOrLoad(); loaded || err != nil {
			t.Errorf("the programs were loaded once more: %v, %v", loaded, err)
		}
		must(t, Unload())
		gone(t, v1Dir, filepath.Dir(ownFS))
		in(t, v1Dir)
		mustOpen(t)
		gone(t, filepath.Dir(ownFS))
	})
	onHost(t, "pins in both", func(t *testing.T) {
		mustOpen(t)
		must(t, os.MkdirAll(ownFS, 0o700))
		must(t, unix.Mount("bpf", ownFS, "bpf", 0, "mode=0700"))
		in(t, v1Dir) // ours is empty
		must(t, os.Mkdir(own, 0o700))
		in(t, own)
		must(t, Unload())
		gone(t, v1Dir, filepath.Dir(ownFS))
	})
	onHost(t, "somebody looks into ours", func(t *testing.T) {
		mustHaveNoBPFFS(t)
		mustOpen(t)
		who, err := os.Open(ownFS)
		must(t, err)
		defer who.Close()
		must(t, Unload())
		gone(t, filepath.Dir(ownFS))
	})
	onHost(t, "ours without pins", func(t *testing.T) {
		mustHaveNoBPFFS(t)
		mustOpen(t)
		must(t, os.RemoveAll(own))
		must(t, Unload())
		gone(t, filepath.Dir(ownFS))
	})
	onHost(t, "ours unmounted", func(t *testing.T) {
		mustHaveNoBPFFS(t)
		mustOpen(t)
		mount(t)
		must(t, unix.Unmount(ownFS, 0))
		in(t, v1Dir)
		must(t, Unload())
		gone(t, filepath.Dir(ownFS))
	})
	onHost(t, "ours never mounted", func(t *testing.T) {
		mustHaveNoBPFFS(t)
		must(t, os.MkdirAll(ownFS, 0o700))
		must(t, Unload())
		gone(t, filepath.Dir(ownFS))
	})
	onHost(t, "after a reboot whose /run is on a disk", func(t *testing.T) {
		must(t, os.MkdirAll(own, 0o700)) // which nobody makes
		in(t, v1Dir)
	})
}
