// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"fmt"
	"net/netip"
)

// DecodeResult reads a result of any supported version, as plugins print it and
// as runtimes give it back in prevResult. One without cniVersion is of
// defaultVersion. null counts as absent. Addresses that are IPv4 mapped to IPv6
// become IPv4, as in the reference library.
//
// Every address has its prefix and every route its dst. IPConfig.Interface is
// within Interfaces; but 0 without any Interfaces, as IPAM plugins say where they
// should say nothing, is dropped.
//
// An error has CodeDecode (not a JSON object), CodeInvalidConfig or
// CodeIncompatibleVersion.
func DecodeResult(raw []byte, defaultVersion string) (*Result, error) {
	const what = "parse result"
	var in anyResult
	if err := unmarshal(raw, &in, what); err != nil {
		return nil, err
	}
	out, err := in.result(defaultVersion)
	return out, Wrap(CodeInvalidConfig, what, err)
}

// DecodePrevResult is DecodeResult for the prevResult of a configuration: a key like
// others, so that one of another type is an error with CodeInvalidConfig that names it.
func DecodePrevResult(raw []byte, defaultVersion string) (*Result, error) {
	const key = "prevResult"
	var in anyResult
	if err := UnmarshalAt(key, raw, &in); err != nil {
		return nil, err
	}
	out, err := in.result(defaultVersion)
	return out, Wrap(CodeInvalidConfig, "parse "+key, err)
}

// anyResult has the words of all versions.
type anyResult struct {
	Result
	IP4 *ip02 `json:"ip4"`
	IP6 *ip02 `json:"ip6"`
}

func (in *anyResult) result(defaultVersion string) (*Result, error) {
	if in.CNIVersion == "" {
		in.CNIVersion = defaultVersion
	}
	version, err := NormalizeVersion(in.CNIVersion)
	if err != nil {
		return nil, err
	}
	out := &in.Result
	if !AtLeast(version, "0.3.0") {
		out = from02(in.IP4, in.IP6)
		out.DNS = in.DNS
	}
	out.CNIVersion = version
	if err := out.normalize(); err != nil {
		return nil, err
	}
	return out, nil
}

// normalize brings addresses into one form, and refuses what later steps would
// stumble over.
func (r *Result) normalize() (err error) {
	if err := r.complete(); err != nil {
		return err
	}
	for i := range r.IPs {
		ip := &r.IPs[i]
		if ip.Address, err = unmapPrefix(ip.Address); err != nil {
			return fmt.Errorf("ips[%d].address: %w", i, err)
		}
		if ip.Gateway, err = unmapAddr(ip.Gateway); err != nil {
			return fmt.Errorf("ips[%d].gateway: %w", i, err)
		}
		switch {
		case ip.Interface == nil:
		case *ip.Interface == 0 && len(r.Interfaces) == 0:
			ip.Interface = nil
		case *ip.Interface < 0 || *ip.Interface >= len(r.Interfaces):
			return fmt.Errorf("ips[%d].interface is %d, and there are %d interfaces", i, *ip.Interface, len(r.Interfaces))
		}
	}
	for i := range r.Routes {
		rt := &r.Routes[i]
		if rt.Dst, err = unmapPrefix(rt.Dst); err != nil {
			return fmt.Errorf("routes[%d].dst: %w", i, err)
		}
		if rt.GW, err = unmapAddr(rt.GW); err != nil {
			return fmt.Errorf("routes[%d].gw: %w", i, err)
		}
	}
	return nil
}

// mappedBits is the length of ::ffff:0:0/96.
const mappedBits = 96

func unmapPrefix(p netip.Prefix) (netip.Prefix, error) {
	if !p.Addr().Is4In6() {
		return p, nil
	}
	if p.Bits() < mappedBits {
		return p, fmt.Errorf("%s is neither of IPv4 nor of IPv6", p)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits), nil
}

func unmapAddr(a netip.Addr) (netip.Addr, error) {
	if a.Zone() != "" {
		return a, fmt.Errorf("%s has a zone, which a result cannot have", a)
	}
	return a.Unmap(), nil
}
