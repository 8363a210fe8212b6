// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// isBroadcast says whether an address is the broadcast address of a network, which the
// kernel takes for no next hop (fib_check_nh of net/ipv4/fib_semantics.c).
func isBroadcast(a netip.Addr, network netip.Prefix) bool {
	return a.Is4() && network.Bits() < a.BitLen()-1 && a == lastAddr(network)
}

// parseAddr reads an address that a container or gateway may have. field names
// it in the error.
func parseAddr(field, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, invalid(field, s, "is not an IP address")
	}
	if why := cniproto.UnusableAddr(a); why != "" {
		return netip.Addr{}, invalid(field, s, why)
	}
	return a, nil
}

// parseHostPrefix reads a container's address with the length of its network.
func parseHostPrefix(field, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, invalid(field, s, "is not an address with a prefix length, such as 10.1.2.3/24")
	}
	if why := cniproto.UnusableAddr(p.Addr()); why != "" {
		return netip.Prefix{}, invalid(field, s, why)
	}
	return p, nil
}

// splitList flattens lists with commas. An empty element stays, so that its
// parser rejects it; an empty list is none.
func splitList(values []string) []string {
	var items []string
	for _, v := range values {
		if v == "" {
			continue
		}
		for item := range strings.SplitSeq(v, ",") {
			items = append(items, strings.TrimSpace(item))
		}
	}
	return items
}

// requestedAddrs collects the addresses asked for by name, as host-local does:
// CNI_ARGS, then args.cni.ips, then runtimeConfig.ips, all of them together. A
// prefix length is allowed and dropped, because the range has its own.
func requestedAddrs(r Request) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, source := range []struct {
		field  string
		values []string
	}{
		{"CNI_ARGS IP", splitList(r.EnvIP)},
		{"args.cni.ips", r.ArgsIPs},
		{"runtimeConfig.ips", r.RuntimeIPs},
	} {
		for _, s := range source.values {
			a, err := parseAddrOrPrefix(source.field, s)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	return addrs, nil
}

func parseAddrOrPrefix(field, s string) (netip.Addr, error) {
	if !strings.Contains(s, "/") {
		return parseAddr(field, s)
	}
	p, err := parseHostPrefix(field, s)
	return p.Addr(), err
}

// onePerFamily refuses what results before CNI 0.3.0 have no room for.
func onePerFamily(version string, addrs []netip.Addr) error {
	if cniproto.AtLeast(version, "0.3.0") {
		return nil
	}
	var v4, v6 int
	for _, a := range addrs {
		if a.Is4() {
			v4++
		} else {
			v6++
		}
	}
	if v4 > 1 || v6 > 1 {
		return cniproto.Errorf(cniproto.CodeInvalidConfig, "ipam: more than one address of a family",
			"cniVersion %q has room for one: raise it to 0.3.0 or later", version)
	}
	return nil
}
