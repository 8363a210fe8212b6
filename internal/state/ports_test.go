// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func hostPort(protocol, host string) Port {
	h := netip.MustParseAddrPort(host)
	return Port{Protocol: protocol, HostIP: h.Addr(), HostPort: h.Port()}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestClaims: a port at every address is a port at each of them, of its family.
func TestClaims(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	if d, err := OpenPorts(dir, false); d != nil || err != nil {
		t.Errorf("before anybody claims: %v, %v", d, err)
	}
	d, err := OpenPorts(dir, true)
	mustDo(t, err)
	defer func() { d.Close() }()
	again := func() { // what is known is only of this call
		t.Helper()
		mustDo(t, d.Close())
		d, err = OpenPorts(dir, true)
		mustDo(t, err)
	}
	a, b := Key{"net", "a", "eth0"}, Key{"net", "b", "eth0"}
	holders := func(p Port, but Key) (out []string) {
		t.Helper()
		claims, err := d.Others(p, but)
		mustDo(t, err)
		for _, c := range claims {
			out = append(out, c.HostIP.String())
		}
		return out
	}
	one, other, every, six := hostPort("tcp", "192.0.2.1:80"), hostPort("tcp", "192.0.2.2:80"), hostPort("tcp", "0.0.0.0:80"), hostPort("tcp", "[::]:80")
	mustDo(t, d.Claim(one, a))
	mustDo(t, d.Claim(other, b))
	again()
	for _, test := range []struct {
		port Port
		who  Key
		want []string
	}{
		{one, a, nil}, {one, b, []string{"192.0.2.1"}}, {other, a, []string{"192.0.2.2"}},
		{every, a, []string{"192.0.2.2"}}, {every, Key{"net", "c", "eth0"}, []string{"192.0.2.2", "192.0.2.1"}},
		{six, a, nil}, {hostPort("udp", "0.0.0.0:80"), a, nil}, {hostPort("tcp", "0.0.0.0:81"), a, nil},
	} {
		if got := holders(test.port, test.who); !slices.Equal(got, test.want) {
			t.Errorf("%s for %s: held at %v, want %v", test.port, test.who, got, test.want)
		}
	}
	// What is taken over is nobody else's, and a late release takes nothing.
	mustDo(t, d.Claim(every, b))
	again()
	if got := holders(one, a); !slices.Equal(got, []string{"0.0.0.0"}) {
		t.Errorf("after the claim of every address: %v", got)
	}
	mustDo(t, d.Release(one, a))
	again()
	if has, err := d.Has(every, b); !has || err != nil {
		t.Errorf("b has lost its claim: %v", err)
	}
	// What somebody else has put there does not count, and is no hindrance; nor what a
	// killed call has left.
	mustDo(t, os.WriteFile(filepath.Join(dir, "ports", "tcp-81"), []byte("x"), 0o600))
	mustDo(t, os.Symlink("x", filepath.Join(dir, "ports", ".tcp-81")))
	if got := holders(hostPort("tcp", "0.0.0.0:81"), a); got != nil {
		t.Errorf("a file counts: %v", got)
	}
	mustDo(t, d.Claim(hostPort("tcp", "0.0.0.0:81"), a))
	again()
	if has, err := d.Has(hostPort("tcp", "0.0.0.0:81"), a); !has || err != nil {
		t.Errorf("the claim over a file: %v, %v", has, err)
	}
	mustDo(t, d.Release(hostPort("tcp", "0.0.0.0:81"), a))
	mustDo(t, d.Release(every, b))
	mustDo(t, ForgetPorts(dir))
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}

// TestPortsOfOthers: a directory that others may write to is none of ours.
func TestPortsOfOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	mustDo(t, os.MkdirAll(filepath.Join(dir, "ports"), 0o777))
	mustDo(t, os.Chmod(filepath.Join(dir, "ports"), 0o777))
	if _, err := OpenPorts(dir, true); err == nil {
		t.Error("a directory is trusted that everybody may write to")
	}
	mustDo(t, os.Remove(filepath.Join(dir, "ports")))
	mustDo(t, os.Symlink("/tmp", filepath.Join(dir, "ports")))
	if _, err := OpenPorts(dir, true); err == nil {
		t.Error("a symbolic link is followed")
	}
	mustDo(t, os.Remove(filepath.Join(dir, "ports")))
	mustDo(t, os.Chmod(dir, 0o777))
	for _, create := range []bool{false, true} {
		if _, err := OpenPorts(dir, create); err == nil || !strings.Contains(err.Error(), "chmod 0700") {
			t.Errorf("a directory in which everybody could put another one: %v", err)
		}
	}
	mustDo(t, os.Remove(dir))
	mustDo(t, os.WriteFile(dir, nil, 0o600))
	for _, create := range []bool{false, true} {
		if _, err := OpenPorts(dir, create); err == nil || !strings.Contains(err.Error(), "put a directory there") {
			t.Errorf("a file: %v", err)
		}
	}
}

func TestByNameReadsRecordsOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustDo(t, os.Chmod(dir, 0o700))
	s, err := Open(dir, true)
	mustDo(t, err)
	defer s.Close()
	k := Key{"net", "a", "eth0"}
	mustDo(t, s.Save(&Record{Key: k, Phase: Ready}))
	if r, err := s.ByName(fileName(k)); r == nil || r.Key != k || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	for _, name := range []string{"", "../" + filepath.Base(dir) + "/" + fileName(k), "lock", "net@x.json"} {
		if r, err := s.ByName(name); r != nil || err != nil {
			t.Errorf("%q: %v, %v", name, r, err)
		}
	}
}
