// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"fmt"
	"math"
	"net/netip"
)

// RouteConfig is a route as a configuration writes it: text, so that an error can say
// what stands under which key.
type RouteConfig struct {
	Dst      string `json:"dst"`
	GW       string `json:"gw"`
	MTU      int    `json:"mtu"`
	AdvMSS   int    `json:"advmss"`
	Priority int    `json:"priority"`
	Table    *int   `json:"table"`
	Scope    *int   `json:"scope"`
}

// MaxRoutes is how many routes an attachment may have, so that one message to the kernel
// holds them, with a next hop and a neighbour each.
const MaxRoutes = 1000

// The limits of what the kernel takes as it is said: it makes larger metrics these
// (ip_metrics_convert of net/ipv4/metrics.c), and larger scopes nothing.
const (
	maxRouteMTU    = 65535 - 15
	maxRouteAdvMSS = 65535 - 40
	maxRouteScope  = 254
)

// What the numbers mean (include/uapi/linux/rtnetlink.h).
const (
	scopeLink  = 253
	tableLocal = 255
)

// ParseRoutes reads the routes under a key such as "ipam.routes". Host bits of dst stay:
// what they mean is for the one who installs the route to say. Errors have
// CodeInvalidConfig.
func ParseRoutes(key string, confs []RouteConfig) ([]Route, error) {
	const what = "parse network configuration"
	if len(confs) > MaxRoutes {
		return nil, Errorf(CodeInvalidConfig, what, "%s: %w", key, TooManyRoutes(len(confs)))
	}
	var routes []Route
	for i, c := range confs {
		r, err := c.parse()
		if err != nil {
			return nil, Errorf(CodeInvalidConfig, what, "%s[%d].%w", key, i, err)
		}
		routes = append(routes, r)
	}
	return routes, nil
}

// TooManyRoutes is the error of n routes.
func TooManyRoutes(n int) error {
	return fmt.Errorf("too many routes: %d, and a container may have %d", n, MaxRoutes)
}

// parse returns errors that begin with the key.
func (c RouteConfig) parse() (Route, error) {
	dst, err := netip.ParsePrefix(c.Dst)
	if err != nil || dst.Addr().Is4In6() {
		return Route{}, fmt.Errorf("dst %q: want a prefix such as 10.0.0.0/8", c.Dst)
	}
	r := Route{Dst: dst, MTU: c.MTU, AdvMSS: c.AdvMSS, Priority: c.Priority, Table: c.Table, Scope: c.Scope}
	if c.GW != "" {
		if r.GW, err = netip.ParseAddr(c.GW); err != nil {
			return Route{}, fmt.Errorf("gw %q: want an IP address", c.GW)
		}
	}
	return r, r.Validate()
}

// Validate refuses what the kernel would not take, or would put elsewhere than the route
// says. The error begins with the key.
func (r Route) Validate() error {
	if r.GW.IsValid() {
		if why := UnusableAddr(r.GW); why != "" {
			return fmt.Errorf("gw %q: %s", r.GW, why)
		}
		if r.GW.Is4() != r.Dst.Addr().Is4() {
			return fmt.Errorf("gw %q: is not of the family of dst %s", r.GW, r.Dst)
		}
	}
	for _, n := range [...]struct {
		key         string
		value       *int
		least, most int64
	}{
		{"mtu", &r.MTU, 0, maxRouteMTU}, {"advmss", &r.AdvMSS, 0, maxRouteAdvMSS}, {"priority", &r.Priority, 0, math.MaxUint32},
		{"table", r.Table, 1, math.MaxUint32}, {"scope", r.Scope, 0, maxRouteScope},
	} {
		if n.value != nil && (int64(*n.value) < n.least || int64(*n.value) > n.most) {
			return fmt.Errorf("%s %d: want %d to %d", n.key, *n.value, n.least, n.most)
		}
	}
	if r.Table != nil && *r.Table == tableLocal {
		return fmt.Errorf("table %d: the kernel keeps the container's addresses there: choose another", tableLocal)
	}
	return r.validateScope()
}

// validateScope: a next hop is of scope link, so that what leads to it must be wider
// (fib_check_nh_v4_gw of net/ipv4/fib_semantics.c). IPv6 has no scopes but with a next hop
// and without.
func (r Route) validateScope() error {
	switch {
	case r.Scope == nil || *r.Scope == 0:
	case *r.Scope >= scopeLink && r.GW.IsValid():
		return fmt.Errorf("scope %d: such a route has no next hop: leave out gw or scope", *r.Scope)
	case *r.Scope < scopeLink && r.Dst.Addr().Is6():
		return fmt.Errorf("scope %d: IPv6 has none but 0, 253 and 254", *r.Scope)
	}
	return nil
}

// UnusableAddr says why no interface of a container and no gateway can have the
// address, or returns "".
func UnusableAddr(a netip.Addr) string {
	switch {
	case a.Zone() != "":
		return "has a zone"
	case a.Is4In6():
		return "is IPv4 in IPv6 form: write " + a.Unmap().String()
	case a.IsUnspecified(), a.Is4() && a.As4()[0] == 0:
		return "is in 0.0.0.0/8 or unspecified"
	case a.IsLoopback():
		return "is a loopback address"
	case a.IsMulticast():
		return "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	}
	return ""
}
