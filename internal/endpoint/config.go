// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// DefaultGatewayInterface is the shared host interface that carries the
// gateway addresses of all networks.
const DefaultGatewayInterface = "emerita0"

// The MTU limits, bytes: RFC 791 (IPv4) and RFC 8200 (IPv6) below, ETH_MAX_MTU
// of the kernel's veth above.
const (
	minMTU4 = 68
	minMTU6 = 1280
	maxMTU  = 65535
)

// options are the keys of a network configuration that are Emerita's own.
type options struct {
	IPMasq           bool                   `json:"ipMasq"`
	PortConflict     string                 `json:"portConflict"`
	MTU              int                    `json:"mtu"`
	GatewayInterface string                 `json:"gatewayInterface"`
	Routes           []cniproto.RouteConfig `json:"routes"`
	pathOptions
	bandwidthOptions
	accelerationOptions

	// Others use these. Here they are checked.
	Capabilities map[string]json.RawMessage `json:"capabilities"`
	DNS          cniproto.DNS               `json:"dns"`

	limited      limits // what those of bandwidth come to
	acceleration acceleration
	routes       []cniproto.Route
}

func parseOptions(raw []byte) (options, error) {
	o := options{GatewayInterface: DefaultGatewayInterface, PortConflict: portConflictError, pathOptions: defaultPath()}
	if err := cniproto.Unmarshal(raw, &o); err != nil {
		return o, err
	}
	if o.MTU != 0 && (o.MTU < minMTU4 || o.MTU > maxMTU) {
		return o, cniproto.Errorf(cniproto.CodeInvalidConfig, "parse network configuration",
			"mtu %d: must be 0 (as the uplink) or from %d to %d", o.MTU, minMTU4, maxMTU)
	}
	if err := cniproto.CheckIfName(o.GatewayInterface); err != nil {
		return o, cniproto.Errorf(cniproto.CodeInvalidConfig, "parse network configuration",
			"gatewayInterface %q: %w: leave it out for %s", o.GatewayInterface, err, DefaultGatewayInterface)
	}
	if !slices.Contains([]string{portConflictError, portConflictIgnore}, o.PortConflict) {
		return o, cniproto.Errorf(cniproto.CodeInvalidConfig, "parse network configuration",
			"portConflict %q: want %q or %q", o.PortConflict, portConflictError, portConflictIgnore)
	}
	if err := o.validate(); err != nil {
		return o, invalid(err)
	}
	if err := o.validateOthers(); err != nil {
		return o, invalid(err)
	}
	var err error
	if o.limited, err = o.bandwidthOptions.limits(); err != nil {
		return o, invalid(err)
	}
	if o.acceleration, err = o.accelerationOptions.wanted(); err != nil {
		return o, invalid(err)
	}
	o.routes, err = cniproto.ParseRoutes("routes", o.Routes)
	return o, err
}

// validateOthers checks what is not for Emerita itself to use.
func (o options) validateOthers() error {
	for _, name := range slices.Sorted(maps.Keys(o.Capabilities)) {
		if v := string(o.Capabilities[name]); v != "true" && v != "false" && v != "null" {
			return fmt.Errorf("capabilities.%s %.100s: want true or false", name, v)
		}
	}
	if err := o.DNS.Validate(); err != nil {
		return fmt.Errorf("dns.%w", err)
	}
	return nil
}

// wantedMAC is the address asked for by, in rising precedence, CNI_ARGS,
// args.cni and the mac capability, as in upstream's bridge; nil if by nobody.
func wantedMAC(c *cniproto.Config, args cniproto.Args) (net.HardwareAddr, error) {
	text, key := args.MAC, "MAC in CNI_ARGS"
	if c.Args.CNI.MAC != "" {
		text, key = c.Args.CNI.MAC, "args.cni.mac"
	}
	if c.RuntimeConfig.Mac != "" {
		text, key = c.RuntimeConfig.Mac, "runtimeConfig.mac"
	}
	if text == "" {
		return nil, nil
	}
	mac, err := net.ParseMAC(text)
	if err == nil && len(mac) != 6 {
		err = fmt.Errorf("%d bytes, an Ethernet address has 6", len(mac))
	}
	if err == nil && mac[0]&1 != 0 {
		err = fmt.Errorf("a multicast address cannot be an interface's")
	}
	if err == nil && [6]byte(mac) == [6]byte{} {
		err = fmt.Errorf("the zero address cannot be an interface's")
	}
	if err != nil {
		return nil, cniproto.Errorf(cniproto.CodeInvalidConfig, "parse requested MAC address", "%s %q: %w", key, text, err)
	}
	return mac, nil
}

// resolver is the DNS of the result: the capability's over the configuration's
// over that of IPAM.
func resolver(c *cniproto.Config, fromIPAM cniproto.DNS) cniproto.DNS {
	d := fromIPAM
	if !c.DNS.IsZero() {
		d = c.DNS
	}
	if rt := c.RuntimeConfig.DNS; len(rt.Servers)+len(rt.Searches)+len(rt.Options) > 0 {
		d = cniproto.DNS{Nameservers: rt.Servers, Domain: d.Domain, Search: rt.Searches, Options: rt.Options}
	}
	return d
}

// hostPrefix is an address as a network of its own.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
