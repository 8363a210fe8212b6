// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var alice = Key{Network: "net", ContainerID: "alice", IfName: "eth0"}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T) (*Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a", "state")
	s, err := Open(dir, true)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s, dir
}

func TestNamesDiffer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 199)
	seen := map[string]Key{}
	for _, k := range []Key{
		alice, {"net", "alice", "eth1"}, {"net", "bob", "eth0"}, {"other", "alice", "eth0"},
		{"ne", "talice", "eth0"}, {"net", "aliceeth0", ""}, {"net", long + "a", "eth0"}, {"net", long + "b", "eth0"},
	} {
		name := k.HostIfName()
		if len(name) != 15 || !strings.HasPrefix(name, "em") || strings.ToLower(name) != name {
			t.Errorf("%v: name %q", k, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%v and %v are both %q", k, other, name)
		}
		seen[name] = k
		for _, mac := range []string{k.HostMAC().String(), k.ContainerMAC().String()} {
			if _, ok := seen[mac]; ok {
				t.Errorf("%v: address %s is taken", k, mac)
			}
			seen[mac] = k
		}
		if m := k.HostMAC(); m[0]&3 != 2 {
			t.Errorf("%v: %s is not a local unicast address", k, m)
		}
	}
}

// TestNamesAreForEver: other versions of the program must find what this one
// has made.
func TestNamesAreForEver(t *testing.T) {
	t.Parallel()
	got := []string{alice.HostIfName(), alice.Hash(), alice.HostMAC().String(), alice.ContainerMAC().String(), alice.IfbName(), alice.IfbMAC().String()}
	want := []string{"emkv2slfc8rb5od", "kv2slfc8rb5od29hmpe298igbs", "26:32:2b:24:a2:c0", "2a:52:09:34:64:56", "eikv2slfc8rb5od", "8a:e2:e1:43:3e:86"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSaveLoadRemove(t *testing.T) {
	t.Parallel()
	s, dir := open(t)
	if r, err := s.Load(alice); r != nil || err != nil {
		t.Fatalf("before: %v, %v", r, err)
	}
	want := &Record{
		Key: alice, Phase: Ready, BootID: "b", HostIfName: alice.HostIfName(), Claimed: []netip.Addr{netip.MustParseAddr("10.0.0.2")},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, Labels: map[string]string{"K8S_POD_NAME": "web"},
	}
	must(t, s.Save(want))
	got, err := s.Load(alice)
	must(t, err)
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Error(d)
	}
	all, err := s.List("net")
	must(t, err)
	other, err := s.List("ne")
	must(t, err)
	if len(all) != 1 || len(other) != 0 {
		t.Errorf("List: %v, %v", all, other)
	}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		info, ierr := d.Info()
		if want := fs.FileMode(0o600); ierr == nil && !d.IsDir() && info.Mode() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if ierr == nil && d.IsDir() && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
	must(t, s.Remove(alice))
	must(t, s.Remove(alice))
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	mustBe := func(want bool) {
		t.Helper()
		if got, err := s.Empty(); got != want || err != nil {
			t.Errorf("Empty: %v, %v; want %v", got, err, want)
		}
	}
	mustBe(true)
	must(t, s.NoteSysctl(SysctlChange{Interface: "eth0"})) // no record
	lock, err := s.LockKey(alice, 0)
	must(t, err)
	lock.Unlock()
	mustBe(true)
	must(t, s.Save(&Record{Key: alice}))
	mustBe(false)
	must(t, s.Remove(alice))
	mustBe(true)
}

func TestTheLastWholeLineCounts(t *testing.T) {
	t.Parallel()
	s, dir := open(t)
	r := &Record{Key: alice, Phase: Claiming, HostIfIndex: 1}
	if err := s.Update(r); err == nil {
		t.Error("a record that was never saved is updated")
	}
	must(t, s.Save(r))
	r.Phase, r.HostIfIndex = Ready, 2
	must(t, s.Update(r))
	if got, err := s.Load(alice); err != nil || got == nil || got.HostIfIndex != 2 {
		t.Errorf("after the update: %+v, %v", got, err)
	}
	path := filepath.Join(dir, fileName(alice))
	raw, err := os.ReadFile(path)
	must(t, err)
	for cut := len(raw) - 2; cut > len(raw)/2+10; cut-- { // in the second line
		must(t, os.WriteFile(path, raw[:cut], 0o600))
		if got, err := s.Load(alice); err != nil || got == nil || got.HostIfIndex != 1 {
			t.Fatalf("torn at %d of %d: %+v, %v", cut, len(raw), got, err)
		}
	}
}

func TestTornRecordIsNoRecord(t *testing.T) {
	t.Parallel()
	s, dir := open(t)
	bob := Key{"net", "bob", "eth0"}
	must(t, s.Save(&Record{Key: bob}))
	foreign, err := os.ReadFile(filepath.Join(dir, fileName(bob)))
	must(t, err)
	for name, content := range map[string]string{
		"empty": "", "torn": `{"version":1,"key`, "NULs": strings.Repeat("\x00", 100), "other version": `{"version":99}`, "bob's": string(foreign),
	} {
		must(t, os.WriteFile(filepath.Join(dir, fileName(alice)), []byte(content), 0o600))
		if r, err := s.Load(alice); r != nil || err != nil {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if all, err := s.List(""); len(all) != 1 || err != nil {
			t.Errorf("%s: List: %v, %v", name, all, err)
		}
	}
	must(t, s.Save(&Record{Key: alice}))
	if r, _ := s.Load(alice); r == nil {
		t.Error("a torn record was not replaced")
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	s, dir := open(t)
	canary := filepath.Join(t.TempDir(), "canary")
	must(t, os.WriteFile(canary, []byte("canary"), 0o600))
	must(t, os.Symlink(canary, filepath.Join(dir, fileName(alice))))
	must(t, os.Symlink(canary, filepath.Join(dir, tempName(fileName(alice)))))
	if r, err := s.Load(alice); r != nil || err != nil {
		t.Errorf("Load: %v, %v", r, err)
	}
	if err := s.Save(&Record{Key: alice}); err == nil {
		t.Error("Save wrote through a link")
	}
	must(t, os.Symlink(canary, filepath.Join(dir, lockFile)))
	if _, err := s.LockKey(alice, 0); err == nil {
		t.Error("the lock is a link")
	}
	if raw, _ := os.ReadFile(canary); string(raw) != "canary" {
		t.Errorf("canary: %q", raw)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	loose := filepath.Join(dir, "loose")
	must(t, os.Mkdir(loose, 0o700))
	must(t, os.Chmod(loose, 0o777))
	if _, err := Open(loose, true); err == nil {
		t.Error("a directory that everybody can write to")
	}
	must(t, os.Symlink(t.TempDir(), filepath.Join(dir, "link")))
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, name := range []string{"link", "file"} {
		if _, err := Open(filepath.Join(dir, name), true); err == nil || !strings.Contains(err.Error(), "put a directory there, not a symbolic link or a file") {
			t.Errorf("a %s: %v", name, err)
		}
	}
}

func TestLocks(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	held, err := s.LockKey(alice, 0)
	must(t, err)
	if _, err := s.LockKey(alice, time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	other, err := s.LockKey(Key{"net", "bob", "eth0"}, 0)
	must(t, err)
	other.Unlock()
	shared, err := s.LockShared("shared", 0)
	must(t, err)
	shared.Unlock()
	held.Unlock()
	again, err := s.LockKey(alice, 0)
	must(t, err)
	again.Unlock()
}

func TestSysctlsAreRememberedOnce(t *testing.T) {
	t.Parallel()
	s, _ := open(t)
	if s.HasSysctls() {
		t.Error("there is a list before the first note")
	}
	c := SysctlChange{Family: "ipv4", Interface: "eth0", Key: "forwarding", Was: "0", Set: "1"}
	must(t, s.NoteSysctl(c))
	c.Was = "1" // what it is by now
	must(t, s.NoteSysctl(c))
	got, err := s.Sysctls()
	must(t, err)
	if len(got) != 1 || got[0].Was != "0" || !s.HasSysctls() {
		t.Errorf("got %+v", got)
	}
	if all, err := s.List(""); len(all) != 0 || err != nil {
		t.Errorf("the list counts as a record: %v, %v", all, err)
	}
	must(t, s.ForgetSysctls())
	must(t, s.ForgetSysctls())
	if s.HasSysctls() {
		t.Error("the list is still there")
	}
}

func TestLack(t *testing.T) {
	s, _ := open(t)
	lacks := func(feature, version string) string {
		why, lacks := s.Lacks(feature, version)
		if !lacks {
			return "no"
		}
		return why
	}
	if lacks("wings", "1") != "no" {
		t.Error("lacks before it was tried")
	}
	must(t, s.NoteLack("wings", "1", "too\nheavy"))
	if lacks("wings", "1") != "too\nheavy" || lacks("wings", "2") != "no" || lacks("gills", "1") != "no" {
		t.Error("want what was noted, and nothing else")
	}
	if none, err := s.Empty(); !none || err != nil {
		t.Errorf("it counts as an attachment: %v", err)
	}
	must(t, s.ForgetLack("wings"))
	must(t, s.ForgetLack("wings"))
	if lacks("wings", "1") != "no" {
		t.Error("it was forgotten")
	}
}
