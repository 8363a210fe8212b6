// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// mustBeError fails unless err is nil or an Error that says what was done.
func mustBeError(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if err != nil && (!errors.As(err, &e) || e.Msg == "" || e.Code == 0 || e.Code == CodeInternal) {
		t.Errorf("%#v is not an Error with a code of its own", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		`{"name":"n","cniVersion":"1.1.0","type":"emerita","ipam":{"type":"host-local","subnet":"10.0.0.0/24"}}`,
		`{"name":"n","runtimeConfig":{"ips":["10.0.0.1"],"mac":"m","dns":{"servers":["s"]}},"args":{"cni":{"ips":["i"]}}}`,
		`{"name":"n","cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}],"prevResult":{"ips":[]}}`,
		`{"name":"n","plugins":[{"type":"emerita"}],"cniVersions":["1.0.0"]}`,
		`{"name":5}`, `{"ipam":null,"args":null,"cni.dev/attachments":null}`, `null`, `[]`, ``, ` `, `{`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseConfig(raw)
		mustBeError(t, err)
		if err == nil && (ValidateNetworkName(c.Name) != nil || c.CNIVersion == "" || (c.IPAM == nil) != (c.IPAMType == "")) {
			t.Errorf("accepted: %+v", c)
		}
		if err != nil && c != nil {
			t.Errorf("both a configuration and %v", err)
		}
		selected, err := Select(raw, "")
		mustBeError(t, err)
		if err != nil {
			return
		}
		_, err = InjectPrevResult(selected, []byte(`{"cniVersion":"1.0.0"}`))
		mustBeError(t, err)
	})
}

func FuzzDecodeResult(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1/24","routes":[{"dst":"0.0.0.0/0"}]}}`), "1.0.0")
	f.Add([]byte(`{"ips":[{"address":"::ffff:10.0.0.1/120","gateway":"::ffff:10.0.0.9"}],"routes":[{"dst":"::/0"}]}`), "1.1.0")
	f.Add([]byte(`{"interfaces":[{"name":"eth0"}],"ips":[{"version":"4","address":"10.0.0.1/24","interface":0}],"dns":{"domain":"d"}}`), "0.4.0")
	f.Add([]byte(`{"ips":[{"address":"fe80::1/64","gateway":"fe80::2%eth0"}]}`), "")
	f.Add([]byte(`null`), "1.1.0")
	f.Fuzz(func(t *testing.T, raw []byte, version string) {
		r, err := DecodeResult(raw, version)
		mustBeError(t, err)
		if err != nil {
			return
		}
		for _, v := range SupportedVersions() {
			var b bytes.Buffer
			err := EncodeResult(&b, r, v)
			mustBeError(t, err)
			if err != nil && AtLeast(v, "0.3.0") {
				t.Errorf("%s: %v", v, err)
			}
			if v != Current || !utf8.Valid(raw) {
				continue
			}
			again, err := DecodeResult(b.Bytes(), "")
			if err != nil {
				t.Fatalf("%v: %s", err, b.Bytes())
			}
			again.CNIVersion = r.CNIVersion
			if d := cmp.Diff(r, again, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("after a round trip: %s", d)
			}
		}
	})
}

// allKeys are the known keys as the reference library takes them: as fields.
type allKeys struct {
	types.CommonArgs
	IP, MAC, GATEWAY                                                              types.UnmarshallableString
	K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_INFRA_CONTAINER_ID                   types.UnmarshallableString
	K8S_POD_UID                                                                   types.UnmarshallableString
	NOMAD_REGION, NOMAD_NAMESPACE, NOMAD_JOB_ID, NOMAD_GROUP_NAME, NOMAD_ALLOC_ID types.UnmarshallableString
	NERDCTL_CNI_DHCP_HOSTNAME                                                     types.UnmarshallableString
}

// FuzzParseArgs holds ParseArgs against the reference library.
func FuzzParseArgs(f *testing.F) {
	for _, s := range []string{
		"", ";", "=", "=x", "A", "A=", "A=b=c", "IgnoreUnknown=1;A=b", "A=b;IgnoreUnknown=TRUE", "IgnoreUnknown=1;IgnoreUnknown=0;A=b",
		"IgnoreUnknown=", "IgnoreUnknown=yes", "ignoreunknown=1", "IP=10.0.0.1,fd00::1/64", "IP=", "IP=1;IP=2", "MAC=m;GATEWAY=g",
		"K8S_POD_NAME=web;K8S_POD_UID=u;NOMAD_JOB_ID=j", "IgnoreUnknown=1;", "K8S_POD_NAME=\xff", "IP=\n",
		"IgnoreUnknown=1;K8S_POD_NEW=x", "K8S_POD_NEW=x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseArgs(s)
		mustBeError(t, err)
		if len(s) > maxArgs || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			if err == nil {
				t.Errorf("%q is accepted", s)
			}
			return
		}
		if strings.Contains(s, "CommonArgs=") {
			return // the library takes its own structure for a key
		}
		var want allKeys
		libraryErr := types.LoadArgs(s, &want)
		if (err == nil) != (libraryErr == nil) {
			t.Fatalf("%q: %v, library %v", s, err, libraryErr)
		}
		if err != nil {
			return
		}
		for key, v := range map[string][2]string{
			"MAC":           {string(want.MAC), got.MAC},
			"IP":            {commas(string(want.IP)), strings.Join(got.IP, ",")},
			"GATEWAY":       {commas(string(want.GATEWAY)), strings.Join(got.Gateway, ",")},
			"K8S_POD_NAME":  {string(want.K8S_POD_NAME), got.Labels["K8S_POD_NAME"]},
			"NOMAD_JOB_ID":  {string(want.NOMAD_JOB_ID), got.Labels["NOMAD_JOB_ID"]},
			"NOMAD_REGION":  {string(want.NOMAD_REGION), got.Labels["NOMAD_REGION"]},
			"K8S_POD_UID":   {string(want.K8S_POD_UID), got.Labels["K8S_POD_UID"]},
			"IgnoreUnknown": {strconv.FormatBool(bool(want.IgnoreUnknown)), strconv.FormatBool(got.IgnoreUnknown)},
		} {
			if v[0] != v[1] {
				t.Errorf("%q: %s: library %q, ours %q", s, key, v[0], v[1])
			}
		}
	})
}

// commas drops the white space around the elements of a list.
func commas(s string) string {
	items := strings.Split(s, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return strings.Join(items, ",")
}
