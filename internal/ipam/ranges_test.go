// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"math"
	"net/netip"
	"slices"
	"testing"
)

func mustSet(t *testing.T, confs ...rangeConfig) rangeSet {
	t.Helper()
	set, err := newRangeSet(confs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestRangeDefaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		conf                 rangeConfig
		first, last, gateway string
		size                 uint64
	}{
		{rangeConfig{Subnet: "10.1.2.0/24"}, "10.1.2.1", "10.1.2.254", "10.1.2.1", 253},
		{rangeConfig{Subnet: "10.1.2.0/30"}, "10.1.2.1", "10.1.2.2", "10.1.2.1", 1},
		{rangeConfig{Subnet: "10.1.0.0/17"}, "10.1.0.1", "10.1.127.254", "10.1.0.1", 32765},
		{rangeConfig{Subnet: "10.1.2.0/24", Gateway: "10.1.2.254"}, "10.1.2.1", "10.1.2.254", "10.1.2.254", 253},
		{rangeConfig{Subnet: "10.1.2.0/24", Gateway: "169.254.1.1"}, "10.1.2.1", "10.1.2.254", "169.254.1.1", 254},
		{rangeConfig{Subnet: "10.1.2.0/24", RangeStart: "10.1.2.5", RangeEnd: "10.1.2.9"}, "10.1.2.5", "10.1.2.9", "10.1.2.1", 5},
		{rangeConfig{Subnet: "10.1.2.0/24", RangeStart: "10.1.2.0", RangeEnd: "10.1.2.255"}, "10.1.2.0", "10.1.2.255", "10.1.2.1", 253},
		{rangeConfig{Subnet: "fd00::/126"}, "fd00::1", "fd00::3", "fd00::1", 2},
		{rangeConfig{Subnet: "fd00::/64"}, "fd00::1", "fd00::ffff:ffff:ffff:ffff", "fd00::1", math.MaxUint64 - 1},
		{rangeConfig{Subnet: "fd00::/64", RangeStart: "fd00::", Gateway: "fe80::1"}, "fd00::", "fd00::ffff:ffff:ffff:ffff", "fe80::1", math.MaxUint64},
		{rangeConfig{Subnet: "fd00::/8"}, "fd00::1", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00::1", math.MaxUint64},
	} {
		set := mustSet(t, test.conf)
		r := set[0]
		got := []string{r.first.String(), r.last.String(), r.gateway.String()}
		if want := []string{test.first, test.last, test.gateway}; !slices.Equal(got, want) {
			t.Errorf("%+v: first, last, gateway %v, want %v", test.conf, got, want)
		}
		if got := set.size(); got != test.size {
			t.Errorf("%+v: %d addresses, want %d", test.conf, got, test.size)
		}
	}
}

func TestSizeOfSetDoesNotOverflow(t *testing.T) {
	t.Parallel()
	set := mustSet(t, rangeConfig{Subnet: "fd00::/32"}, rangeConfig{Subnet: "fd01::/32"}, rangeConfig{Subnet: "fd02::/120"})
	if got := set.size(); got != math.MaxUint64 {
		t.Errorf("%d addresses, want the largest number", got)
	}
}

func TestAfterGoesRoundOnce(t *testing.T) {
	t.Parallel()
	set := mustSet(t,
		rangeConfig{Subnet: "10.0.0.0/29"}, // 2-6, 1 is the gateway
		rangeConfig{Subnet: "10.0.1.0/24", RangeStart: "10.0.1.8", RangeEnd: "10.0.1.10", Gateway: "10.0.1.9"},
	)
	round := []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.1.8", "10.0.1.10"}
	for _, test := range []struct {
		last  string
		first int
	}{
		{"", 0}, {"10.0.0.1", 0}, {"10.0.0.2", 1}, {"10.0.0.6", 5}, {"10.0.1.8", 6}, {"10.0.1.9", 6}, {"10.0.1.10", 0}, {"192.0.2.1", 0}, {"fd00::1", 0},
	} {
		var last netip.Addr
		if test.last != "" {
			last = netip.MustParseAddr(test.last)
		}
		var got []string
		for a := range set.after(last) {
			got = append(got, a.String())
		}
		if want := slices.Concat(round[test.first:], round[:test.first]); !slices.Equal(got, want) {
			t.Errorf("after %q: %v, want %v", test.last, got, want)
		}
	}
}
