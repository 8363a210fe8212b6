// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"net/netip"
	"testing"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

func TestMovedRoutes(t *testing.T) {
	t.Parallel()
	route := func(dst, gw string) cniproto.Route {
		return cniproto.Route{Dst: netip.MustParsePrefix(dst), GW: netip.MustParseAddr(gw)}
	}
	l := &layout{ips: []cniproto.IPConfig{
		{Address: netip.MustParsePrefix("10.88.0.2/16"), Gateway: netip.MustParseAddr("10.88.0.1")},
		{Address: netip.MustParsePrefix("10.89.0.2/16"), Gateway: netip.MustParseAddr("10.89.0.1")},
	}}
	was := &cniproto.Result{Routes: []cniproto.Route{
		route("0.0.0.0/0", "10.88.0.1"),
		route("0.0.0.0/0", "10.99.0.1"), // of an earlier plugin, as the next
		route("10.9.0.0/16", "10.99.0.1"),
	}}
	for _, test := range []struct {
		name    string
		dst, gw string
		moved   bool
	}{
		{"as ADD made it", "0.0.0.0/0", "10.88.0.1", false},
		{"by another next hop", "0.0.0.0/0", "10.88.0.9", true},
		{"likewise, written otherwise", "10.88.0.2/0", "10.88.0.9", true},
		{"by the other next hop of ours", "0.0.0.0/0", "10.89.0.1", false}, // the record tells
		{"that of an earlier plugin", "0.0.0.0/0", "10.99.0.1", false},
		{"not ours by another next hop", "10.9.0.0/16", "10.99.0.2", false},
		{"a later plugin's", "10.10.0.0/16", "10.99.0.2", false},
	} {
		prev := &cniproto.Result{Routes: []cniproto.Route{route(test.dst, test.gw)}}
		if got := movedRoutes(prev, was, l); len(got) != 0 != test.moved {
			t.Errorf("%s: moved are %v", test.name, got)
		}
		if got := movedRoutes(prev, nil, l); len(got) != 0 {
			t.Errorf("%s, and ADD's result is not known: moved are %v", test.name, got)
		}
	}
}
