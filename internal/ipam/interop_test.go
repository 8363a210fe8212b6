// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/state"
)

// upstream builds a plugin of containernetworking/plugins, once, into dir.
type upstream struct {
	once sync.Once
	dir  string
	err  error
}

var theirs upstream

func TestMain(m *testing.M) {
	code := m.Run()
	if theirs.dir != "" {
		os.RemoveAll(theirs.dir)
	}
	os.Exit(code)
}

// path returns the directory with the upstream plugins.
func (u *upstream) path(t *testing.T) string {
	t.Helper()
	u.once.Do(func() {
		if u.dir, u.err = os.MkdirTemp("", "emerita-ipam-"); u.err != nil {
			return
		}
		const module = "github.com/containernetworking/plugins/plugins/ipam/"
		out, err := exec.Command("go", "build", "-o", u.dir+"/", module+"host-local", module+"static").CombinedOutput()
		if err != nil {
			u.err = fmt.Errorf("build upstream plugins: %w: %s", err, out)
		}
	})
	must(t, u.err)
	return u.dir
}

// call runs an upstream plugin on a whole configuration.
func (u *upstream) call(t *testing.T, plugin, verb, who, args, config string) ([]byte, error) {
	cmd := exec.Command(filepath.Join(u.path(t), plugin))
	cmd.Env = []string{
		"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + who, "CNI_IFNAME=eth0",
		"CNI_NETNS=/nonexistent", "CNI_PATH=/nonexistent", "CNI_ARGS=" + args,
	}
	cmd.Stdin = strings.NewReader(config)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out.Bytes())
	}
	return out.Bytes(), nil
}

// requestOf makes the request that the plugin would make of a configuration.
func requestOf(t *testing.T, who, args, config string) Request {
	t.Helper()
	var c struct {
		CNIVersion string          `json:"cniVersion"`
		IPAM       json.RawMessage `json:"ipam"`
		Args       struct {
			CNI struct {
				IPs []string `json:"ips"`
			} `json:"cni"`
		} `json:"args"`
		RuntimeConfig struct {
			IPs      []string        `json:"ips"`
			IPRanges json.RawMessage `json:"ipRanges"`
		} `json:"runtimeConfig"`
	}
	must(t, json.Unmarshal([]byte(config), &c))
	r := Request{
		Key:        state.Key{Network: officeName, ContainerID: who, IfName: "eth0"},
		CNIVersion: c.CNIVersion, Config: []byte(config), IPAM: c.IPAM,
		ArgsIPs: c.Args.CNI.IPs, RuntimeIPs: c.RuntimeConfig.IPs, RuntimeRanges: c.RuntimeConfig.IPRanges,
	}
	for kv := range strings.SplitSeq(args, ";") {
		switch k, v, _ := strings.Cut(kv, "="); k {
		case "IP":
			r.EnvIP = []string{v}
		case "GATEWAY":
			r.EnvGateway = []string{v}
		}
	}
	return r
}

// TestSameResultAsUpstream gives both implementations the same input, each
// with a fresh directory, several times in a row.
func TestSameResultAsUpstream(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, plugin string
		ipam         string // without type and dataDir
		rest         string
		args         string
		adds         int
	}{
		{name: "old form", ipam: `"subnet":"10.0.0.0/29"`, adds: 7},
		{name: "start and end", ipam: `"subnet":"10.0.0.0/24","rangeStart":"10.0.0.10","rangeEnd":"10.0.0.12","gateway":"10.0.0.11"`, adds: 3},
		{name: "gateway outside", ipam: `"subnet":"10.0.0.0/30","gateway":"169.254.1.1"`, adds: 3},
		{name: "gateway is last", ipam: `"subnet":"10.0.0.0/29","gateway":"10.0.0.6"`, adds: 6},
		{name: "v6", ipam: `"subnet":"fd00::/125"`, adds: 7},
		{name: "old form and sets", ipam: `"subnet":"10.0.0.0/24","ranges":[[{"subnet":"10.0.1.0/24"}],[{"subnet":"fd00::/64"}]]`, adds: 2},
		{name: "start without subnet is ignored", ipam: `"rangeStart":"10.0.9.9","ranges":[[{"subnet":"10.0.1.0/24"}]]`, adds: 1},
		{name: "several ranges in a set", ipam: `"ranges":[[{"subnet":"10.0.0.0/30"},{"subnet":"10.0.1.0/30"},{"subnet":"10.0.2.0/24","rangeStart":"10.0.2.9","rangeEnd":"10.0.2.10"}]]`, adds: 5},
		{name: "start behind default end", ipam: `"subnet":"10.0.0.0/24","rangeEnd":"10.0.0.0"`, adds: 1},
		{name: "runtime's ranges are first", ipam: `"subnet":"10.0.0.0/24"`, rest: `"runtimeConfig":{"ipRanges":[[{"subnet":"10.7.0.0/24"}],[{"subnet":"fd07::/64"}]]}`, adds: 2},
		{name: "requested by environment", ipam: `"subnet":"10.0.0.0/24"`, args: "IP=10.0.0.77", adds: 2},
		{name: "requested with length", ipam: `"subnet":"10.0.0.0/24"`, args: "IP=10.0.0.77/8", adds: 1},
		{name: "requested by args", ipam: `"subnet":"10.0.0.0/24"`, rest: `"args":{"cni":{"ips":["10.0.0.78"]}}`, adds: 2},
		{name: "requested by runtime", ipam: `"subnet":"10.0.0.0/24"`, rest: `"runtimeConfig":{"ips":["10.0.0.79/24"]}`, adds: 2},
		{name: "requested by environment and runtime, one set", ipam: `"subnet":"10.0.0.0/24"`, args: "IP=10.0.0.77", rest: `"runtimeConfig":{"ips":["10.0.0.79"]}`, adds: 1},
		{name: "requested by environment and runtime, two sets", ipam: `"ranges":[[{"subnet":"10.0.0.0/24"}],[{"subnet":"fd00::/64"}]]`, args: "IP=10.0.0.77", rest: `"runtimeConfig":{"ips":["fd00::77"]}`, adds: 2},
		{name: "requested of the second set", ipam: `"ranges":[[{"subnet":"10.0.0.0/24"}],[{"subnet":"10.0.1.0/24"}]]`, args: "IP=10.0.1.77", adds: 1},
		{name: "same request twice", ipam: `"subnet":"10.0.0.0/24"`, args: "IP=10.0.0.77", rest: `"args":{"cni":{"ips":["10.0.0.77/24"]}}`, adds: 1},
		{name: "requested outside", ipam: `"subnet":"10.0.0.0/24"`, args: "IP=10.0.1.77", adds: 1},
		{name: "requested gateway", ipam: `"subnet":"10.0.0.0/24"`, args: "IP=10.0.0.1", adds: 1},
		{name: "requested nonsense", ipam: `"subnet":"10.0.0.0/24"`, args: "IP=ten", adds: 1},
		{name: "requested, then round robin goes on behind", ipam: `"ranges":[[{"subnet":"10.0.0.0/24"}]]`, rest: `"args":{"cni":{"ips":[]}}`, adds: 2},
		{name: "routes", ipam: `"subnet":"10.0.0.0/24","routes":[{"dst":"0.0.0.0/0"},{"dst":"10.9.8.7/8","gw":"10.0.0.9","mtu":1400,"advmss":1300,"priority":3,"table":5},{"dst":"10.8.0.0/16","scope":253}]`, adds: 1},
		{name: "host bits", ipam: `"subnet":"10.0.0.1/24"`, adds: 1},
		{name: "too small", ipam: `"subnet":"10.0.0.0/31"`, adds: 1},
		{name: "overlap", ipam: `"ranges":[[{"subnet":"10.0.0.0/24"}],[{"subnet":"10.0.0.0/16"}]]`, adds: 1},
		{name: "mixed set", ipam: `"ranges":[[{"subnet":"10.0.0.0/24"},{"subnet":"fd00::/64"}]]`, adds: 1},

		{name: "static", plugin: "static", ipam: `"addresses":[{"address":"10.0.0.5/24","gateway":"10.0.0.1"},{"address":"fd00::5/64"}],"routes":[{"dst":"::/0","gw":"fd00::1"}],"dns":{"domain":"x","search":["a"],"options":["b"]}`, adds: 2},
		{name: "static, nothing", plugin: "static", ipam: `"addresses":[]`, adds: 1},
		{name: "static, environment", plugin: "static", ipam: `"addresses":[{"address":"10.0.0.5/24"}]`, args: "IP=10.0.1.5/24, fd01::5/64;GATEWAY=10.0.0.1,10.0.1.1,fd01::1,10.0.1.2", adds: 1},
		{name: "static, args", plugin: "static", ipam: `"addresses":[{"address":"10.0.0.5/24"}]`, args: "IP=10.0.1.5/24", rest: `"args":{"cni":{"ips":["10.0.2.5/24"]}}`, adds: 1},
		{name: "static, runtime", plugin: "static", ipam: `"addresses":[{"address":"10.0.0.5/24"}]`, rest: `"args":{"cni":{"ips":["10.0.2.5/24"]}},"runtimeConfig":{"ips":["10.0.3.5/24"]}`, adds: 1},
		{name: "static, no length", plugin: "static", ipam: `"addresses":[{"address":"10.0.0.5"}]`, adds: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			plugin := test.plugin
			if plugin == "" {
				plugin = "host-local"
			}
			config := func(dataDir string) string {
				c := fmt.Sprintf(`{"cniVersion":"1.1.0","name":%q,"type":"x","ipam":{"type":%q,"dataDir":%q,%s}`, officeName, plugin, dataDir, test.ipam)
				if test.rest != "" {
					c += "," + test.rest
				}
				return c + "}"
			}
			theirConfig, ourConfig := config(filepath.Join(t.TempDir(), "networks")), config(filepath.Join(t.TempDir(), "networks"))
			for i := range test.adds {
				who := fmt.Sprintf("c%d", i)
				raw, theirErr := theirs.call(t, plugin, "ADD", who, test.args, theirConfig)
				got, ourErr := addWhole(t, who, test.args, ourConfig)
				if (theirErr == nil) != (ourErr == nil) {
					t.Fatalf("ADD %d: upstream's error %v, ours %v", i, theirErr, ourErr)
				}
				if theirErr != nil {
					continue
				}
				var want cniproto.Result
				must(t, json.Unmarshal(raw, &want))
				want.CNIVersion = ""
				wantEqual(t, got, &want)
			}
		})
	}
}

func addWhole(t *testing.T, who, args, config string) (*cniproto.Result, error) {
	t.Helper()
	m, err := New(requestOf(t, who, args, config))
	if err != nil {
		return nil, err
	}
	return m.Add(t.Context(), Hooks{})
}

// TestSharesDirectoryWithUpstream lets both hand out the addresses of one
// network at the same time, and each release what the other one gave.
func TestSharesDirectoryWithUpstream(t *testing.T) {
	t.Parallel()
	const workers, each = 4, 8
	config := fmt.Sprintf(`{"cniVersion":"1.1.0","name":%q,"type":"x","ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":"10.0.0.0/24"}],[{"subnet":"fd00::/64"}]]}}`,
		officeName, filepath.Join(t.TempDir(), "networks"))
	o := &office{t: t, dataDir: filepath.Dir(mustNew(t, requestOf(t, "x", "", config)).(*hostLocal).dir)}

	var mu sync.Mutex
	holders := map[string]string{}
	note := func(who string, r *cniproto.Result) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range addrsOf(r) {
			if other, dup := holders[a.String()]; dup {
				t.Errorf("%s and %s both have %s", who, other, a)
			}
			holders[a.String()] = who + "\r\neth0"
		}
	}
	theirs.path(t)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				who := fmt.Sprintf("their-%d-%d", w, i)
				raw, err := theirs.call(t, "host-local", "ADD", who, "", config)
				var r cniproto.Result
				if err == nil {
					err = json.Unmarshal(raw, &r)
				}
				if err != nil {
					t.Errorf("upstream ADD of %s: %v", who, err)
					return
				}
				note(who, &r)
			}
		})
		wg.Go(func() {
			for i := range each {
				who := fmt.Sprintf("our-%d-%d", w, i)
				r, err := addWhole(t, who, "", config)
				if err != nil {
					t.Errorf("our ADD of %s: %v", who, err)
					return
				}
				note(who, r)
			}
		})
	}
	wg.Wait()
	if want := 2 * 2 * workers * each; len(holders) != want {
		t.Fatalf("%d addresses, want %d", len(holders), want)
	}
	o.wantHeld(holders)

	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if _, err := theirs.call(t, "host-local", "CHECK", fmt.Sprintf("our-%d-%d", w, i), "", config); err != nil {
					t.Errorf("upstream CHECK of ours: %v", err)
				}
				if _, err := theirs.call(t, "host-local", "DEL", fmt.Sprintf("our-%d-%d", w, i), "", config); err != nil {
					t.Errorf("upstream DEL of ours: %v", err)
				}
			}
		})
		wg.Go(func() {
			for i := range each {
				m := mustNew(t, requestOf(t, fmt.Sprintf("their-%d-%d", w, i), "", config))
				if err := m.Check(t.Context(), nil); err != nil {
					t.Errorf("our CHECK of upstream's: %v", err)
				}
				if err := m.Del(t.Context(), nil); err != nil {
					t.Errorf("our DEL of upstream's: %v", err)
				}
			}
		})
	}
	wg.Wait()
	o.wantHeld(map[string]string{})
}

// "exec": true runs the upstream binary instead.
func TestForcedExec(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]any{"subnet": "10.0.0.0/24", "exec": true})
	r := o.request("ann")
	r.Config = fmt.Appendf(nil, `{"cniVersion":"1.1.0","name":%q,"type":"x","ipam":%s}`, officeName, r.IPAM)
	r.Path = theirs.path(t)
	r.Environ = []string{"CNI_CONTAINERID=ann", "CNI_IFNAME=eth0", "CNI_NETNS=/nonexistent", "CNI_PATH=" + r.Path}
	m := mustNew(t, r)
	wantAddrs(t, mustAdd(t, m, Hooks{}), "10.0.0.2")
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0"})
	must(t, m.Check(t.Context(), nil))
	_, err := m.Add(t.Context(), Hooks{})
	wantError(t, err, cniproto.AsError(err).Code, "duplicate allocation")
	must(t, m.Del(t.Context(), nil))
	o.wantHeld(map[string]string{})
}
