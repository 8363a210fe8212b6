// SPDX-License-Identifier: MIT OR Apache-2.0

package sysctl_test

import (
	"errors"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/sysctl"
	"github.com/emerita-cni/emerita/internal/testutil"
)

func TestSetAndGet(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	for _, v := range []string{"1", "0", "1"} {
		if err := sysctl.Set(sysctl.IPv4, "uplink0", "forwarding", v); err != nil {
			t.Fatal(err)
		}
		if got, err := sysctl.Get(sysctl.IPv4, "uplink0", "forwarding"); got != v || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, v)
		}
	}
	if got, _ := sysctl.Get(sysctl.IPv4, sysctl.All, "forwarding"); got != "0" {
		t.Errorf("the namespace's own setting is %q", got)
	}
	if !sysctl.Has(sysctl.IPv6, "uplink0", "accept_ra") || sysctl.Has(sysctl.IPv6, "nobody", "accept_ra") {
		t.Error("Has is wrong")
	}
	if err := sysctl.Set(sysctl.IPv4, "nobody", "forwarding", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such interface: %v", err)
	}
	if _, err := sysctl.Get(sysctl.IPv4, "uplink0", "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such setting: %v", err)
	}
}

func TestReadOnlyProc(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	if err := unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := sysctl.Set(sysctl.IPv4, "uplink0", "forwarding", "0"); err != nil {
		t.Errorf("it is 0 already: %v", err)
	}
	if err := sysctl.Set(sysctl.IPv4, "uplink0", "forwarding", "1"); !errors.Is(err, unix.EROFS) {
		t.Errorf("got %v", err)
	}
}
