// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// plant makes something at an address that is not a reservation.
var plants = []struct {
	name string
	make func(t *testing.T, path, victim string)
}{
	{"symlink", func(t *testing.T, path, victim string) { must(t, os.Symlink(victim, path)) }},
	{"dangling symlink", func(t *testing.T, path, _ string) { must(t, os.Symlink("/nonexistent", path)) }},
	{"hard link", func(t *testing.T, path, victim string) { must(t, os.Link(victim, path)) }},
	{"FIFO", func(t *testing.T, path, _ string) { must(t, unix.Mkfifo(path, 0o600)) }},
	{"directory", func(t *testing.T, path, _ string) { must(t, os.Mkdir(path, 0o700)) }},
	{"huge file", func(t *testing.T, path, _ string) {
		must(t, os.WriteFile(path, []byte("ann\r\neth0"), 0o600))
		must(t, os.Truncate(path, maxReservation+1))
	}},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What somebody planted at an address counts as taken for every verb, is never
// followed and never removed, even where it leads to ann's own content.
func TestPlantedFileIsTaken(t *testing.T) {
	t.Parallel()
	for _, plant := range plants {
		t.Run(plant.name, func(t *testing.T) {
			t.Parallel()
			o := subnet(t, "10.0.0.0/29")
			victim := filepath.Join(t.TempDir(), "victim")
			must(t, os.WriteFile(victim, []byte("ann\r\neth0"), 0o600))
			o.write(lockName, "")
			planted := filepath.Join(o.dir(), "10.0.0.2")
			plant.make(t, planted, victim)
			before, err := os.Lstat(planted)
			must(t, err)

			got := o.mustAdd("ann", Hooks{Prefer: addrs("10.0.0.2")})
			wantAddrs(t, got, "10.0.0.3")

			r := o.request("bob")
			r.RuntimeIPs = []string{"10.0.0.2"}
			_, err = mustNew(t, r).Add(t.Context(), Hooks{})
			wantError(t, err, cniproto.CodeIPAM, "host-local did not write")

			m := o.manager("ann")
			wantError(t, m.Check(t.Context(), &Claim{Addrs: addrs("10.0.0.2")}), cniproto.CodeIPAM, "10.0.0.2")
			must(t, m.Del(t.Context(), &Claim{Addrs: addrs("10.0.0.2")}))
			must(t, m.Del(t.Context(), nil))
			must(t, m.GC(t.Context(), nil))
			for _, who := range []string{"c3", "c4", "c5", "c6"} {
				o.mustAdd(who, Hooks{})
			}
			_, err = o.manager("late").Add(t.Context(), Hooks{Alive: func(string, string) (bool, bool) { return true, true }})
			wantError(t, err, cniproto.CodeIPAM, "no free address")

			after, err := os.Lstat(planted)
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("the planted file is not what it was: %v", err)
			}
			if data, err := os.ReadFile(victim); err != nil || string(data) != "ann\r\neth0" {
				t.Errorf("victim: %q, %v", data, err)
			}
		})
	}
}

func TestUntrustedDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		make func(t *testing.T, o *office)
		want string
	}{
		{"dataDir is a symlink", func(t *testing.T, o *office) { must(t, os.Symlink(t.TempDir(), o.dataDir)) }, "not a symbolic link"},
		{"network is a symlink", func(t *testing.T, o *office) {
			must(t, os.Mkdir(o.dataDir, 0o700))
			must(t, os.Symlink(t.TempDir(), o.dir()))
		}, "not a symbolic link"},
		{"network is a file", func(t *testing.T, o *office) {
			must(t, os.Mkdir(o.dataDir, 0o700))
			must(t, os.WriteFile(o.dir(), nil, 0o600))
		}, "put a directory there"},
		{"others may write dataDir", func(t *testing.T, o *office) {
			must(t, os.Mkdir(o.dataDir, 0o700))
			must(t, os.Chmod(o.dataDir, 0o777|os.ModeSticky))
		}, "chmod go-w"},
		{"the group may write the network", func(t *testing.T, o *office) {
			must(t, os.MkdirAll(o.dir(), 0o700))
			must(t, os.Chmod(o.dir(), 0o770))
		}, "chmod go-w"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := subnet(t, "10.0.0.0/24")
			test.make(t, o)
			m := o.manager("ann")
			_, err := m.Add(t.Context(), Hooks{})
			wantError(t, err, cniproto.CodeIPAM, test.want)
			wantError(t, m.Del(t.Context(), nil), cniproto.CodeIPAM, test.want)
			wantError(t, m.Status(t.Context()), cniproto.CodeNotAvailable, test.want)
		})
	}
}

func TestLockThatIsASymlinkIsRefused(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/24")
	must(t, os.MkdirAll(o.dir(), 0o700))
	must(t, os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), filepath.Join(o.dir(), lockName)))
	_, err := o.manager("ann").Add(t.Context(), Hooks{})
	wantError(t, err, cniproto.CodeIPAM, "open lock")
}

// The directory of upstream host-local is 0755.
func TestUpstreamModeIsAccepted(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/24")
	must(t, os.MkdirAll(o.dir(), 0o755))
	wantAddrs(t, o.mustAdd("ann", Hooks{}), "10.0.0.2")
}
