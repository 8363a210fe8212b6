// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// mountTmpfs puts a tmpfs at the office's dataDir that only the calling test
// sees: its thread gets a mount namespace of its own and ends with it.
func (o *office) mountTmpfs(options string) {
	o.t.Helper()
	testutil.Root(o.t)
	runtime.LockOSThread() // never unlocked
	must(o.t, unix.Unshare(unix.CLONE_NEWNS))
	must(o.t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(o.t, os.Mkdir(o.dataDir, 0o700))
	must(o.t, unix.Mount("tmpfs", o.dataDir, "tmpfs", 0, "mode=0700,"+options))
	// Detached, because a child that another test forks holds our descriptors
	// until it execs.
	o.t.Cleanup(func() { must(o.t, unix.Unmount(o.dataDir, unix.MNT_DETACH)) })
}

// fillUp leaves no block of the file system free.
func (o *office) fillUp() {
	o.t.Helper()
	f, err := os.Create(filepath.Join(o.dataDir, "ballast"))
	must(o.t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
}

// TestFullDisk lets an ADD run out of inodes at each of its steps in turn, and
// then finds a whole claim or none.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	// The root of the tmpfs, the network's directory, lock, two reservations
	// and two cursors are seven.
	const enough = 7
	for inodes := 1; inodes <= enough; inodes++ {
		t.Run(fmt.Sprintf("%d inodes", inodes), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, map[string]any{"ranges": [][]map[string]string{{{"subnet": "10.0.0.0/29"}}, {{"subnet": "fd00::/64"}}}})
			o.mountTmpfs(fmt.Sprintf("nr_inodes=%d", inodes))
			result, err := o.manager("ann").Add(t.Context(), Hooks{})
			if inodes < enough {
				wantError(t, err, cniproto.CodeIPAM, "no space left", o.dataDir)
				o.wantHeld(map[string]string{})
				return
			}
			must(t, err)
			wantAddrs(t, addrsOf(result), "10.0.0.2", "fd00::2")
			o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0", "fd00::2": "ann\r\neth0"})
		})
	}
}

// DEL needs no space: it is what frees some.
func TestDelOnFullDisk(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	o.mountTmpfs("size=64k")
	got := o.mustAdd("ann", Hooks{})
	o.fillUp()
	_, err := o.manager("bob").Add(t.Context(), Hooks{})
	wantError(t, err, cniproto.CodeIPAM, "no space left", tempName)
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0"})
	must(t, o.manager("ann").Check(t.Context(), &Claim{Dir: o.dir(), Addrs: got}))
	o.mustDel("ann", &Claim{Dir: o.dir(), Addrs: got})
	o.wantHeld(map[string]string{})
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	o.mountTmpfs("size=64k")
	got := o.mustAdd("ann", Hooks{})
	// A second mount over the first: a child that another test forks may hold
	// that one writable.
	must(t, unix.Mount(o.dataDir, o.dataDir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(o.dataDir, unix.MNT_DETACH)) })
	must(t, unix.Mount("", o.dataDir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	_, err := o.manager("bob").Add(t.Context(), Hooks{})
	wantError(t, err, cniproto.CodeIPAM, "read-only", o.dir())
	m := o.manager("ann")
	must(t, m.Check(t.Context(), &Claim{Dir: o.dir(), Addrs: got}))
	wantError(t, m.Del(t.Context(), nil), cniproto.CodeIPAM, "read-only")
	wantError(t, m.Status(t.Context()), cniproto.CodeNotAvailable, "read-only")
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0"})
}
