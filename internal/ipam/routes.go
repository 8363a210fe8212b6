// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// routeConfig is one element of ipam.routes.
type routeConfig struct {
	Dst      string `json:"dst"`
	GW       string `json:"gw"`
	MTU      int    `json:"mtu"`
	AdvMSS   int    `json:"advmss"`
	Priority int    `json:"priority"`
	Table    *int   `json:"table"`
	Scope    *int   `json:"scope"`
}

func parseRoutes(confs []routeConfig) ([]cniproto.Route, error) {
	var routes []cniproto.Route
	for _, c := range confs {
		r, err := parseRoute(c)
		if err != nil {
			return nil, err
		}
		routes = append(routes, r)
	}
	return routes, nil
}

// parseRoute keeps host bits of dst, as host-local does: what they mean is for
// the one who installs the route to say.
func parseRoute(c routeConfig) (cniproto.Route, error) {
	dst, err := netip.ParsePrefix(c.Dst)
	if err != nil || dst.Addr().Is4In6() {
		return cniproto.Route{}, invalid("routes.dst", c.Dst, "is not a prefix such as 10.0.0.0/8")
	}
	r := cniproto.Route{Dst: dst, MTU: c.MTU, AdvMSS: c.AdvMSS, Priority: c.Priority, Table: c.Table, Scope: c.Scope}
	if c.GW != "" {
		if r.GW, err = parseAddr("routes.gw", c.GW); err != nil {
			return cniproto.Route{}, err
		}
		if r.GW.Is4() != dst.Addr().Is4() {
			return cniproto.Route{}, invalid("routes.gw", c.GW, "is not of the family of dst "+c.Dst)
		}
	}
	for _, n := range []struct {
		field string
		value *int
		most  int64
	}{
		{"routes.mtu", &c.MTU, math.MaxInt32},
		{"routes.advmss", &c.AdvMSS, math.MaxInt32},
		{"routes.priority", &c.Priority, math.MaxUint32},
		{"routes.table", c.Table, math.MaxUint32},
		{"routes.scope", c.Scope, math.MaxUint8},
	} {
		if n.value != nil && (*n.value < 0 || int64(*n.value) > n.most) {
			return cniproto.Route{}, invalid(n.field, fmt.Sprint(*n.value), fmt.Sprintf("is not in 0-%d", n.most))
		}
	}
	return r, nil
}
