// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/state"
)

// netAddrs lets cmp compare netip values, whose fields are hidden.
var netAddrs = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// office is a network with its own data directory, and the place where named
// containers ask for addresses.
type office struct {
	t       *testing.T
	dataDir string
	ipam    map[string]any
}

const officeName = "office"

func newOffice(t *testing.T, ipam map[string]any) *office {
	t.Helper()
	// Not t.TempDir itself: it is 0777 before the umask, and its parent is /tmp.
	dataDir := filepath.Join(t.TempDir(), "networks")
	conf := map[string]any{"type": "host-local", "dataDir": dataDir}
	for k, v := range ipam {
		conf[k] = v
	}
	return &office{t: t, dataDir: dataDir, ipam: conf}
}

// subnet makes an office with one range.
func subnet(t *testing.T, prefix string) *office {
	t.Helper()
	return newOffice(t, map[string]any{"subnet": prefix})
}

func (o *office) dir() string { return filepath.Join(o.dataDir, officeName) }

// request is one of container who on eth0.
func (o *office) request(who string) Request {
	o.t.Helper()
	raw, err := json.Marshal(o.ipam)
	if err != nil {
		o.t.Fatal(err)
	}
	return Request{
		Key:        state.Key{Network: officeName, ContainerID: who, IfName: "eth0"},
		CNIVersion: "1.1.0",
		IPAM:       raw,
	}
}

func (o *office) manager(who string) Manager {
	o.t.Helper()
	return mustNew(o.t, o.request(who))
}

func mustNew(t *testing.T, r Request) Manager {
	t.Helper()
	m, err := New(r)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return m
}

// mustAdd returns the addresses that who gets.
func (o *office) mustAdd(who string, h Hooks) []netip.Addr {
	o.t.Helper()
	return mustAdd(o.t, o.manager(who), h)
}

func mustAdd(t *testing.T, m Manager, h Hooks) []netip.Addr {
	t.Helper()
	result, err := m.Add(t.Context(), h)
	if err != nil {
		t.Fatalf("Add: %v", err)
	}
	return addrsOf(result)
}

func (o *office) mustDel(who string, known *Claim) {
	o.t.Helper()
	if err := o.manager(who).Del(o.t.Context(), known); err != nil {
		o.t.Fatalf("Del of %s: %v", who, err)
	}
}

func addrsOf(r *cniproto.Result) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range r.IPs {
		addrs = append(addrs, ip.Address.Addr())
	}
	return addrs
}

func addrs(text ...string) []netip.Addr {
	var as []netip.Addr
	for _, s := range text {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

// write puts a file into the directory as somebody else would.
func (o *office) write(name, content string) {
	o.t.Helper()
	if err := os.MkdirAll(o.dir(), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.dir(), name), []byte(content), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// held returns the content of each file that is named like an address, and
// fails on a temporary file left behind.
func (o *office) held() map[string]string {
	o.t.Helper()
	entries, err := os.ReadDir(o.dir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		o.t.Fatal(err)
	}
	held := map[string]string{}
	for _, e := range entries {
		if e.Name() == tempName {
			o.t.Errorf("%s is left behind", tempName)
		}
		if _, err := netip.ParseAddr(e.Name()); err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(o.dir(), e.Name()))
		if err != nil {
			o.t.Fatal(err)
		}
		held[e.Name()] = string(data)
	}
	return held
}

func (o *office) wantHeld(want map[string]string) {
	o.t.Helper()
	if diff := cmp.Diff(want, o.held()); diff != "" {
		o.t.Errorf("reservations (-want +got):\n%s", diff)
	}
}

func wantAddrs(t *testing.T, got []netip.Addr, want ...string) {
	t.Helper()
	if !slices.Equal(got, addrs(want...)) {
		t.Errorf("addresses %v, want %v", got, want)
	}
}

// wantError checks the code, and that the message holds each text.
func wantError(t *testing.T, err error, code cniproto.Code, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want code %d with %q", code, texts)
	}
	if got := cniproto.AsError(err).Code; got != code {
		t.Errorf("code %d, want %d: %v", got, code, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not name %q", err, text)
		}
	}
}
