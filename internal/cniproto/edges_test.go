// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/google/go-cmp/cmp"
)

func TestVersionOrder(t *testing.T) {
	t.Parallel()
	for _, v := range SupportedVersions() {
		for _, w := range SupportedVersions() {
			want, err := version.GreaterThanOrEqualTo(v, w)
			if err != nil {
				t.Fatal(err)
			}
			if AtLeast(v, w) != want {
				t.Errorf("AtLeast(%q, %q) is not %v", v, w, want)
			}
		}
		if got, err := NormalizeVersion(v); err != nil || got != v {
			t.Errorf("%q becomes %q, %v", v, got, err)
		}
	}
	for _, v := range []string{"1.1", "1.1.1", "v1.1.0", "1.1.0 ", "0.3", "2.0.0"} {
		_, err := NormalizeVersion(v)
		mustCode(t, v, err, CodeIncompatibleVersion, `"`+v+`"`, "0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0")
	}
}

// TestVersionReply: the library reads the answer, which repeats the input.
func TestVersionReply(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "1.1.0", "0.3.1": "0.3.1", "9.9.9": "9.9.9"} {
		reply := VersionReply(in)
		info, err := new(version.PluginDecoder).Decode(reply)
		if err != nil {
			t.Fatalf("%s: %v", reply, err)
		}
		if d := cmp.Diff(SupportedVersions(), info.SupportedVersions()); d != "" {
			t.Error(d)
		}
		if got := decoded(t, reply).(map[string]any)["cniVersion"]; got != want {
			t.Errorf("%q is answered with %q", in, got)
		}
		if !bytes.HasSuffix(reply, []byte("}\n")) {
			t.Errorf("no line: %q", reply)
		}
	}
}

// TestNamesAsTheLibrary: the reference skeleton's rules, byte by byte. Only what
// the kernel refuses or changes is refused besides.
func TestNamesAsTheLibrary(t *testing.T) {
	t.Parallel()
	for b := range 256 {
		for _, s := range []string{string([]byte{byte(b)}), "a" + string([]byte{byte(b)}), "a" + string(rune(b)) + "z"} {
			if ours, theirs := ValidateContainerID(s) == nil, utils.ValidateContainerID(s) == nil; ours != theirs {
				t.Errorf("container id %q: %v, library %v", s, ours, theirs)
			}
			if ours, theirs := ValidateNetworkName(s) == nil, utils.ValidateNetworkName(s) == nil; ours != theirs {
				t.Errorf("network %q: %v, library %v", s, ours, theirs)
			}
			ours, theirs := ValidateIfName(s) == nil, utils.ValidateInterfaceName(s) == nil
			if ours && !theirs {
				t.Errorf("interface %q: the library refuses it", s)
			}
			if theirs && !ours && b > ' ' && b < 0x7f && b != '%' {
				t.Errorf("interface %q: the library accepts it", s)
			}
		}
	}
}

func TestValidateIfNameSaysWhy(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]string{
		"": "empty", "abcdefghijklmnop": "15 bytes", ".": "directory", "..": "directory", "all": "/proc/sys/net", "default": "/proc/sys/net",
		"eth%d": "'%'", "%": "'%'", "a/b": "'/'", "eth0:1": "':'", "a b": "white space", "a\u2003b": "white space", "a\u0085b": "white space",
		"a\x00": "control", "a\x1b[m": "control", "a\x7f": "control", "a\xff": "UTF-8", "à": "kernel", "ääääääää": "15 bytes",
	} {
		mustCode(t, name, ValidateIfName(name), CodeInvalidEnv, "CNI_IFNAME", word)
	}
	for _, name := range []string{"über", "ethä", "All", "default0", "-eth", `"`, "eth0.100"} {
		mustCode(t, name, ValidateIfName(name), 0)
	}
}

func TestParseConfigReadsTheSharedPart(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"cniVersion":"0.4.0","name":"net","type":"emerita","ipam":{"type":"host-local","ranges":[]},"dns":{"domain":"d","search":["s"]},
		"capabilities":{"mac":true},"runtimeConfig":{"ips":["10.0.0.5"],"mac":"m1","ipRanges":[[{"subnet":"10.0.0.0/24"}]],"portMappings":[{"hostPort":80}],
		"bandwidth":null,"aliases":["a"],"cgroupPath":"/c","dns":{"servers":["1.1.1.1"],"searches":["x"],"options":["ndots:2"]}},
		"args":{"cni":{"ips":["10.0.0.6"],"mac":"m2","labels":[{"key":"k","value":"v"}]},"other":5},"prevResult":{"cniVersion":"0.4.0"},"own":{"key":1}}`)
	got, err := ParseConfig(raw)
	mustCode(t, "full", err, 0)
	want := &Config{
		CNIVersion: "0.4.0", Name: "net", Type: "emerita", IPAMType: "host-local", IPAM: json.RawMessage(`{"type":"host-local","ranges":[]}`),
		DNS: DNS{Domain: "d", Search: []string{"s"}}, PrevResult: json.RawMessage(`{"cniVersion":"0.4.0"}`), Raw: raw,
		RuntimeConfig: RuntimeConfig{
			IPs: []string{"10.0.0.5"}, Mac: "m1", IPRanges: json.RawMessage(`[[{"subnet":"10.0.0.0/24"}]]`),
			PortMappings: json.RawMessage(`[{"hostPort":80}]`), Aliases: json.RawMessage(`["a"]`), CgroupPath: "/c",
		},
	}
	want.RuntimeConfig.DNS.Servers = []string{"1.1.1.1"}
	want.RuntimeConfig.DNS.Searches = []string{"x"}
	want.RuntimeConfig.DNS.Options = []string{"ndots:2"}
	want.Args.CNI = ArgsCNI{IPs: []string{"10.0.0.6"}, MAC: "m2", Labels: []Label{{Key: "k", Value: "v"}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got, err = ParseConfig([]byte(`{"cniVersion":null,"name":"n","dns":null,"runtimeConfig":null,"args":{"cni":null},"ipam":null,"cni.dev/attachments":null}`))
	mustCode(t, "nulls", err, 0)
	got.Raw = nil
	if d := cmp.Diff(&Config{CNIVersion: "0.1.0", Name: "n"}, got); d != "" {
		t.Error(d)
	}
}

func TestWrongTypesNameTheKey(t *testing.T) {
	t.Parallel()
	for members, word := range map[string]string{
		`"name":5`: "name: want a string, not a JSON number", `"type":[]`: "type: want a string", `"dns":[]`: "dns: want an object, not a JSON array",
		`"dns":{"search":"s"}`: "dns.search: want a list, not a JSON string", `"ipam":true`: "ipam: want an object", `"ipam":{"type":{}}`: "ipam.type: want a string",
		`"runtimeConfig":{"ips":[1]}`: "runtimeConfig.ips", `"runtimeConfig":{"dns":{"servers":{}}}`: "runtimeConfig.dns.servers: want a list",
		`"args":"x"`: "args: want an object", `"args":{"cni":{"mac":1}}`: "args.cni.mac: want a string", `"cniVersion":1.1`: "cniVersion: want a string",
		`"cni.dev/valid-attachments":"x"`:                 "parse network configuration: cni.dev/valid-attachments: want a list, not a JSON string",
		`"cni.dev/valid-attachments":[{"containerID":1}]`: "cni.dev/valid-attachments.containerID: want a string",
		`"cni.dev/attachments":{}`:                        "cni.dev/attachments: want a list", `"cni.dev/valid-attachments":[null]`: `cni.dev/valid-attachments: entry 0: containerID "": empty`,
		`"cni.dev/valid-attachments":[{"containerID":"a","ifname":"a/b"}]`: `entry 0: ifname "a/b": '/'`,
	} {
		c, err := ParseConfig([]byte(`{"cniVersion":"1.1.0","name":"n",` + members + `}`))
		mustCode(t, members, err, CodeInvalidConfig, word)
		if err == nil || c != nil || strings.Contains(err.Error(), "Go struct") {
			t.Errorf("%s: %v, %v", members, c, err)
		}
	}
	// Another version of the protocol may give a key another type.
	_, err := ParseConfig([]byte(`{"name":["n"],"cniVersion":"2.0.0"}`))
	mustCode(t, "other version", err, CodeIncompatibleVersion)
	_, err = DecodeResult([]byte(`{"interfaces":[{"name":"a","mtu":"x"}]}`), "1.1.0")
	mustCode(t, "mtu", err, CodeInvalidConfig, "parse result: interfaces.mtu: want an integer, not a JSON string")
	_, err = DecodeResult([]byte(`{"ips":[{"address":5}]}`), "1.1.0")
	mustCode(t, "address", err, CodeInvalidConfig, "parse result: ips.address: want a string, not a JSON number")
}

// TestEveryKindHasAName of what JSON can be decoded to, through structs that are embedded,
// whose names are no keys.
func TestEveryKindHasAName(t *testing.T) {
	t.Parallel()
	type Inner struct {
		Flag  *bool `json:"flag"`
		Below struct {
			Count  uint16   `json:"count"`
			Ratio  float64  `json:"ratio"`
			Pair   [2]int   `json:"pair"`
			Words  []string `json:"words"`
			Object *struct{}
		} `json:"below"`
	}
	type middle struct{ Inner }
	for raw, want := range map[string]string{
		`{"flag":"true"}`: "flag: want true or false, not a JSON string", `{"below":{"count":-1}}`: "below.count: want an integer, not a JSON number -1",
		`{"below":{"ratio":"x"}}`: "below.ratio: want a number", `{"below":{"pair":{}}}`: "below.pair: want a list", `{"below":{"words":[5]}}`: "below.words: want a string",
		`{"below":{"Object":5}}`: "below.Object: want an object", `{"below":false}`: "below: want an object, not a JSON bool",
		`{"list":[[{"flag":"true"}]]}`: "list.flag: want true or false", `{"by.name":{"a":{"below":{"count":"x"}}}}`: "by.name.below.count: want an integer",
	} {
		var into struct {
			middle
			List [][]middle        `json:"list"`
			Map  map[string]*Inner `json:"by.name"`
		}
		mustCode(t, raw, Unmarshal([]byte(raw), &into), CodeInvalidConfig, "configuration: "+want)
	}
}

// TestSelectAsTheLibrary: the version that libcni would give the plugin.
func TestSelectAsTheLibrary(t *testing.T) {
	t.Parallel()
	for _, versions := range []string{
		`"cniVersion":"1.0.0"`, `"cniVersion":"0.4.0","cniVersions":["0.3.1","1.0.0"]`, `"cniVersion":"1.1.0","cniVersions":["0.3.1","1.0.0"]`,
		`"cniVersions":["1.0.0","0.4.0","1.1.0"]`, `"cniVersion":"1.0.0","cniVersions":["7.0.0"]`, `"cniVersion":"7.0.0","cniVersions":["0.3.1"]`,
		`"cniVersion":"0.3.1","cniVersions":[]`,
	} {
		raw := []byte(`{"name":"net",` + versions + `,"disableCheck":true,"plugins":[{"type":"emerita","name":"own","cniversion":"0.1.0","big":12345678901234567890}]}`)
		list, err := libcni.NetworkConfFromBytes(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Select(raw, "emerita")
		mustCode(t, versions, err, 0)
		c, err := ParseConfig(got)
		mustCode(t, versions, err, 0)
		if c.CNIVersion != list.CNIVersion || c.Name != list.Name {
			t.Errorf("%s: version %q of %q, library %q of %q", versions, c.CNIVersion, c.Name, list.CNIVersion, list.Name)
		}
		if !bytes.Contains(got, []byte(`12345678901234567890`)) || bytes.Contains(got, []byte("disableCheck")) {
			t.Errorf("%s: keys of the plugin are changed: %s", versions, got)
		}
	}
	got, err := Select([]byte(`{"name":"net","cniVersions":["7.0.0"],"plugins":[{"type":"emerita"}]}`), "")
	mustCode(t, "select", err, 0)
	_, err = ParseConfig(got)
	mustCode(t, "no version is supported", err, CodeIncompatibleVersion, "7.0.0")
}

func TestInject(t *testing.T) {
	t.Parallel()
	conf := []byte(`{"name":"n","PrevResult":{"old":1},"Cni.dev/valid-attachments":[],"x":"<&>"}`)
	got, err := InjectPrevResult(conf, []byte(`{"ips":[]}`))
	mustCode(t, "prevResult", err, 0)
	c, err := ParseConfig(got)
	mustCode(t, "prevResult", err, 0)
	if string(c.PrevResult) != `{"ips":[]}` {
		t.Errorf("prevResult %s", c.PrevResult)
	}
	for _, list := range [][]Attachment{nil, {}, {{ContainerID: "c", IfName: "eth0"}}} {
		got, err := InjectAttachments(conf, list)
		mustCode(t, "attachments", err, 0)
		c, err := ParseConfig(got)
		mustCode(t, "attachments", err, 0)
		if !c.HasValidAttachments || len(c.ValidAttachments) != len(list) {
			t.Errorf("%v becomes %v", list, c.ValidAttachments)
		}
		if decoded(t, got).(map[string]any)["x"] != "<&>" {
			t.Errorf("another key is changed: %s", got)
		}
	}
	for _, bad := range []string{"", "null", "[]", "{"} {
		_, err := InjectAttachments([]byte(bad), nil)
		mustCode(t, bad, err, CodeDecode)
		_, err = Select([]byte(bad), "")
		mustCode(t, bad, err, CodeDecode)
	}
	_, err = InjectPrevResult(conf, []byte("not JSON"))
	mustCode(t, "prevResult is no JSON", err, CodeDecode)
}
