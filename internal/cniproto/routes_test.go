// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestRoutesSayWhatTheKernelHolds: what the kernel would cut to 32 bits, make smaller or
// put elsewhere is refused by its key and its bounds.
func TestRoutesSayWhatTheKernelHolds(t *testing.T) {
	t.Parallel()
	for route, want := range map[string]string{
		`{"dst":"10.0.0.0/8","mtu":65520,"advmss":65495,"priority":4294967295,"table":4294967295,"scope":252,"gw":"10.0.0.1"}`: "",
		`{"dst":"fd00::/8","table":1,"scope":253}`:         "",
		`{"dst":"10.0.0.1/8","table":254,"scope":254}`:     "",
		`{"dst":"10.0.0.0/8","table":256}`:                 "",
		`{"dst":"10.0.0.0/8","table":4294967296}`:          "table 4294967296: want 1 to 4294967295",
		`{"dst":"10.0.0.0/8","table":0}`:                   "table 0: want 1 to 4294967295",
		`{"dst":"10.0.0.0/8","table":255}`:                 "table 255: the kernel keeps",
		`{"dst":"10.0.0.0/8","table":-1}`:                  "table -1: want 1 to",
		`{"dst":"10.0.0.0/8","priority":9999999999}`:       "priority 9999999999: want 0 to 4294967295",
		`{"dst":"10.0.0.0/8","advmss":4294967296}`:         "advmss 4294967296: want 0 to 65495",
		`{"dst":"10.0.0.0/8","advmss":65496}`:              "advmss 65496",
		`{"dst":"10.0.0.0/8","mtu":65521}`:                 "mtu 65521: want 0 to 65520",
		`{"dst":"10.0.0.0/8","scope":255}`:                 "scope 255: want 0 to 254",
		`{"dst":"10.0.0.0/8","scope":253,"gw":"10.0.0.1"}`: "scope 253: such a route has no next hop",
		`{"dst":"fd00::/8","scope":200}`:                   "scope 200: IPv6 has none but",
		`{}`:                                               `dst "": want a prefix such as`,
		`{"dst":"x"}`:                                      `dst "x": want a prefix such as 10.0.0.0/8`,
		`{"dst":"10.0.0.0"}`:                               `dst "10.0.0.0": want a prefix`,
		`{"dst":"::ffff:10.0.0.0/104"}`:                    `dst "::ffff:10.0.0.0/104": want a prefix`,
		`{"dst":"10.0.0.0/8","gw":"x"}`:                    `gw "x": want an IP address`,
		`{"dst":"10.0.0.0/8","gw":"224.0.0.1"}`:            `gw "224.0.0.1": is a multicast address`,
		`{"dst":"10.0.0.0/8","gw":"fd00::1"}`:              `gw "fd00::1": is not of the family of dst 10.0.0.0/8`,
	} {
		var confs []RouteConfig
		if err := json.Unmarshal([]byte(`[{"dst":"::/0"},`+route+`]`), &confs); err != nil {
			t.Fatal(err)
		}
		routes, err := ParseRoutes("routes", confs)
		if want == "" {
			mustCode(t, route, err, 0)
			if len(routes) != 2 || routes[1].Validate() != nil {
				t.Errorf("%s: %v", route, routes)
			}
			continue
		}
		mustCode(t, route, err, CodeInvalidConfig, "routes[1]."+want)
	}
}

func TestTooManyRoutes(t *testing.T) {
	t.Parallel()
	confs := make([]RouteConfig, MaxRoutes+1)
	for i := range confs {
		confs[i].Dst = fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)
	}
	_, err := ParseRoutes("ipam.routes", confs)
	mustCode(t, "1001", err, CodeInvalidConfig, "ipam.routes: too many routes: 1001", "1000")
	routes, err := ParseRoutes("ipam.routes", confs[:MaxRoutes])
	mustCode(t, "1000", err, 0)
	if len(routes) != MaxRoutes || !strings.HasSuffix(routes[MaxRoutes-1].Dst.String(), "/24") {
		t.Errorf("%d routes", len(routes))
	}
}
