// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

func wantEqual[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, netAddrs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAddGivesAddressRoutesAndDNS(t *testing.T) {
	t.Parallel()
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 192.0.2.53\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, map[string]any{
		"ranges":     [][]map[string]string{{{"subnet": "10.0.0.0/24"}}, {{"subnet": "fd00::/64", "gateway": "fd00::ff"}}},
		"resolvConf": resolv,
		"routes": []map[string]any{
			{"dst": "0.0.0.0/0"},
			{"dst": "fd01::/16", "gw": "fd00::9", "mtu": 1400, "advmss": 1300, "priority": 5, "table": 7, "scope": 0},
		},
	})
	result, err := o.manager("ann").Add(t.Context(), Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	table, scope := 7, 0
	wantEqual(t, result, &cniproto.Result{
		IPs: []cniproto.IPConfig{
			{Address: netip.MustParsePrefix("10.0.0.2/24"), Gateway: netip.MustParseAddr("10.0.0.1")},
			{Address: netip.MustParsePrefix("fd00::1/64"), Gateway: netip.MustParseAddr("fd00::ff")},
		},
		Routes: []cniproto.Route{
			{Dst: netip.MustParsePrefix("0.0.0.0/0")},
			{Dst: netip.MustParsePrefix("fd01::/16"), GW: netip.MustParseAddr("fd00::9"), MTU: 1400, AdvMSS: 1300, Priority: 5, Table: &table, Scope: &scope},
		},
		DNS: cniproto.DNS{Nameservers: []string{"192.0.2.53"}},
	})
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0", "fd00::1": "ann\r\neth0"})
	for i, want := range []string{"10.0.0.2", "fd00::1"} {
		got, err := os.ReadFile(filepath.Join(o.dir(), cursorName(i)))
		if err != nil || string(got) != want {
			t.Errorf("last_reserved_ip.%d: %q, %v, want %q", i, got, err, want)
		}
	}
	for _, dir := range []string{o.dataDir, o.dir()} {
		if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v, want mode 0700", dir, fi.Mode(), err)
		}
	}
}

func TestMissingResolvConfClaimsNothing(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]any{"subnet": "10.0.0.0/24", "resolvConf": "/nonexistent/resolv.conf"})
	_, err := o.manager("ann").Add(t.Context(), Hooks{})
	wantError(t, err, cniproto.CodeInvalidConfig, `resolvConf "/nonexistent/resolv.conf": no such file or directory: put a file there, or leave the key out`)
	if _, err := os.Stat(o.dataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dataDir was made: %v", err)
	}
	o.mustDel("ann", nil) // DEL does not need the file
}

func TestOverlongResolvConf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, make([]byte, maxResolvConf+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readResolvConf(path); err == nil {
		t.Error("no error")
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readResolvConf(fifo); err == nil {
		t.Error("no error for a FIFO")
	}
}

func TestRoundRobinDoesNotReuseAtOnce(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29") // 2-6
	for _, want := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3"} {
		got := o.mustAdd("ann", Hooks{})
		wantAddrs(t, got, want)
		o.mustDel("ann", &Claim{Dir: o.dir(), Addrs: got})
	}
}

func TestRoundRobinSurvivesBadCursor(t *testing.T) {
	t.Parallel()
	for _, cursor := range []string{"", "garbage", "\x00\x00\x00", "192.0.2.1", "fd00::1"} {
		o := subnet(t, "10.0.0.0/29")
		o.write(cursorName(0), cursor)
		wantAddrs(t, o.mustAdd("ann", Hooks{}), "10.0.0.2")
	}
}

func TestRequestedAddresses(t *testing.T) {
	t.Parallel()
	dual := map[string]any{"ranges": [][]map[string]string{{{"subnet": "10.0.0.0/24"}, {"subnet": "10.0.1.0/24"}}, {{"subnet": "fd00::/64"}}}}
	for _, test := range []struct {
		name                 string
		env, args, runtime   []string
		want                 []string
		code                 cniproto.Code
		text                 string
		runtimeRanges        string
		occupied, occupiedBy string
	}{
		{name: "none", want: []string{"10.0.0.2", "fd00::2"}},
		{name: "environment", env: []string{"10.0.1.9"}, want: []string{"10.0.1.9", "fd00::2"}},
		{name: "all sources together", env: []string{"10.0.1.9"}, runtime: []string{"fd00::9/64"}, want: []string{"10.0.1.9", "fd00::9"}},
		{name: "twice the same", args: []string{"fd00::9"}, runtime: []string{"fd00::9/64"}, want: []string{"10.0.0.2", "fd00::9"}},
		{name: "list in environment", env: []string{"10.0.1.9, fd00::9"}, want: []string{"10.0.1.9", "fd00::9"}},
		{name: "two in one set", args: []string{"10.0.0.9", "10.0.1.9"}, code: cniproto.CodeInvalidConfig, text: "10.0.1.9"},
		{name: "outside", runtime: []string{"10.0.2.9"}, code: cniproto.CodeInvalidConfig, text: "10.0.2.9"},
		{name: "gateway", runtime: []string{"10.0.1.1"}, code: cniproto.CodeInvalidConfig, text: "gateway"},
		{name: "network's", runtime: []string{"10.0.1.0"}, code: cniproto.CodeInvalidConfig, text: "10.0.1.0"},
		{name: "broadcast", runtime: []string{"10.0.1.255"}, code: cniproto.CodeInvalidConfig, text: "10.0.1.255"},
		{name: "occupied", args: []string{"10.0.0.9"}, occupied: "10.0.0.9", occupiedBy: "bob\r\neth0", code: cniproto.CodeIPAM, text: "bob"},
		{name: "torn", args: []string{"10.0.0.9"}, occupied: "10.0.0.9", occupiedBy: "\x00\x00", want: []string{"10.0.0.9", "fd00::2"}},
		{name: "own from before", args: []string{"10.0.0.9"}, occupied: "10.0.0.9", occupiedBy: "ann\r\neth0", want: []string{"10.0.0.9", "fd00::2"}},
		{name: "runtime's range is first", runtimeRanges: `[[{"subnet":"10.9.0.0/24"}]]`, want: []string{"10.9.0.2", "10.0.0.2", "fd00::2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, dual)
			if test.occupied != "" {
				o.write(test.occupied, test.occupiedBy)
			}
			before := o.held()
			r := o.request("ann")
			r.EnvIP, r.ArgsIPs, r.RuntimeIPs = test.env, test.args, test.runtime
			r.RuntimeRanges = json.RawMessage(test.runtimeRanges)
			result, err := mustNew(t, r).Add(t.Context(), Hooks{})
			if test.code != 0 {
				wantError(t, err, test.code, test.text)
				o.wantHeld(before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantAddrs(t, addrsOf(result), test.want...)
		})
	}
}

func TestPrefer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		prefer []string
		holder string // of 10.0.0.9
		want   string
	}{
		{"free", []string{"10.0.0.9"}, "", "10.0.0.9"},
		{"still own", []string{"10.0.0.9"}, "ann\r\neth0", "10.0.0.9"},
		{"of another interface", []string{"10.0.0.9"}, "ann\r\neth1", "10.0.0.2"},
		{"of another container", []string{"10.0.0.9"}, "bob\r\neth0", "10.0.0.2"},
		{"out of range", []string{"10.0.9.9", "fd00::9"}, "", "10.0.0.2"},
		{"gateway", []string{"10.0.0.1"}, "", "10.0.0.2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := subnet(t, "10.0.0.0/24")
			if test.holder != "" {
				o.write("10.0.0.9", test.holder)
			}
			wantAddrs(t, o.mustAdd("ann", Hooks{Prefer: addrs(test.prefer...)}), test.want)
			if got := o.held()[test.want]; got != "ann\r\neth0" {
				t.Errorf("%s holds %q", test.want, got)
			}
		})
	}
}

func TestClaimingSeesTheClaimBeforeItIsMade(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]any{"ranges": [][]map[string]string{{{"subnet": "10.0.0.0/24"}}, {{"subnet": "fd00::/64"}}}})
	var claims []Claim
	o.mustAdd("ann", Hooks{Claiming: func(c Claim) error {
		claims = append(claims, c)
		o.wantHeld(map[string]string{})
		return nil
	}})
	wantEqual(t, claims, []Claim{{Dir: o.dir(), Addrs: addrs("10.0.0.2", "fd00::2")}})

	stop := errors.New("no space for the record")
	_, err := o.manager("bob").Add(t.Context(), Hooks{Claiming: func(Claim) error { return stop }})
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want %v", err, stop)
	}
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0", "fd00::2": "ann\r\neth0"})
}

// A process that does not honour the lock takes the second address between the
// choice and the claim: the first one is given back.
func TestClaimsAllOrNothing(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]any{"ranges": [][]map[string]string{{{"subnet": "10.0.0.0/24"}}, {{"subnet": "fd00::/64"}}}})
	_, err := o.manager("ann").Add(t.Context(), Hooks{Claiming: func(Claim) error {
		o.write("fd00::2", "mallory\r\neth0")
		return nil
	}})
	wantError(t, err, cniproto.CodeIPAM, "fd00::2", "already reserved")
	o.wantHeld(map[string]string{"fd00::2": "mallory\r\neth0"})
}

func TestCancelledAddClaimsNothing(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/24")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := o.manager("ann").Add(ctx, Hooks{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	o.wantHeld(map[string]string{})
}
