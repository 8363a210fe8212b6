// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// dhcpScript stands in for upstream's dhcp, whose daemon needs a server: it
// notes each call, and fails the one that the file "fail" names.
const dhcpScript = `#!/bin/sh
env | grep -E '^(CNI_|TRACEPARENT=)' | sort > "$DHCP_DIR/$CNI_COMMAND.env"
cat > "$DHCP_DIR/$CNI_COMMAND.stdin"
echo "$CNI_COMMAND" >> "$DHCP_DIR/calls"
echo "dhcp says $CNI_COMMAND" >&2
if [ "$(cat "$DHCP_DIR/fail" 2>/dev/null)" = "$CNI_COMMAND" ]; then
	echo '{"cniVersion":"1.1.0","code":123,"msg":"no lease","details":"the server is silent"}'
	exit 1
fi
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"cniVersion":"1.0.0","ips":[{"address":"10.5.0.7/24","gateway":"10.5.0.1"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.5.0.1"}],"dns":{"nameservers":["10.5.0.53"]}}'
`

const dhcpConfig = `{"cniVersion":"1.1.0","name":"lan","type":"emerita","ipMasq":true,` +
	`"ipam":{"type":"dhcp","daemonSocketPath":"/run/cni/dhcp.sock"},"unknown":{"kept":[1,2]}}`

// lan is a host with a network whose addresses come from the stand-in.
type lan struct {
	t   *testing.T
	dir string // of the plugin and its notes
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	testutil.Root(t)
	testutil.EnterHost(t)
	testutil.Netns(t, "pc")
	l := &lan{t, t.TempDir()}
	if err := os.WriteFile(filepath.Join(l.dir, "dhcp"), []byte(dhcpScript), 0o700); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lan) env(verb string) []string {
	return []string{
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=pc", "CNI_COMMAND=" + verb, "CNI_CONTAINERID=pc",
		"CNI_IFNAME=eth0", "CNI_NETNS=/run/netns/pc", "CNI_PATH=/nonexistent:" + l.dir, "TRACEPARENT=00-trace-01",
	}
}

// run calls emerita and returns its stdout and stderr.
func (l *lan) run(verb, config string) (stdout, stderr string, ok bool) {
	l.t.Helper()
	cmd := exec.Command("emerita")
	cmd.Env = append(l.env(verb), "PATH="+os.Getenv("PATH"), "DHCP_DIR="+l.dir)
	cmd.Stdin = strings.NewReader(config)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err == nil
}

func (l *lan) must(verb, config string) string {
	l.t.Helper()
	stdout, stderr, ok := l.run(verb, config)
	if !ok {
		l.t.Fatalf("%s: %s", verb, stdout)
	}
	mustContain(l.t, stderr, "dhcp says "+verb)
	if verb != "ADD" && stdout != "" {
		l.t.Errorf("%s prints %q", verb, stdout)
	}
	return stdout
}

// refuse returns the error of a call that must fail.
func (l *lan) refuse(verb, config string) *cniproto.Error {
	l.t.Helper()
	stdout, _, ok := l.run(verb, config)
	if ok {
		l.t.Fatalf("%s succeeds: %s", verb, stdout)
	}
	var e cniproto.Error
	if err := json.Unmarshal([]byte(stdout), &e); err != nil {
		l.t.Fatalf("%s: no error object in %q: %v", verb, stdout, err)
	}
	return &e
}

func (l *lan) note(name string) string {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, name))
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	return string(text)
}

// calls are the verbs since the last look.
func (l *lan) calls() string {
	l.t.Helper()
	defer os.Remove(filepath.Join(l.dir, "calls"))
	return strings.Join(strings.Fields(l.note("calls")), " ")
}

func (l *lan) fail(verb string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, "fail"), []byte(verb), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// dhcpWith is dhcpConfig with another key.
func dhcpWith(t *testing.T, key, value string) string {
	t.Helper()
	var c map[string]json.RawMessage
	if err := json.Unmarshal([]byte(dhcpConfig), &c); err != nil {
		t.Fatal(err)
	}
	c[key] = json.RawMessage(value)
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestDelegate shows that every verb reaches a delegate as it reached emerita.
func TestDelegate(t *testing.T) {
	t.Parallel()
	l := newLAN(t)
	result := l.must("ADD", dhcpConfig)
	mustContain(t, result, `"10.5.0.7/24"`, `"10.5.0.53"`, `"interface": 2`)
	mustReach(t, "pc", nil, "10.5.0.1", "192.0.2.2")
	mustContain(t, testutil.Run(t, "ip", "-n", "pc", "addr", "show", "eth0"), "inet 10.5.0.7/24")

	configs := map[string]string{
		"ADD":    dhcpConfig,
		"CHECK":  dhcpWith(t, "prevResult", result),
		"STATUS": dhcpConfig,
		"GC":     dhcpWith(t, "cni.dev/valid-attachments", `[{"containerID":"pc","ifname":"eth0"}]`),
		"DEL":    dhcpWith(t, "prevResult", result),
	}
	for _, verb := range []string{"CHECK", "STATUS", "GC", "DEL"} {
		l.must(verb, configs[verb])
	}
	if diff := cmp.Diff("ADD CHECK STATUS GC DEL", l.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	for verb, config := range configs {
		if diff := cmp.Diff(config, l.note(verb+".stdin")); diff != "" {
			t.Errorf("stdin of %s (-want +got):\n%s", verb, diff)
		}
		env := strings.Split(strings.TrimSpace(l.note(verb+".env")), "\n")
		if diff := cmp.Diff(l.env(verb), slices.Sorted(slices.Values(env))); diff != "" {
			t.Errorf("environment of %s (-want +got):\n%s", verb, diff)
		}
	}
}

// TestDelegateFails lets each verb of the delegate fail: the error comes through,
// and a failed ADD leaves nothing.
func TestDelegateFails(t *testing.T) {
	t.Parallel()
	l := newLAN(t)
	l.must("ADD", dhcpConfig)
	l.must("DEL", dhcpConfig)
	before := testutil.Snapshot(t)
	l.calls()
	l.fail("ADD")
	noLease := func(err *cniproto.Error, code cniproto.Code) {
		t.Helper()
		if err.Code != code {
			t.Errorf("code %d, want %d", err.Code, code)
		}
		mustContain(t, err.Error(), `"dhcp"`, "no lease", "the server is silent")
	}
	noLease(l.refuse("ADD", dhcpConfig), 123)
	if diff := cmp.Diff("ADD DEL", l.calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	mustSame(t, "failed ADD leaves something", before, testutil.Snapshot(t))

	l.fail("")
	result := l.must("ADD", dhcpConfig)
	for _, call := range []struct {
		verb, config string
		code         cniproto.Code
	}{
		{"CHECK", dhcpWith(t, "prevResult", result), 123},
		{"STATUS", dhcpConfig, cniproto.CodeNotAvailable},
		{"GC", dhcpWith(t, "cni.dev/valid-attachments", `[{"containerID":"pc","ifname":"eth0"}]`), 123},
		{"DEL", dhcpConfig, 123},
	} {
		l.fail(call.verb)
		noLease(l.refuse(call.verb, call.config), call.code)
	}
	l.fail("")
	l.must("DEL", dhcpConfig)
	mustSame(t, "repeated DEL leaves something", before, testutil.Snapshot(t))
}

// TestDelegateMissing looks for what cannot be run, or must not be.
func TestDelegateMissing(t *testing.T) {
	t.Parallel()
	l := newLAN(t)
	before := testutil.Snapshot(t)
	for _, test := range []struct{ ipam, want string }{
		{`{"type":"absent"}`, `"absent"`},
		{`{"type":"host-local","exec":true,"subnet":"10.88.0.0/16"}`, `"host-local"`},
		{`{"type":"static","exec":true,"addresses":[{"address":"10.88.0.2/16"}]}`, `"static"`},
		{`{"type":"../dhcp"}`, `"../dhcp"`},
		{`{"type":"` + l.dir + `/dhcp"}`, "not a plain file name"},
		{`{"type":".."}`, `".."`},
	} {
		err := l.refuse("ADD", dhcpWith(t, "ipam", test.ipam))
		if err.Code != cniproto.CodeInvalidConfig {
			t.Errorf("ipam %s: code %d, want %d", test.ipam, err.Code, cniproto.CodeInvalidConfig)
		}
		mustContain(t, err.Error(), test.want)
	}
	if c := l.calls(); c != "" {
		t.Errorf("the delegate was run: %s", c)
	}
	mustSame(t, "refused ADD leaves something", before, testutil.Snapshot(t))
}

// TestDelegateUpstream forces the types that are served in process to upstream's
// plugins, which keep the same files.
func TestDelegateUpstream(t *testing.T) {
	t.Parallel()
	testutil.Root(t)
	path := strings.Join(toolPath(t, "host-local", "static"), ":")
	for _, test := range []struct{ name, ipam, addr string }{
		{"host-local", `{"type":"host-local","exec":true,"subnet":"10.88.0.0/16","routes":[{"dst":"0.0.0.0/0"}]}`, "10.88.0.2"},
		{"static", `{"type":"static","exec":true,"addresses":[{"address":"10.88.0.2/16","gateway":"10.88.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]}`, "10.88.0.2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			testutil.EnterHost(t)
			c := newChain(t, strings.Split(path, ":"), nil, `{"type":"emerita","ipMasq":true,"ipam":`+test.ipam+`}`)
			before := testutil.Snapshot(t, "/var/lib/cni", "/run")
			result := c.mustAdd()
			mustContain(t, result.IPs[0].Address.String(), test.addr+"/16")
			_, err := os.Stat("/var/lib/cni/networks/chain/10.88.0.2")
			if kept := err == nil; kept != (test.name == "host-local") {
				t.Errorf("reservation by %s: %v", test.name, err)
			}
			mustReach(t, "web", nil, "10.88.0.1", "192.0.2.2")
			c.mustCheck()
			c.mustDel()
			if _, err := os.Stat("/var/lib/cni/networks/chain/10.88.0.2"); err == nil {
				t.Error("the reservation is left")
			}
			testutil.Run(t, "ip", "link", "del", "emerita0")
			mustSame(t, "DEL leaves something", wiring(before), wiring(testutil.Snapshot(t)))
		})
	}
}
