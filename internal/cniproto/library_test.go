// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func ptr[T any](v T) *T { return &v }

func ipNet(t *testing.T, s string) net.IPNet {
	t.Helper()
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		t.Fatal(err)
	}
	if v4 := ip.To4(); v4 != nil {
		ip = v4
	}
	return net.IPNet{IP: ip, Mask: n.Mask}
}

// rich uses every field that 1.1.0 has; one address of each family, so that
// 0.2.0 can say it too.
func rich() *Result {
	return &Result{
		CNIVersion: "1.1.0",
		Interfaces: []Interface{
			{Name: "emerita0", Mac: "02:00:00:00:00:01"},
			{Name: "eth0", Mac: "02:00:00:00:00:02", MTU: 1400, Sandbox: "/run/netns/a", SocketPath: "/s", PciID: "0000:01:02.3"},
		},
		IPs: []IPConfig{
			{Interface: ptr(1), Address: netip.MustParsePrefix("10.1.2.3/24"), Gateway: netip.MustParseAddr("10.1.2.1")},
			{Interface: ptr(1), Address: netip.MustParsePrefix("fd00::3/64"), Gateway: netip.MustParseAddr("fd00::1")},
		},
		Routes: []Route{
			{Dst: netip.MustParsePrefix("0.0.0.0/0"), GW: netip.MustParseAddr("10.1.2.1"), MTU: 1300, AdvMSS: 1200, Priority: 7, Table: ptr(100), Scope: ptr(0)},
			{Dst: netip.MustParsePrefix("::/0"), GW: netip.MustParseAddr("fd00::1")},
		},
		DNS: DNS{Nameservers: []string{"10.0.0.53"}, Domain: "d", Search: []string{"s"}, Options: []string{"o"}},
	}
}

// richInLibrary is the same in the library's words.
func richInLibrary(t *testing.T) *types100.Result {
	return &types100.Result{
		CNIVersion: "1.1.0",
		Interfaces: []*types100.Interface{
			{Name: "emerita0", Mac: "02:00:00:00:00:01"},
			{Name: "eth0", Mac: "02:00:00:00:00:02", Mtu: 1400, Sandbox: "/run/netns/a", SocketPath: "/s", PciID: "0000:01:02.3"},
		},
		IPs: []*types100.IPConfig{
			{Interface: ptr(1), Address: ipNet(t, "10.1.2.3/24"), Gateway: net.ParseIP("10.1.2.1")},
			{Interface: ptr(1), Address: ipNet(t, "fd00::3/64"), Gateway: net.ParseIP("fd00::1")},
		},
		Routes: []*types.Route{
			{Dst: ipNet(t, "0.0.0.0/0"), GW: net.ParseIP("10.1.2.1"), MTU: 1300, AdvMSS: 1200, Priority: 7, Table: ptr(100), Scope: ptr(0)},
			{Dst: ipNet(t, "::/0"), GW: net.ParseIP("fd00::1")},
		},
		DNS: types.DNS{Nameservers: []string{"10.0.0.53"}, Domain: "d", Search: []string{"s"}, Options: []string{"o"}},
	}
}

func decoded(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return v
}

// strip11 removes what CNI 1.1.0 has added. The library, which has one structure
// for all versions since 1.0.0, prints it in older ones too; Emerita does not.
func strip11(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range []string{"mtu", "socketPath", "pciID", "advmss", "priority", "table", "scope"} {
			delete(v, k)
		}
		for _, member := range v {
			strip11(member)
		}
	case []any:
		for _, member := range v {
			strip11(member)
		}
	}
}

// TestVersionsAreTheLibrarys: the list is the reference implementation's.
func TestVersionsAreTheLibrarys(t *testing.T) {
	t.Parallel()
	if d := cmp.Diff(version.All.SupportedVersions(), SupportedVersions()); d != "" {
		t.Error(d)
	}
	if Current != version.Current() {
		t.Errorf("Current is %s, the library's %s", Current, version.Current())
	}
}

// TestEncodeAsTheLibrary compares what both print in each version.
func TestEncodeAsTheLibrary(t *testing.T) {
	t.Parallel()
	for _, v := range SupportedVersions() {
		theirs, err := richInLibrary(t).GetAsVersion(v)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := EncodeResult(&got, rich(), v); err != nil {
			t.Fatal(err)
		}
		expected := decoded(t, want)
		if v != "1.1.0" {
			strip11(expected)
		}
		if d := cmp.Diff(expected, decoded(t, got.Bytes())); d != "" {
			t.Errorf("%s: -library +ours\n%s", v, d)
		}
		if !bytes.HasPrefix(got.Bytes(), []byte("{\n    \"cniVersion\"")) || !bytes.HasSuffix(got.Bytes(), []byte("}\n")) {
			t.Errorf("%s: layout: %q", v, got.String())
		}
	}
}

// TestDecodeAsTheLibrary reads what the library prints in each version, and
// compares with what the library itself makes of it in 1.1.0.
func TestDecodeAsTheLibrary(t *testing.T) {
	t.Parallel()
	for _, v := range SupportedVersions() {
		theirs, err := richInLibrary(t).GetAsVersion(v)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(theirs)
		if err != nil {
			t.Fatal(err)
		}
		back, err := create.Create(v, raw)
		if err != nil {
			t.Fatal(err)
		}
		newest, err := back.GetAsVersion("1.1.0")
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(newest)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := DecodeResult(raw, v)
		if err != nil {
			t.Fatalf("%s: %v", v, err)
		}
		if ours.CNIVersion != v {
			t.Errorf("%s: decoded as %s", v, ours.CNIVersion)
		}
		var got bytes.Buffer
		if err := EncodeResult(&got, ours, "1.1.0"); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(decoded(t, want), decoded(t, got.Bytes())); d != "" {
			t.Errorf("%s: -library +ours\n%s", v, d)
		}
	}
}

// TestArgsAsTheLibrary: the same texts are good and bad.
func TestArgsAsTheLibrary(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "IgnoreUnknown=1", "IgnoreUnknown=true;FOO=bar", "FOO=bar", "IgnoreUnknown=0;FOO=bar", "IgnoreUnknown=maybe",
		"FOO", "IgnoreUnknown=1;FOO", "IP=10.0.0.1", "MAC=02:00:00:00:00:01;IP=10.0.0.1", "FOO=a;IgnoreUnknown=1",
	} {
		var theirs struct {
			types.CommonArgs
			IP, MAC types.UnmarshallableString
		}
		want := types.LoadArgs(text, &theirs)
		got, err := ParseArgs(text)
		if (want == nil) != (err == nil) {
			t.Errorf("%q: library %v, ours %v", text, want, err)
		}
		if err == nil && len(got.IP) > 0 && got.IP[0] != string(theirs.IP) {
			t.Errorf("%q: IP %q, library %q", text, got.IP, theirs.IP)
		}
	}
}

// TestErrorAsTheLibrary: the library reads what Encode writes.
func TestErrorAsTheLibrary(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := Errorf(CodeTryAgain, "a \xff <msg>", "some %s", "details").Encode(&b, "1.0.0"); err != nil {
		t.Fatal(err)
	}
	var got types.Error
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := types.Error{Code: types.ErrTryAgainLater, Msg: "a \ufffd <msg>", Details: "some details"}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	if v := decoded(t, b.Bytes()).(map[string]any)["cniVersion"]; v != "1.0.0" {
		t.Errorf("cniVersion %v", v)
	}
}
