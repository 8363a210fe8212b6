// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// static serves "type": "static": the addresses stand in the configuration,
// and nothing is kept.
type static struct {
	result cniproto.Result
	config []byte // whole configuration, for its prevResult
	// version is what a prevResult without one is taken for.
	version string
}

// staticConfig is the "ipam" object.
type staticConfig struct {
	Addresses []struct {
		Address string `json:"address"`
		Gateway string `json:"gateway"`
	} `json:"addresses"`
	Routes []cniproto.RouteConfig `json:"routes"`
	DNS    cniproto.DNS           `json:"dns"`
}

func newStatic(r Request) (Manager, error) {
	var conf staticConfig
	if err := cniproto.UnmarshalAt("ipam", r.IPAM, &conf); err != nil {
		return nil, err
	}
	if err := conf.DNS.Validate(); err != nil {
		return nil, cniproto.Errorf(cniproto.CodeInvalidConfig, "parse network configuration", "ipam.dns.%w", err)
	}
	ips, err := staticIPs(conf, r)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, ip := range ips {
		addr := ip.Address.Addr()
		if slices.Contains(addrs, addr) {
			return nil, invalid("address", addr.String(), "is given twice: a container has an address once")
		}
		addrs = append(addrs, addr)
		if ip.Gateway.IsValid() && isBroadcast(ip.Gateway, ip.Address) {
			return nil, invalid("gateway", ip.Gateway.String(), "is the broadcast address of "+ip.Address.Masked().String())
		}
	}
	if err := onePerFamily(r.CNIVersion, addrs); err != nil {
		return nil, err
	}
	routes, err := cniproto.ParseRoutes("ipam.routes", conf.Routes)
	if err != nil {
		return nil, err
	}
	return &static{
		result:  cniproto.Result{IPs: ips, Routes: routes, DNS: conf.DNS},
		config:  r.Config,
		version: r.CNIVersion,
	}, nil
}

// staticIPs follows the static plugin: CNI_ARGS adds to ipam.addresses, then
// args.cni.ips replaces all of these, and runtimeConfig.ips those again. What
// is replaced must be well-formed all the same.
func staticIPs(conf staticConfig, r Request) ([]cniproto.IPConfig, error) {
	var ips []cniproto.IPConfig
	for _, c := range conf.Addresses {
		p, err := parseHostPrefix("addresses.address", c.Address)
		if err != nil {
			return nil, err
		}
		ip := cniproto.IPConfig{Address: p}
		if c.Gateway != "" {
			if ip.Gateway, err = parseAddr("addresses.gateway", c.Gateway); err != nil {
				return nil, err
			}
		}
		ips = append(ips, ip)
	}
	env, err := envIPs(r)
	if err != nil {
		return nil, err
	}
	ips = append(ips, env...)
	for _, source := range []struct {
		field  string
		values []string
	}{
		{"args.cni.ips", r.ArgsIPs},
		{"runtimeConfig.ips", r.RuntimeIPs},
	} {
		replacing, err := parseIPs(source.field, source.values)
		if err != nil {
			return nil, err
		}
		if len(replacing) > 0 {
			ips = replacing
		}
	}
	return ips, nil
}

// envIPs reads IP= and GATEWAY= of CNI_ARGS. A gateway goes to each address of
// IP= in whose network it is, the last one counts, and one without is dropped.
func envIPs(r Request) ([]cniproto.IPConfig, error) {
	ips, err := parseIPs("CNI_ARGS IP", splitList(r.EnvIP))
	if err != nil {
		return nil, err
	}
	for _, s := range splitList(r.EnvGateway) {
		gw, err := parseAddr("CNI_ARGS GATEWAY", s)
		if err != nil {
			return nil, err
		}
		for i := range ips {
			if ips[i].Address.Contains(gw) {
				ips[i].Gateway = gw
			}
		}
	}
	return ips, nil
}

func parseIPs(field string, values []string) ([]cniproto.IPConfig, error) {
	var ips []cniproto.IPConfig
	for _, s := range values {
		p, err := parseHostPrefix(field, s)
		if err != nil {
			return nil, err
		}
		ips = append(ips, cniproto.IPConfig{Address: p})
	}
	return ips, nil
}

// Add implements Manager.
func (m *static) Add(_ context.Context, h Hooks) (*cniproto.Result, error) {
	if h.Claiming != nil {
		var claim Claim
		for _, ip := range m.result.IPs {
			claim.Addrs = append(claim.Addrs, ip.Address.Addr())
		}
		if err := h.Claiming(claim); err != nil {
			return nil, cniproto.Wrap(cniproto.CodeIPAM, "claim static addresses", err)
		}
	}
	return &m.result, nil
}

// Del implements Manager: there is nothing to release.
func (m *static) Del(context.Context, *Claim) error { return nil }

// Check implements Manager as the static plugin does: an address of the
// configuration that is in prevResult must have its gateway there.
func (m *static) Check(context.Context, *Claim) error {
	if err := m.check(); err != nil {
		return cniproto.Wrap(cniproto.CodeIPAM, "check static addresses", err)
	}
	return nil
}

func (m *static) check() error {
	var conf struct {
		PrevResult json.RawMessage `json:"prevResult"`
	}
	if err := json.Unmarshal(m.config, &conf); err != nil {
		return fmt.Errorf("read prevResult: %w", err)
	}
	if len(conf.PrevResult) == 0 || string(conf.PrevResult) == "null" {
		return invalid("prevResult", "", "is missing: CHECK needs the result of the ADD")
	}
	prev, err := cniproto.DecodeResult(conf.PrevResult, m.version)
	if err != nil {
		return fmt.Errorf("read prevResult: %w", err)
	}
	for _, want := range m.result.IPs {
		for _, got := range prev.IPs {
			if got.Address.Addr() != want.Address.Addr() {
				continue
			}
			if want.Gateway.IsValid() && got.Gateway != want.Gateway {
				return fmt.Errorf("address %s has gateway %q in prevResult and %q in the configuration: add the container again",
					want.Address, got.Gateway, want.Gateway)
			}
			break
		}
	}
	return nil
}

// GC implements Manager: there is nothing to release.
func (m *static) GC(context.Context, []cniproto.Attachment) error { return nil }

// Status implements Manager: what New accepted can be served.
func (m *static) Status(context.Context) error { return nil }
