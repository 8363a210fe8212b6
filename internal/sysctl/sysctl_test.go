// SPDX-License-Identifier: MIT OR Apache-2.0

package sysctl

import (
	"errors"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

func TestOwnProc(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	fd, err := ownProc()
	if err != nil {
		t.Fatal(err)
	}
	setAndGet(t, &Tree{fd: fd})
}

func TestSharedProc(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	setAndGet(t, sharedProc())
}

func setAndGet(t *testing.T, tree *Tree) {
	t.Helper()
	defer tree.Close()
	for _, v := range []string{"1", "0", "1"} {
		if err := tree.Set(IPv4, "uplink0", "forwarding", v); err != nil {
			t.Fatal(err)
		}
		if got, err := tree.Get(IPv4, "uplink0", "forwarding"); got != v || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, v)
		}
	}
	if got, _ := tree.Get(IPv4, All, "forwarding"); got != "0" {
		t.Errorf("the namespace's own setting is %q", got)
	}
	if !tree.Has(IPv6, "uplink0", "accept_ra") || tree.Has(IPv6, "nobody", "accept_ra") {
		t.Error("Has is wrong")
	}
	if err := tree.Set(IPv4, "nobody", "forwarding", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such interface: %v", err)
	}
	if _, err := tree.Get(IPv4, "uplink0", "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such setting: %v", err)
	}
}

func TestReadOnlyProc(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	tree := sharedProc()
	defer tree.Close()
	if err := unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := tree.Set(IPv4, "uplink0", "forwarding", "0"); err != nil {
		t.Errorf("it is 0 already: %v", err)
	}
	if err := tree.Set(IPv4, "uplink0", "forwarding", "1"); !errors.Is(err, unix.EROFS) {
		t.Errorf("got %v", err)
	}
}
