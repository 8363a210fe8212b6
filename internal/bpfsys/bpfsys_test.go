// SPDX-License-Identifier: MIT OR Apache-2.0

package bpfsys

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustPin makes a map with keys of 4 and values of 8 bytes, for at most two
// entries, and pins it.
func mustPin(t *testing.T, path string) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 2})
	must(t, err)
	defer m.Close()
	must(t, m.Pin(path))
}

func TestMap(t *testing.T) {
	t.Parallel()
	testutil.Root(t)
	testutil.EnterHost(t)
	const pin = "/sys/fs/bpf/map"
	mustPin(t, pin)
	fd, err := Open(pin)
	must(t, err)
	defer fd.Close()

	key := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	value := func(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }
	got := make([]byte, 8)
	expect := func(n uint32, want uint64) {
		t.Helper()
		if err := fd.Lookup(key(n), got); err != nil || binary.NativeEndian.Uint64(got) != want {
			t.Errorf("entry %d is %x, %v, want %d", n, got, err, want)
		}
	}
	expectError := func(what string, err error, want unix.Errno) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want one that wraps %v", what, err, want)
		}
	}

	expectError("look up nothing", fd.Lookup(key(1), got), unix.ENOENT)
	expectError("delete nothing", fd.Delete(key(1)), unix.ENOENT)
	must(t, fd.Insert(key(1), value(10)))
	expect(1, 10)
	expectError("insert what is there", fd.Insert(key(1), value(11)), unix.EEXIST)
	expect(1, 10)
	must(t, fd.Update(key(1), value(12)))
	expect(1, 12)
	must(t, fd.Update(key(2), value(20)))
	expectError("insert into a full map", fd.Insert(key(3), value(30)), unix.E2BIG)
	must(t, fd.Delete(key(1)))
	expectError("look up what is deleted", fd.Lookup(key(1), got), unix.ENOENT)
	expect(2, 20)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	testutil.Root(t)
	testutil.EnterHost(t)
	must(t, os.WriteFile("/run/file", nil, 0o600))
	for _, c := range []struct {
		name, path string
		want       error
	}{
		{"nothing", "/sys/fs/bpf/nothing", fs.ErrNotExist},
		{"a directory", "/sys/fs/bpf", unix.EACCES},
		{"a file", "/run/file", unix.EACCES},
		{"a path with a zero byte", "/sys/fs/bpf/\x00", unix.EINVAL},
	} {
		fd, err := Open(c.path)
		t.Run(c.name, func(t *testing.T) {
			if fd != -1 || !errors.Is(err, c.want) {
				t.Errorf("open %q: %d, %v, want one that wraps %v", c.path, fd, err, c.want)
			}
		})
	}
}
