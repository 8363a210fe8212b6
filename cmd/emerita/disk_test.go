// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// disks are the two directories that hold state, each on a disk of its own.
var disks = []string{"/var/lib/cni/emerita", "/var/lib/cni/networks"}

// mountDisk puts a small disk under a directory.
func (h *host) mountDisk(dir string) {
	h.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700,size=64k"); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) remount(dir string, flags uintptr) {
	h.t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV|flags, ""); err != nil {
		h.t.Fatal(err)
	}
}

// fill writes to a disk until nothing more fits.
func (h *host) fill(dir string) (name string) {
	h.t.Helper()
	name = dir + "/ballast"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return name
		} else if err != nil {
			h.t.Fatal(err)
		}
	}
}

// clean compares the host with a snapshot from before the failed ADD.
func (h *host) clean(before string, files []string, when string) {
	h.t.Helper()
	if diff := lineDiff(before, h.snapshot()); diff != "" {
		h.t.Errorf("%s: the host differs:\n%s", when, diff)
	}
	if now := h.files("/var/lib/cni"); !slices.Equal(now, files) {
		h.t.Errorf("%s: files were %q, are %q", when, files, now)
	}
}

// On a full disk an ADD fails and leaves nothing, and a DEL works.
func TestFullDisk(t *testing.T) {
	for _, dir := range disks {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.mountDisk(dir)
			h.must("ADD", "b")
			h.must("ADD", "a")
			h.must("DEL", "a")
			h.resetContainer("a")
			ballast := h.fill(dir)
			before, files := h.snapshot(), h.files("/var/lib/cni")

			out, code := h.outcome(h.command("ADD", "a"))
			if code == 0 || !strings.Contains(out, "no space left on device") || !strings.Contains(out, dir) {
				t.Errorf("the error does not name the cause and the place: %s", out)
			}
			h.clean(before, files, "ADD on a full disk")
			h.mustCLI("check", "-n", "/run/netns/b", "-c", "b", "-i", "eth0")
			h.must("DEL", "b")
			if left := h.files("/var/lib/cni"); len(left) != 1 || left[0] != ballast {
				t.Errorf("after DEL on a full disk: %q", left)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			h.must("ADD", "a")
			h.ping("a", "192.0.2.2")
			h.must("DEL", "a")
		})
	}
}

// On a read-only disk both fail, and a DEL afterwards finishes.
func TestReadOnlyDisk(t *testing.T) {
	for _, dir := range disks {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.mountDisk(dir)
			h.must("ADD", "a")
			h.must("DEL", "a")
			h.forgetShared()
			clean := h.snapshot()
			h.must("ADD", "b")
			before, files := h.snapshot(), h.files("/var/lib/cni")
			h.remount(dir, unix.MS_RDONLY)

			for _, verb := range []string{"ADD", "STATUS"} {
				out, code := h.outcome(h.command(verb, "a"))
				if code == 0 || !strings.Contains(out, "read-only file system") || !strings.Contains(out, dir) {
					t.Errorf("%s: the error does not name the cause and the place: %s", verb, out)
				}
				h.clean(before, files, verb+" on a read-only disk")
			}
			out, code := h.outcome(h.command("DEL", "b"))
			if code == 0 || !strings.Contains(out, "read-only file system") {
				t.Errorf("DEL: code %d: %s", code, out)
			}
			if held := h.held(); dir == "/var/lib/cni/networks" && len(held) != 1 {
				t.Errorf("DEL that failed: %q are held", held)
			}

			h.remount(dir, 0)
			h.must("DEL", "b")
			h.forgetShared()
			h.nothingLeft(clean, "DEL after a read-only disk")
			h.must("ADD", "a")
			testutil.Run(t, "ip", "netns", "exec", "a", "ping", "-c", "1", "-W", "2", "192.0.2.2")
		})
	}
}
