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

// TestBatch writes and removes many entries by one call each.
func TestBatch(t *testing.T) {
	t.Parallel()
	testutil.Root(t)
	testutil.EnterHost(t)
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 300, Flags: unix.BPF_F_NO_PREALLOC})
	must(t, err)
	defer m.Close()
	fd := FD(m.FD())
	some := func(from, to uint32) (e Entries) {
		for n := from; n < to; n++ {
			e.Add(binary.NativeEndian.AppendUint32(nil, n), binary.NativeEndian.AppendUint64(nil, uint64(n)+1))
		}
		return e
	}
	expect := func(n uint32, want error) {
		t.Helper()
		var got uint64
		if err := m.Lookup(n, &got); !errors.Is(err, want) || err == nil && got != uint64(n)+1 {
			t.Errorf("entry %d is %d, %v, want %v", n, got, err, want)
		}
	}
	must(t, fd.UpdateAll(Entries{}))
	must(t, fd.DeleteAll(Entries{}))
	must(t, fd.UpdateAll(some(0, 200)))
	must(t, fd.UpdateAll(some(100, 250))) // some are there
	for n := range uint32(250) {
		expect(n, nil)
	}
	if err := fd.UpdateAll(some(250, 400)); !errors.Is(err, unix.E2BIG) {
		t.Errorf("fill the map: %v, want one that wraps E2BIG", err)
	}
	expect(299, nil) // those before are there
	expect(300, ebpf.ErrKeyNotExist)
	must(t, m.Delete(uint32(1)))
	must(t, m.Delete(uint32(3)))
	must(t, fd.DeleteAll(some(0, 5)))
	must(t, fd.DeleteAll(some(290, 400)))
	for n, want := range map[uint32]error{0: ebpf.ErrKeyNotExist, 2: ebpf.ErrKeyNotExist, 4: ebpf.ErrKeyNotExist, 5: nil, 289: nil, 290: ebpf.ErrKeyNotExist, 299: ebpf.ErrKeyNotExist} {
		expect(n, want)
	}
	if err := FD(-1).UpdateAll(some(0, 2)); !errors.Is(err, unix.EBADF) {
		t.Errorf("no map: %v, want one that wraps EBADF", err)
	}
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
