// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

const staticIPAM = `{
	"type": "static",
	"addresses": [{"address": "10.0.0.5/24", "gateway": "10.0.0.1"}, {"address": "fd00::5/64"}],
	"routes": [{"dst": "0.0.0.0/0"}],
	"dns": {"nameservers": ["192.0.2.53"], "domain": "example.org"}
}`

func TestStaticPrecedence(t *testing.T) {
	t.Parallel()
	ip := func(prefix, gateway string) cniproto.IPConfig {
		c := cniproto.IPConfig{Address: netip.MustParsePrefix(prefix)}
		if gateway != "" {
			c.Gateway = netip.MustParseAddr(gateway)
		}
		return c
	}
	config := []cniproto.IPConfig{ip("10.0.0.5/24", "10.0.0.1"), ip("fd00::5/64", "")}
	for _, test := range []struct {
		name          string
		env, gateway  []string
		args, runtime []string
		want          []cniproto.IPConfig
	}{
		{name: "configuration", want: config},
		{name: "environment adds", env: []string{"10.0.1.5/24"}, want: append(config[:2:2], ip("10.0.1.5/24", ""))},
		{name: "environment's gateways find their addresses", env: []string{"10.0.1.5/24,fd01::5/64"}, gateway: []string{"fd01::1, 10.0.1.1,10.0.0.9"},
			want: append(config[:2:2], ip("10.0.1.5/24", "10.0.1.1"), ip("fd01::5/64", "fd01::1"))},
		{name: "args replace", env: []string{"10.0.1.5/24"}, args: []string{"10.0.2.5/24"}, want: []cniproto.IPConfig{ip("10.0.2.5/24", "")}},
		{name: "runtime replaces args", args: []string{"10.0.2.5/24"}, runtime: []string{"10.0.3.5/24", "fd03::5/64"},
			want: []cniproto.IPConfig{ip("10.0.3.5/24", ""), ip("fd03::5/64", "")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := mustNew(t, Request{
				CNIVersion: "1.1.0", IPAM: json.RawMessage(staticIPAM),
				EnvIP: test.env, EnvGateway: test.gateway, ArgsIPs: test.args, RuntimeIPs: test.runtime,
			})
			var claims []Claim
			got, err := m.Add(t.Context(), Hooks{Claiming: func(c Claim) error { claims = append(claims, c); return nil }})
			must(t, err)
			wantEqual(t, got, &cniproto.Result{
				IPs:    test.want,
				Routes: []cniproto.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0")}},
				DNS:    cniproto.DNS{Nameservers: []string{"192.0.2.53"}, Domain: "example.org"},
			})
			wantEqual(t, claims, []Claim{{Addrs: addrsOf(got)}})
			must(t, m.Del(t.Context(), &claims[0]))
			must(t, m.GC(t.Context(), nil))
			must(t, m.Status(t.Context()))
		})
	}
}

func TestStaticCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, config, want string
	}{
		{"no prevResult", `{}`, "prevResult"},
		{"same", `{"prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.5/24","gateway":"10.0.0.1"},{"address":"fd00::5/64","gateway":"fd00::1"}]}}`, ""},
		{"another gateway", `{"prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.5/24","gateway":"10.0.0.2"}]}}`, "10.0.0.2"},
		{"another address", `{"prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.6/24"}]}}`, ""},
		{"not JSON", `{`, "prevResult"},
	} {
		m := mustNew(t, Request{CNIVersion: "1.1.0", IPAM: json.RawMessage(staticIPAM), Config: []byte(test.config)})
		err := m.Check(t.Context(), nil)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "":
			if err == nil {
				t.Errorf("%s: no error", test.name)
				continue
			}
			wantError(t, err, cniproto.AsError(err).Code, test.want)
		}
	}
}
