// SPDX-License-Identifier: MIT OR Apache-2.0

package netns_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/testutil"
)

func TestOpenRefusesWhatIsNoNetns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, fifo, dir, "/dev/null", "/proc/self/ns/mnt", "/proc/self/status"} {
		if ns, err := netns.Open(path); !errors.Is(err, netns.ErrNotNetns) {
			t.Errorf("%s: %v, %v", path, ns, err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "none"), ""} {
		if ns, err := netns.Open(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v, %v", path, ns, err)
		}
	}
}

func TestIsHost(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	alice := testutil.Netns(t, "alice")
	alias := filepath.Join(t.TempDir(), "alias")
	if err := os.WriteFile(alias, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("/proc/thread-self/ns/net", alias, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(alias, 0)
	for path, want := range map[string]bool{
		alice: false, "/proc/thread-self/ns/net": true, "/proc/1/ns/net": true, alias: true,
	} {
		ns, err := netns.Open(path)
		if errors.Is(err, fs.ErrPermission) && path == "/proc/1/ns/net" {
			continue // process 1 is shielded here: refused all the same
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ns.IsHost(); got != want || err != nil {
			t.Errorf("%s: %v, %v", path, got, err)
		}
		_ = ns.Close()
	}
}

func TestDoLeavesNoThreadBehind(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	ns, err := netns.Open(testutil.Netns(t, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	here, _ := os.Readlink("/proc/thread-self/ns/net")
	wrong := errors.New("wrong")
	for range 20 {
		var there string
		err := ns.Do(func() error { there, _ = os.Readlink("/proc/thread-self/ns/net"); return wrong })
		if !errors.Is(err, wrong) || there == here || there == "" {
			t.Fatalf("inside %s, outside %s, %v", there, here, err)
		}
	}
	inside := 0
	ino := ns.ID().Ino
	tasks, _ := filepath.Glob("/proc/self/task/*/ns/net")
	for _, task := range tasks {
		var st unix.Stat_t
		if unix.Stat(task, &st) == nil && st.Ino == ino {
			inside++
		}
	}
	if inside > 1 { // the last one may still be on its way out
		t.Errorf("%d threads are still inside", inside)
	}
}

func TestIDTellsARecreatedNamespace(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	first, err := netns.Open(testutil.Netns(t, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	testutil.Run(t, "ip", "netns", "del", "alice")
	second, err := netns.Open(testutil.Netns(t, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if first.ID() == second.ID() {
		t.Errorf("both are %v", first.ID())
	}
	if out := testutil.Run(t, "ip", "netns", "list"); !strings.Contains(out, "alice") {
		t.Errorf("got %q", out)
	}
}
