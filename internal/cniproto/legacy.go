// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"fmt"
	"net/netip"
)

// result02 is the result of CNI 0.1.0 and 0.2.0: at most one address of each
// family, and no interfaces.
type result02 struct {
	CNIVersion string `json:"cniVersion,omitempty"`
	IP4        *ip02  `json:"ip4,omitempty"`
	IP6        *ip02  `json:"ip6,omitempty"`
	DNS        DNS    `json:"dns,omitzero"`
}

type ip02 struct {
	IP      netip.Prefix `json:"ip"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
	Routes  []route03    `json:"routes,omitempty"`
}

// result03 is the result of CNI 0.3.0 to 1.0.0; since 1.0.0 without the
// addresses' version.
type result03 struct {
	CNIVersion string        `json:"cniVersion,omitempty"`
	Interfaces []interface03 `json:"interfaces,omitempty"`
	IPs        []ip03        `json:"ips,omitempty"`
	Routes     []route03     `json:"routes,omitempty"`
	DNS        DNS           `json:"dns,omitzero"`
}

type interface03 struct {
	Name    string `json:"name"`
	Mac     string `json:"mac,omitempty"`
	Sandbox string `json:"sandbox,omitempty"`
}

type ip03 struct {
	Version   string       `json:"version,omitempty"`
	Interface *int         `json:"interface,omitempty"`
	Address   netip.Prefix `json:"address"`
	Gateway   netip.Addr   `json:"gateway,omitzero"`
}

// route03 is a route before 1.1.0.
type route03 struct {
	Dst netip.Prefix `json:"dst"`
	GW  netip.Addr   `json:"gw,omitzero"`
}

// to02 drops what 0.2.0 cannot say. Of more than one address of a family it
// could say one, as the reference library does; that is an error here, because
// the container has them all and nobody would know.
func (r *Result) to02(version string) (*result02, error) {
	out := &result02{CNIVersion: version, DNS: r.DNS}
	for _, ip := range r.IPs {
		slot := &out.IP6
		if ip.Address.Addr().Is4() {
			slot = &out.IP4
		}
		if *slot != nil {
			return nil, fmt.Errorf("cniVersion %s has room for one address of a family: set 0.3.0 or later", version)
		}
		*slot = &ip02{IP: ip.Address, Gateway: ip.Gateway}
	}
	if out.IP4 == nil && out.IP6 == nil {
		return nil, fmt.Errorf("no address, and cniVersion %s demands one: set 0.3.0 or later", version)
	}
	for _, rt := range r.Routes {
		slot := out.IP6
		if rt.Dst.Addr().Is4() {
			slot = out.IP4
		}
		if slot != nil {
			slot.Routes = append(slot.Routes, route03{rt.Dst, rt.GW})
		}
	}
	return out, nil
}

func (r *Result) to03(version string) *result03 {
	out := &result03{CNIVersion: version, DNS: r.DNS}
	for _, i := range r.Interfaces {
		out.Interfaces = append(out.Interfaces, interface03{i.Name, i.Mac, i.Sandbox})
	}
	for _, ip := range r.IPs {
		old := ip03{Interface: ip.Interface, Address: ip.Address, Gateway: ip.Gateway}
		if !AtLeast(version, "1.0.0") {
			old.Version = "6"
			if ip.Address.Addr().Is4() {
				old.Version = "4"
			}
		}
		out.IPs = append(out.IPs, old)
	}
	for _, rt := range r.Routes {
		out.Routes = append(out.Routes, route03{rt.Dst, rt.GW})
	}
	return out
}

// from02 says in 1.1.0 what 0.2.0 said.
func from02(ip4, ip6 *ip02) *Result {
	out := new(Result)
	for _, ip := range []*ip02{ip4, ip6} {
		if ip == nil {
			continue
		}
		out.IPs = append(out.IPs, IPConfig{Address: ip.IP, Gateway: ip.Gateway})
		for _, rt := range ip.Routes {
			out.Routes = append(out.Routes, Route{Dst: rt.Dst, GW: rt.GW})
		}
	}
	return out
}
