// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

const nobody = 65534

var v1Dir = filepath.Join(systemFS, layoutDir)

// onHost runs a test on a host of its own.
func onHost(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		testutil.Root(t)
		testutil.EnterHost(t)
		test(t)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustHaveNoBPFFS uncovers what lies under /sys/fs/bpf.
func mustHaveNoBPFFS(t *testing.T) {
	t.Helper()
	for isBPFFS(systemFS) {
		must(t, unix.Unmount(systemFS, unix.MNT_DETACH))
	}
}

func mustList(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestOpenNotLoaded(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T){
		"no bpffs":        mustHaveNoBPFFS,
		"empty bpffs":     func(*testing.T) {},
		"empty directory": func(t *testing.T) { must(t, os.Mkdir(v1Dir, 0o700)) },
	} {
		onHost(t, name, func(t *testing.T) {
			prepare(t)
			if _, err := Open(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open: %v, want one that wraps fs.ErrNotExist", err)
			}
			if err := Sweep(func(int) bool { return true }); err != nil {
				t.Errorf("sweep: %v, want success", err)
			}
			if err := Unload(); err != nil {
				t.Errorf("unload: %v, want success", err)
			}
		})
	}
}

// TestHostilePinDirectory lets somebody else be first where the pins belong. On
// a bpffs mounted without a mode any user can.
func TestHostilePinDirectory(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T){
		"of nobody": func(t *testing.T) {
			must(t, os.Mkdir(v1Dir, 0o700))
			must(t, os.Chown(v1Dir, nobody, nobody))
		},
		"writable for all": func(t *testing.T) {
			must(t, os.Mkdir(v1Dir, 0o700))
			must(t, os.Chmod(v1Dir, 0o777))
		},
		"writable for all, sticky": func(t *testing.T) {
			must(t, os.Mkdir(v1Dir, 0o700))
			must(t, os.Chmod(v1Dir, 0o777|os.ModeSticky))
		},
		"writable for the group": func(t *testing.T) {
			must(t, os.Mkdir(v1Dir, 0o700))
			must(t, os.Chmod(v1Dir, 0o770))
		},
		"a link to a directory": func(t *testing.T) {
			elsewhere := filepath.Join(systemFS, "elsewhere")
			must(t, os.Mkdir(elsewhere, 0o700))
			must(t, os.Symlink(elsewhere, v1Dir))
		},
		"a link to nothing": func(t *testing.T) { must(t, os.Symlink("/nowhere", v1Dir)) },
		"a pinned map": func(t *testing.T) {
			m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
			must(t, err)
			defer m.Close()
			must(t, m.Pin(v1Dir))
		},
	} {
		onHost(t, name, func(t *testing.T) {
			prepare(t)
			was, err := os.Lstat(v1Dir)
			must(t, err)
			_, openErr := Open()
			_, _, loadErr := OpenOrLoad()
			for what, err := range map[string]error{
				"open": openErr, "open or load": loadErr, "unload": Unload(), "sweep": Sweep(func(int) bool { return false }),
			} {
				if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), v1Dir) {
					t.Errorf("%s: %v, want a refusal that names %s", what, err, v1Dir)
				}
			}
			is, err := os.Lstat(v1Dir)
			must(t, err)
			if is.Mode() != was.Mode() {
				t.Errorf("it was %v and is %v", was.Mode(), is.Mode())
			}
			if dir, err := os.ReadDir(v1Dir); err == nil && len(dir) > 0 {
				t.Errorf("%d pins were made in it", len(dir))
			}
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	onHost(t, "first and then again", func(t *testing.T) {
		h, loaded, err := OpenOrLoad()
		must(t, err)
		h.Close()
		if !loaded {
			t.Error("the first did not load")
		}
		h, loaded, err = OpenOrLoad()
		must(t, err)
		h.Close()
		if loaded {
			t.Error("the second loaded again")
		}
		if info, err := os.Stat(v1Dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("pin directory: %v, %v, want mode 0700", info.Mode(), err)
		}
	})
	onHost(t, "into a directory of ours", func(t *testing.T) {
		must(t, os.Mkdir(v1Dir, 0o755)) // by hand, for others to look at
		mustOpen(t)
	})
	onHost(t, "without bpffs", func(t *testing.T) {
		mustHaveNoBPFFS(t)
		mustOpen(t)
		if !isBPFFS(ownFS) || isBPFFS(systemFS) {
			t.Errorf("bpffs at %s: %v, at %s: %v, want the first only", ownFS, isBPFFS(ownFS), systemFS, isBPFFS(systemFS))
		}
		if info, err := os.Stat(ownFS); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v, want 0700", ownFS, info.Mode(), err)
		}
		h, loaded, err := OpenOrLoad()
		must(t, err)
		h.Close()
		if loaded {
			t.Error("the pins in it are not found again")
		}
		must(t, Unload())
		if _, err := os.Stat(filepath.Dir(ownFS)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after unload: %v, want it gone", filepath.Dir(ownFS), err)
		}
	})
}

// TestLoadAfterKill begins where a load that was killed, or somebody who removed
// pins, has left things. The maps that are left keep what they know.
func TestLoadAfterKill(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T){
		"maps only":         func(t *testing.T) { must(t, os.RemoveAll(programDir(v1Dir))) },
		"no program yet":    func(t *testing.T) { mustRemove(t, pinFrom, pinTo) },
		"one program":       func(t *testing.T) { mustRemove(t, pinTo) },
		"the other program": func(t *testing.T) { mustRemove(t, pinFrom) },
		"counters not pinned": func(t *testing.T) {
			must(t, os.Remove(filepath.Join(v1Dir, pinCounts)))
		},
	} {
		onHost(t, name, func(t *testing.T) {
			h := mustOpen(t)
			bob := Endpoint{Network: IDOf("net"), Owner: OwnerOf("bob"), IfIndex: 7, MAC: make([]byte, 6), Addrs: addrs("10.0.0.2")}
			must(t, h.Register(bob))
			must(t, h.RegisterAddrs(bob))
			damage(t)
			if _, err := Open(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open: %v, want one that wraps fs.ErrNotExist", err)
			}
			h, loaded, err := OpenOrLoad()
			must(t, err)
			defer h.Close()
			if !loaded {
				t.Error("the programs were not loaded again")
			}
			if known, err := h.Knows(bob); !known || err != nil {
				t.Errorf("the maps know bob: %v, %v", known, err)
			}
			mustProgram(t, pinFrom)
			mustProgram(t, pinTo)
		})
	}
}

func mustRemove(t *testing.T, pins ...string) {
	t.Helper()
	for _, pin := range pins {
		must(t, os.Remove(filepath.Join(programDir(v1Dir), pin)))
	}
}

// TestTwoBuilds has the programs of another build beside ours: each opens its
// own, on the same maps, and neither touches the other's.
func TestTwoBuilds(t *testing.T) {
	t.Parallel()
	onHost(t, "beside each other", func(t *testing.T) {
		mustOpen(t)
		ours, theirs := programDir(v1Dir), filepath.Join(v1Dir, "programs-0123456789abcdef")
		must(t, os.Rename(ours, theirs)) // as the other build would have loaded them
		if _, err := Open(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open: %v, want one that wraps fs.ErrNotExist: these are not our programs", err)
		}
		id := func(dir string) ebpf.ProgramID {
			p, err := ebpf.LoadPinnedProgram(filepath.Join(dir, pinFrom), nil)
			must(t, err)
			defer p.Close()
			info, err := p.Info()
			must(t, err)
			id, _ := info.ID()
			return id
		}
		before := id(theirs)
		mustOpen(t)
		if id(theirs) != before || id(ours) == before {
			t.Errorf("the other build had program %d and has %d, ours is %d", before, id(theirs), id(ours))
		}
		// They share the maps.
		maps := func(dir string) []ebpf.MapID {
			p, err := ebpf.LoadPinnedProgram(filepath.Join(dir, pinFrom), nil)
			must(t, err)
			defer p.Close()
			info, err := p.Info()
			must(t, err)
			ids, _ := info.MapIDs()
			return ids
		}
		if a, b := maps(ours), maps(theirs); len(a) == 0 || !sameIDs(a, b) {
			t.Errorf("our programs use maps %v, theirs %v", a, b)
		}
		if names := mustList(t, v1Dir); len(names) != 8 {
			t.Errorf("pins are %q, want six maps and two directories", names)
		}
	})
}

func TestUnload(t *testing.T) {
	t.Parallel()
	onHost(t, "leaves what is not ours", func(t *testing.T) {
		must(t, os.Mkdir(filepath.Join(systemFS, "somebody"), 0o700))
		before := mustList(t, systemFS)
		mustOpen(t)
		must(t, Unload())
		if diff := cmp.Diff(before, mustList(t, systemFS)); diff != "" {
			t.Errorf("the bpffs holds other things than before (-want +got):\n%s", diff)
		}
		mustOpen(t) // and all can be loaded again
	})
}

// TestNotRoot: a user is told to become root, and not to remove what is root's.
func TestNotRoot(t *testing.T) {
	onHost(t, "flows", func(t *testing.T) {
		must(t, os.Mkdir(v1Dir, 0o700))
		for _, mode := range []os.FileMode{0o1777, 0o700} { // seen, and not to be looked at
			must(t, os.Chmod(systemFS, mode))
			for name, call := range map[string]func() error{
				"list":   func() error { _, err := Flows(); return err },
				"switch": func() error { return StopAcceleration(true) },
			} {
				err := asNobody(t, call)
				if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "run as root") || strings.Contains(err.Error(), "remove") {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}

// asNobody calls from this thread alone, which is the test's own.
func asNobody(t *testing.T, call func() error) error {
	t.Helper()
	become := func(uid uintptr) {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uid, ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
	}
	become(nobody)
	defer become(0)
	return call()
}
