// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"testing"
)

// A network that a configuration allowed and then does no more is cut off when a
// container is attached with that, in both directions and in the midst of what they
// say, and comes back in the same way. What the other's configuration allows stays.
func TestAllowIsRevoked(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	config := func(network int, allow string) string {
		c := netConfig(network, `"fastPath":"required","isolation":"network","allowNetworks":[`+allow+`]`)
		// The address stays the same.
		return fmt.Sprintf(`{"args":{"cni":{"ips":["%s","%s"]}},%s`, families()[0].in(network, 2), families()[1].in(network, 2), c[1:])
	}
	attach := func(id string, network int, allow string) {
		h.config = config(network, allow)
		h.must("ADD", id)
	}
	again := func(id string, network int, allow string) {
		h.config = config(network, allow)
		h.must("DEL", id)
		h.must("ADD", id)
	}
	attach("a", 1, `"n2"`)
	attach("b", 2, `"n1"`)
	var streams []*stream
	for _, f := range families() {
		for _, way := range [][2]string{{"a", "b"}, {"b", "a"}} {
			s, err := startStream("udp", way[0], way[1], f.in(int(way[1][0]-'a')+1, 2))
			if err != nil {
				t.Fatalf("%s, %s to %s: %v", f.name, way[0], way[1], err)
			}
			streams = append(streams, s)
		}
	}
	goOn := func(when string, want bool) {
		t.Helper()
		if want {
			for i, s := range streams {
				if err := s.await(2); err != nil {
					t.Fatalf("%s: stream %d: %v", when, i, err)
				}
			}
			if err := reach("tcp", "a", "b", "fd00:2::2", reachWait); err != nil {
				t.Errorf("%s: %v", when, err)
			}
			return
		}
		// Whatever was under way has arrived when a ping from the host has.
		h.ping("", "10.1.0.2")
		h.ping("", "10.2.0.2")
		before := make([]int64, len(streams))
		for i, s := range streams {
			before[i] = s.count()
		}
		if err := reach("tcp", "a", "b", "fd00:2::2", unreachWait); !unanswered(err) {
			t.Errorf("%s: TCP: %v", when, err)
		}
		for i, s := range streams {
			if n := s.count() - before[i]; n > 0 {
				t.Errorf("%s: stream %d goes on, %d messages", when, i, n)
			}
		}
	}
	goOn("both allow", true)
	again("b", 2, "")
	goOn("a allows", true)
	again("a", 1, `"n7"`)
	goOn("nobody allows", false)
	again("b", 2, `"n1"`)
	goOn("b allows", true)
	for _, s := range streams {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
}
