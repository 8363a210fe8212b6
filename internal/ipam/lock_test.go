// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

func TestParallelAddsAreUnique(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/24")
	const many = 64
	got := make([][]netip.Addr, many)
	var wg sync.WaitGroup
	for i := range many {
		m := o.manager(fmt.Sprintf("c%d", i))
		wg.Go(func() {
			result, err := m.Add(t.Context(), Hooks{})
			if err != nil {
				t.Errorf("Add %d: %v", i, err)
				return
			}
			got[i] = addrsOf(result)
		})
	}
	wg.Wait()
	seen := map[netip.Addr]int{}
	for i, as := range got {
		for _, a := range as {
			if j, dup := seen[a]; dup {
				t.Errorf("containers %d and %d both have %s", i, j, a)
			}
			seen[a] = i
		}
	}
	if len(seen) != many {
		t.Errorf("%d addresses, want %d", len(seen), many)
	}
	if len(o.held()) != many {
		t.Errorf("%d reservations, want %d", len(o.held()), many)
	}
}

func TestHeldLockIsTryAgain(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/24")
	o.write(lockName, "")
	f, err := os.Open(filepath.Join(o.dir(), lockName))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r := o.request("ann")
	r.LockTimeout = 1
	m := mustNew(t, r)
	_, err = m.Add(t.Context(), Hooks{})
	wantError(t, err, cniproto.CodeTryAgain, filepath.Join(o.dir(), lockName), "try again")
	wantError(t, m.Del(t.Context(), nil), cniproto.CodeTryAgain)
	if err := m.Status(t.Context()); err != nil {
		t.Errorf("Status waits for the lock: %v", err)
	}
	// Not by closing: a child that another test forks shares the lock until it
	// execs.
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_UN))
	must(t, f.Close())
	wantAddrs(t, mustAdd(t, m, Hooks{}), "10.0.0.2")
}
