// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"testing"

	"github.com/containernetworking/cni/pkg/types/create"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestFormsAsTheLibrary converts results from each version to each version, by
// way of Result and by the library.
func TestFormsAsTheLibrary(t *testing.T) {
	t.Parallel()
	rich := `"interfaces":[{"name":"em0","mac":"02:00:00:00:00:01"},{"name":"eth0","sandbox":"/run/netns/a","mtu":1400,"socketPath":"/s","pciID":"p"}],
		"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1","mtu":1300,"table":100,"scope":0,"priority":5,"advmss":1200},{"dst":"10.9.0.5/16"},{"dst":"fd01::/64"}],
		"dns":{"nameservers":["10.0.0.53"],"domain":"d","search":["s"],"options":["o"]}`
	v4 := `{"version":"4","address":"10.0.0.2/24","gateway":"10.0.0.1","interface":1}`
	v6 := `{"version":"6","address":"fd00::2/64","interface":1}`
	inNew := map[string]string{
		"dual stack":        `,` + rich + `,"ips":[` + v4 + `,` + v6 + `]`,
		"IPv6 before IPv4":  `,` + rich + `,"ips":[` + v6 + `,` + v4 + `]`,
		"IPv4":              `,` + rich + `,"ips":[` + v4 + `]`,
		"an address, only":  `,"ips":[{"version":"6","address":"fd00::2/64"}]`,
		"mapped addresses":  `,"ips":[{"version":"4","address":"::ffff:10.0.0.2/120","gateway":"::ffff:10.0.0.1"}],"routes":[{"dst":"::ffff:10.0.0.0/104"}]`,
		"routes, no family": `,"ips":[{"version":"6","address":"fd00::2/64"}],"routes":[{"dst":"10.0.0.0/8"}]`,
	}
	inOld := map[string]string{
		"dual stack": `,"ip4":{"ip":"10.0.0.2/24","gateway":"10.0.0.1","routes":[{"dst":"0.0.0.0/0"},{"dst":"10.9.0.5/16","gw":"10.0.0.9"}]},
			"ip6":{"ip":"fd00::2/64","routes":[{"dst":"::/0","gw":"fd00::1"}]},"dns":{"domain":"d"}`,
		"IPv6": `,"ip6":{"ip":"fd00::2/64"}`,
	}
	for _, from := range SupportedVersions() {
		inputs := inNew
		if !AtLeast(from, "0.3.0") {
			inputs = inOld
		}
		for name, members := range inputs {
			raw := validIn(t, from, `{"cniVersion":"`+from+`"`+members+`}`)
			ours, err := DecodeResult(raw, "")
			if err != nil {
				t.Errorf("%s of %s: %v", name, from, err)
				continue
			}
			for _, to := range SupportedVersions() {
				if d := cmp.Diff(byLibrary(t, from, to, raw), encoded(t, ours, to)); d != "" {
					t.Errorf("%s, from %s to %s: -library +ours\n%s", name, from, to, d)
				}
			}
		}
	}
}

// validIn takes what 1.1.0 has added from a result of an older version.
func validIn(t *testing.T, version, text string) []byte {
	t.Helper()
	object := decoded(t, []byte(text))
	if version != "1.1.0" {
		strip11(object)
	}
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// byLibrary converts a result, and takes away what the library says beyond the
// version: an empty dns, and members of 1.1.0.
func byLibrary(t *testing.T, from, to string, raw []byte) any {
	t.Helper()
	r, err := create.Create(from, raw)
	if err == nil {
		r, err = r.GetAsVersion(to)
	}
	if err != nil {
		t.Fatalf("from %s to %s: %v", from, to, err)
	}
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	object := decoded(t, out).(map[string]any)
	if dns, ok := object["dns"].(map[string]any); ok && len(dns) == 0 {
		delete(object, "dns")
	}
	if to != "1.1.0" {
		strip11(object)
	}
	return object
}

func encoded(t *testing.T, r *Result, version string) any {
	t.Helper()
	var b bytes.Buffer
	if err := EncodeResult(&b, r, version); err != nil {
		t.Fatalf("%s: %v", version, err)
	}
	return decoded(t, b.Bytes())
}

func TestEncodeResultLeavesItsInput(t *testing.T) {
	t.Parallel()
	r := rich()
	for _, v := range SupportedVersions() {
		encoded(t, r, v)
	}
	if d := cmp.Diff(rich(), r, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Error(d)
	}
}

func TestEncodeResultRefuses(t *testing.T) {
	t.Parallel()
	noAddress, noPrefix, noDst := rich(), rich(), rich()
	noAddress.IPs = nil
	noPrefix.IPs[0].Address = netip.Prefix{}
	noDst.Routes[1].Dst = netip.Prefix{}
	for name, tt := range map[string]struct {
		result  *Result
		version string
		code    Code
		word    string
	}{
		"no address in 0.1.0":    {noAddress, "0.1.0", CodeIncompatibleVersion, "0.3.0"},
		"no address, no version": {noAddress, "", CodeIncompatibleVersion, "0.3.0"},
		"no address in 0.3.0":    {noAddress, "0.3.0", 0, ""},
		"unknown version":        {rich(), "0.5.0", CodeIncompatibleVersion, "0.5.0"},
		"invalid address":        {noPrefix, "1.0.0", CodeInternal, "ips[0]"},
		"invalid destination":    {noDst, "0.4.0", CodeInternal, "routes[1]"},
	} {
		mustCode(t, name, EncodeResult(new(bytes.Buffer), tt.result, tt.version), tt.code, tt.word)
	}
}

// brokenPipe counts the calls that it refuses.
type brokenPipe int

func (b *brokenPipe) Write([]byte) (int, error) {
	*b++
	return 0, errors.New("broken pipe")
}

func TestEncodeWritesOnce(t *testing.T) {
	t.Parallel()
	var w brokenPipe
	mustCode(t, "result", EncodeResult(&w, rich(), Current), CodeIO, "broken pipe")
	mustCode(t, "error", Errorf(CodeIO, "m", "d").Encode(&w, ""), CodeIO, "broken pipe")
	if w != 2 {
		t.Errorf("%d writes for 2 documents", w)
	}
}

func TestDecodeResultIsTolerant(t *testing.T) {
	t.Parallel()
	one := 1
	for name, tt := range map[string]struct {
		raw, version string
		want         *Result
	}{
		"nothing, no version":  {`{}`, "", &Result{CNIVersion: "0.1.0"}},
		"nulls of 0.2.0":       {`{"cniVersion":"0.2.0","ip4":null,"ip6":{"ip":"fd00::2/64","gateway":null,"routes":null}}`, "1.1.0", &Result{CNIVersion: "0.2.0", IPs: []IPConfig{{Address: netip.MustParsePrefix("fd00::2/64")}}}},
		"nulls within":         {`{"interfaces":[{"name":"a","mac":null,"mtu":null}],"ips":[{"address":"10.0.0.2/24","gateway":null,"interface":null,"version":null}]}`, "1.0.0", &Result{CNIVersion: "1.0.0", Interfaces: []Interface{{Name: "a"}}, IPs: []IPConfig{{Address: netip.MustParsePrefix("10.0.0.2/24")}}}},
		"version null":         {`{"cniVersion":null,"ips":null}`, "0.4.0", &Result{CNIVersion: "0.4.0"}},
		"IPAM with an index":   {`{"ips":[{"address":"10.0.0.2/24","interface":0}]}`, "1.0.0", &Result{CNIVersion: "1.0.0", IPs: []IPConfig{{Address: netip.MustParsePrefix("10.0.0.2/24")}}}},
		"an index":             {`{"interfaces":[{"name":"a"},{"name":"b"}],"ips":[{"address":"10.0.0.2/24","interface":1}]}`, "1.0.0", &Result{CNIVersion: "1.0.0", Interfaces: []Interface{{Name: "a"}, {Name: "b"}}, IPs: []IPConfig{{Interface: &one, Address: netip.MustParsePrefix("10.0.0.2/24")}}}},
		"empty gateway":        {`{"ips":[{"address":"10.0.0.2/24","gateway":""}]}`, "1.0.0", &Result{CNIVersion: "1.0.0", IPs: []IPConfig{{Address: netip.MustParsePrefix("10.0.0.2/24")}}}},
		"ip4 is no word since": {`{"ip4":{"ip":"10.0.0.2/24"},"unknown":1}`, "1.0.0", &Result{CNIVersion: "1.0.0"}},
	} {
		got, err := DecodeResult([]byte(tt.raw), tt.version)
		mustCode(t, name, err, 0)
		if d := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
