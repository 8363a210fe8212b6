// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mustCode fails unless err is an Error with a code (0: no error) whose text
// has all the words.
func mustCode(t *testing.T, what string, err error, code Code, words ...string) {
	t.Helper()
	if err == nil {
		if code != 0 {
			t.Errorf("%s: no error, want code %d", what, code)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%s: %v is not an Error", what, err)
		return
	}
	if e.Code != code {
		t.Errorf("%s: code %d (%v), want %d", what, e.Code, err, code)
	}
	for _, w := range words {
		if !strings.Contains(e.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, e, w)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for id, code := range map[string]Code{
		"a": 0, "0abc_.-": 0, strings.Repeat("a", 200): 0,
		"": CodeUnknownContainer, ".": CodeInvalidEnv, "-a": CodeInvalidEnv, "a/b": CodeInvalidEnv, "a\nb": CodeInvalidEnv,
		"a b": CodeInvalidEnv, "ä": CodeInvalidEnv, "..": CodeInvalidEnv, strings.Repeat("a", 201): CodeInvalidEnv,
	} {
		mustCode(t, "id "+id, ValidateContainerID(id), code)
		if code != 0 {
			code = CodeInvalidConfig
		}
		mustCode(t, "network "+id, ValidateNetworkName(id), code)
	}
	for name, ok := range map[string]bool{
		"eth0": true, "a.b-c": true, "123456789012345": true, "@": true,
		"": false, ".": false, "..": false, "1234567890123456": false, "a/b": false, "a:b": false, "a b": false, "a\tb": false, "a\x00": false,
	} {
		err := ValidateIfName(name)
		if (err == nil) != ok {
			t.Errorf("interface %q: %v", name, err)
		}
	}
}

func TestEnvNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	full := Env{ContainerID: "c", Netns: "/n", IfName: "eth0", Path: "/p"}
	for _, tt := range []struct {
		verb    string
		edit    func(*Env)
		code    Code
		missing []string
	}{
		{"ADD", func(*Env) {}, 0, nil},
		{"ADD", func(e *Env) { *e = Env{} }, CodeInvalidEnv, []string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}},
		{"ADD", func(e *Env) { e.Path = "" }, 0, nil},
		{"CHECK", func(e *Env) { e.Netns = "" }, CodeInvalidEnv, []string{"CNI_NETNS"}},
		{"DEL", func(e *Env) { e.Netns = "" }, 0, nil},
		{"DEL", func(e *Env) { e.IfName = "" }, CodeInvalidEnv, []string{"CNI_IFNAME"}},
		{"DEL", func(e *Env) { e.IfName = "a/b" }, CodeInvalidEnv, []string{"CNI_IFNAME", "a/b"}},
		{"GC", func(e *Env) { *e = Env{Path: "/p"} }, 0, nil},
		{"GC", func(e *Env) { *e = Env{} }, CodeInvalidEnv, []string{"CNI_PATH"}},
		{"STATUS", func(e *Env) { *e = Env{} }, 0, nil},
		{"VERSION", func(e *Env) { *e = Env{} }, 0, nil},
		{"add", func(*Env) {}, CodeInvalidEnv, []string{"CNI_COMMAND", `"add"`}},
	} {
		e := full
		tt.edit(&e)
		e.Command = tt.verb
		mustCode(t, tt.verb, e.Validate(), tt.code, tt.missing...)
	}
}

func TestParseArgs(t *testing.T) {
	t.Parallel()
	got, err := ParseArgs("IgnoreUnknown=1;IP=10.0.0.1,fd00::1/64;GATEWAY=10.0.0.254;MAC=02:00:00:00:00:01;K8S_POD_NAME=web;NOMAD_JOB_ID=j;NERDCTL_NEW=n;OTHER=x")
	mustCode(t, "good", err, 0)
	want := Args{
		IgnoreUnknown: true, IP: []string{"10.0.0.1", "fd00::1/64"}, Gateway: []string{"10.0.0.254"}, MAC: "02:00:00:00:00:01",
		Labels: map[string]string{"K8S_POD_NAME": "web", "NOMAD_JOB_ID": "j", "NERDCTL_NEW": "n"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for text, word := range map[string]string{
		"A=1;B=2": "IgnoreUnknown=1", "A": `"A"`, "IP=1\n2": "control", "IP=1\x002": "control", strings.Repeat("A=1;", 20000): "longer",
	} {
		_, err := ParseArgs(text)
		mustCode(t, text[:1], err, CodeInvalidEnv, word)
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		code Code
		word string
	}{
		`{"name":"n","type":"emerita"}`:                            {0, ""},
		`{"cniVersion":"1.1.0","name":"n","unknown":{"deep":[1]}}`: {0, ""},
		``:                                       {CodeDecode, "unexpected end"},
		`{`:                                      {CodeDecode, ""},
		`{"name":"n"} trailing`:                  {CodeDecode, ""},
		`null`:                                   {CodeDecode, "object"},
		`[]`:                                     {CodeDecode, "object"},
		`"x"`:                                    {CodeDecode, "object"},
		`{"name":5}`:                             {CodeInvalidConfig, "name"},
		`{}`:                                     {CodeInvalidConfig, "name"},
		`{"name":"../x"}`:                        {CodeInvalidConfig, "../x"},
		`{"name":"n","cniVersion":"2.0.0"}`:      {CodeIncompatibleVersion, "2.0.0"},
		`{"name":"n","cniVersion":"1.0"}`:        {CodeIncompatibleVersion, "1.0.0"},
		`{"name":"n","ipam":"x"}`:                {CodeInvalidConfig, "ipam"},
		`{"name":"n","ipam":{"type":5}}`:         {CodeInvalidConfig, "ipam"},
		`{"name":"n","runtimeConfig":{"ips":1}}`: {CodeInvalidConfig, "ips"},
		`{"name":"n","args":{"cni":{"mac":[]}}}`: {CodeInvalidConfig, "mac"},
		`{"name":"n","cni.dev/valid-attachments":{}}`:                                       {CodeInvalidConfig, "valid-attachments"},
		`{"name":"n","cni.dev/valid-attachments":[{"containerID":"a/b","ifname":"eth0"}]}`:  {CodeInvalidConfig, "a/b"},
		`{"name":"n","cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"},{}]}`: {CodeInvalidConfig, "entry 1"},
	} {
		_, err := ParseConfig([]byte(text))
		mustCode(t, text, err, want.code, want.word)
	}
}

func TestAbsentIsNotEmpty(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		has bool
		n   int
	}{
		`{"name":"n"}`: {false, 0},
		`{"name":"n","cni.dev/valid-attachments":null}`:                                                        {false, 0},
		`{"name":"n","cni.dev/valid-attachments":[]}`:                                                          {true, 0},
		`{"name":"n","cni.dev/attachments":[]}`:                                                                {true, 0},
		`{"name":"n","cni.dev/valid-attachments":[{"containerID":"a","ifname":"e"}],"cni.dev/attachments":[]}`: {true, 1},
	} {
		c, err := ParseConfig([]byte(text))
		mustCode(t, text, err, 0)
		if c.HasValidAttachments != want.has || len(c.ValidAttachments) != want.n {
			t.Errorf("%s: %v, %v", text, c.HasValidAttachments, c.ValidAttachments)
		}
	}
	c, err := ParseConfig([]byte(`{"name":"n","prevResult":null,"ipam":{}}`))
	mustCode(t, "nulls", err, 0)
	if c.PrevResult != nil || c.IPAM != nil || c.CNIVersion != "0.1.0" {
		t.Errorf("%+v", c)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	list := `{"cniVersion":"0.4.0","cniVersions":["0.3.1","1.0.0","9.9.9"],"name":"net","plugins":[{"type":"tuning"},{"type":"emerita","mtu":9},{"type":"emerita"}]}`
	got, err := Select([]byte(list), "")
	mustCode(t, "list", err, 0)
	if d := cmp.Diff(decoded(t, []byte(`{"type":"emerita","mtu":9,"name":"net","cniVersion":"1.0.0"}`)), decoded(t, got)); d != "" {
		t.Error(d)
	}
	got, err = Select([]byte(list), "tuning")
	mustCode(t, "tuning", err, 0)
	if !bytes.Contains(got, []byte(`"tuning"`)) {
		t.Errorf("%s", got)
	}
	_, err = Select([]byte(list), "ptp")
	mustCode(t, "absent type", err, CodeInvalidConfig, "ptp", "tuning", "--plugin")
	_, err = Select([]byte(`{"plugins":[]}`), "")
	mustCode(t, "no plugins", err, CodeInvalidConfig)
	_, err = Select([]byte(`{"plugins":[1]}`), "")
	mustCode(t, "no object", err, CodeInvalidConfig, "plugins[0]")
	_, err = Select([]byte(`{`), "")
	mustCode(t, "no JSON", err, CodeDecode)
	single := []byte(`{"name":"x","type":"emerita"}`)
	if got, err = Select(single, ""); err != nil || !bytes.Equal(got, single) {
		t.Errorf("single: %s, %v", got, err)
	}
}

func TestDecodeResultRefuses(t *testing.T) {
	t.Parallel()
	for text, code := range map[string]Code{
		`{`: CodeDecode, `{"cniVersion":"7"}`: CodeIncompatibleVersion, `{"ips":[{}]}`: CodeInvalidConfig,
		`{"interfaces":[{"name":"eth0"}],"ips":[{"address":"10.0.0.1/24","interface":1}]}`: CodeInvalidConfig, `{"ips":[{"address":"x"}]}`: CodeInvalidConfig,
		`{"ips":[{"address":"10.0.0.1/24","interface":1}]}`: CodeInvalidConfig, `{"ips":[{"address":"10.0.0.1/24","interface":-1}]}`: CodeInvalidConfig,
		`{"ips":[{"address":"::ffff:10.0.0.1/95"}]}`: CodeInvalidConfig, `{"ips":[{"address":"fe80::1/64","gateway":"fe80::2%eth0"}]}`: CodeInvalidConfig,
		`{"routes":[{"dst":"::ffff:10.0.0.0/8"}]}`: CodeInvalidConfig, `{"routes":[{"dst":"fe80::/64","gw":"fe80::2%eth0"}]}`: CodeInvalidConfig,
		`{"routes":[{"gw":"10.0.0.1"}]}`: CodeInvalidConfig, `{"interfaces":5}`: CodeInvalidConfig,
		`{"ips":null,"routes":null,"interfaces":null,"dns":null}`: 0,
	} {
		_, err := DecodeResult([]byte(text), "1.0.0")
		mustCode(t, text, err, code)
	}
	// As prevResult it is a key, of whatever type.
	for text, want := range map[string]string{
		`"x"`: "prevResult: want an object, not a JSON string", `7`: "prevResult: want an object, not a JSON number", `[]`: "prevResult: want an object",
		`{"interfaces":"eth0"}`: "prevResult.interfaces: want a list, not a JSON string", `{"ips":[{"address":"x"}]}`: "prevResult", `{"ips":[{}]}`: "parse prevResult",
	} {
		_, err := DecodePrevResult([]byte(text), "1.0.0")
		mustCode(t, text, err, CodeInvalidConfig, want)
	}
	_, err := DecodePrevResult([]byte(`{"cniVersion":"7"}`), "1.0.0")
	mustCode(t, "prevResult of another version", err, CodeIncompatibleVersion, "prevResult")
	two := rich()
	two.IPs = append(two.IPs, two.IPs[0])
	mustCode(t, "two addresses in 0.2.0", EncodeResult(new(bytes.Buffer), two, "0.2.0"), CodeIncompatibleVersion, "0.3.0")
}

func TestWrapKeepsTheInnermostCode(t *testing.T) {
	t.Parallel()
	inner := Errorf(CodeTryAgain, "lock", "held")
	err := Wrap(CodeNetlink, "outer", Wrap(CodeIPAM, "middle", inner))
	mustCode(t, "wrapped", err, CodeTryAgain, "outer", "middle", "lock", "held")
	if Wrap(CodeIO, "x", nil) != nil {
		t.Error("nil is wrapped")
	}
	plain := errors.New("plain")
	mustCode(t, "plain", AsError(plain), CodeInternal, "plain")
	if !errors.Is(Wrap(CodeIO, "x", plain), plain) {
		t.Error("the cause is lost")
	}
}
