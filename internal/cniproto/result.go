// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"fmt"
	"net/netip"
)

// Result is the result of an ADD in the form of CNI 1.1.0. Encode renders it
// in the form of any older version. It is also prevResult, and the abbreviated
// result of an IPAM plugin (no interfaces, ips without interface).
type Result struct {
	CNIVersion string      `json:"cniVersion,omitempty"`
	Interfaces []Interface `json:"interfaces,omitempty"`
	IPs        []IPConfig  `json:"ips,omitempty"`
	Routes     []Route     `json:"routes,omitempty"`
	DNS        DNS         `json:"dns,omitzero"`
}

// Interface is one interface of a Result. Sandbox is CNI_NETNS for an interface
// inside the container and empty for one on the host. MTU is in bytes.
type Interface struct {
	Name       string `json:"name"`
	Mac        string `json:"mac,omitempty"`
	MTU        int    `json:"mtu,omitempty"`
	Sandbox    string `json:"sandbox,omitempty"`
	SocketPath string `json:"socketPath,omitempty"`
	PciID      string `json:"pciID,omitempty"`
}

// IPConfig is one address of a Result: the container's address with the length
// of its network, and the gateway. Interface is an index into Interfaces.
type IPConfig struct {
	Interface *int         `json:"interface,omitempty"`
	Address   netip.Prefix `json:"address"`
	Gateway   netip.Addr   `json:"gateway,omitzero"`
}

// Route is one route of a Result. Scope: 0 global, 253 link, 254 host. Without
// GW the next hop is the runtime's choice: Emerita takes the IPAM gateway of
// the route's family.
type Route struct {
	Dst      netip.Prefix `json:"dst"`
	GW       netip.Addr   `json:"gw,omitzero"`
	MTU      int          `json:"mtu,omitempty"`
	AdvMSS   int          `json:"advmss,omitempty"`
	Priority int          `json:"priority,omitempty"`
	Table    *int         `json:"table,omitempty"`
	Scope    *int         `json:"scope,omitempty"`
}

// DNS is the resolver configuration of a Result or of a network configuration.
type DNS struct {
	Nameservers []string `json:"nameservers,omitempty"`
	Domain      string   `json:"domain,omitempty"`
	Search      []string `json:"search,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// IsZero says that nothing is set; encoding/json asks it for omitzero.
func (d DNS) IsZero() bool {
	return d.Domain == "" && len(d.Nameservers) == 0 && len(d.Search) == 0 && len(d.Options) == 0
}

// Validate checks what a configuration says: nameservers are addresses (specification,
// section 1, "dns"), if need be with a zone, as resolvers take them. The error begins with
// the key.
func (d DNS) Validate() error {
	for i, s := range d.Nameservers {
		if _, err := netip.ParseAddr(s); err != nil {
			return fmt.Errorf("nameservers[%d] %q: want an IP address", i, s)
		}
	}
	return nil
}
