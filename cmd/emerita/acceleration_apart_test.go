// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// Two networks have the same addresses, one after the other: while sockets of the first's
// containers are still there, with unread bytes, those of the second's have the same
// addresses and ports. Neither hears a byte of the other.
func TestAcceleratedNetworksApart(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	h := newHost(t)
	testutil.Netns(t, "c")
	testutil.Netns(t, "d")
	first := newHalf(h, 1, true, "a", "b")
	second := &half{host: h, on: true, number: 1, ids: [2]string{"c", "d"}}
	for _, w := range ways() {
		old := first.fixed(w)
		k := newWalker(old, *tortureSeed)
		for who := range old.ends {
			if err := firstError(k.say(who, 100), k.hearAll(1-who)); err != nil {
				t.Fatal(err)
			}
		}
		first.takes(old, "the first network, "+w.name, bySocket, bySocket)
		for who := range old.ends { // unread
			if err := k.say(who, 1000); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range first.ids {
			h.must("DEL", id)
		}
		h.config = strings.Replace(accelerationConfig(1, true), `"n1"`, `"n2"`, 1)
		for who, id := range second.ids {
			if got, want := h.address(h.must("ADD", id)), fmt.Sprintf("10.1.0.%d", who+2); got != want {
				t.Fatalf("container %s has %s, not %s", id, got, want)
			}
			second.enter(who)
		}
		for i := range uint64(3) { // again and again by the same ports
			now := second.fixed(w)
			for who := range old.ends {
				if old.ends[who].at != now.ends[who].at {
					t.Fatalf("other ports: %s, %s", old.ends[who].at, now.ends[who].at)
				}
			}
			other := newWalker(now, *tortureSeed+100+i)
			for who := range now.ends { // the old one speaks between
				_ = k.say(who, 500)
				if err := firstError(other.say(who, 700), other.hearAll(1-who)); err != nil {
					t.Errorf("%s, the second network: %v", w.name, err)
				}
			}
			second.takesIn("n2", now, "the second network, "+w.name, bySocket)
			if err := firstError(other.walk(30), other.drain()); err != nil {
				t.Errorf("%s, the second network, a walk: %v", w.name, err)
			}
			now.reset()
		}
		for who := range old.ends {
			// What was said before the end of the attachment is still there, and nothing else.
			p := make([]byte, 1000)
			if err := firstError(old.ends[who].read(p), k.heard[who].check(p)); err != nil {
				t.Errorf("%s, the first network: %v", w.name, err)
			}
			for late := deadline(silence); !late(); {
				if err := k.hear(who, 10_000); err != nil {
					t.Errorf("%s, the first network: %v", w.name, err)
					break
				}
			}
		}
		old.reset()
		for _, id := range second.ids {
			h.must("DEL", id)
		}
		h.forgetAddresses()
		h.config = accelerationConfig(1, true)
		for _, id := range first.ids {
			h.must("ADD", id)
		}
	}
}

// forgetAddresses has the networks begin with their first addresses again.
func (h *host) forgetAddresses() {
	h.t.Helper()
	testutil.Run(h.t, "sh", "-c", "rm -f /var/lib/cni/networks/*/last_reserved_ip.*")
}

// fixed connects from a port to a port that are always the same.
func (x *half) fixed(w way) conn {
	x.t.Helper()
	const from, to = 40000, 50000
	l := x.open(1, x.in(w.listen), 0)
	defer l.close()
	if err := firstError(unix.Bind(l.fd, sockaddr(netip.AddrPortFrom(x.in(w.listen), to))), unix.Listen(l.fd, 10)); err != nil {
		x.t.Fatalf("listen at port %d: %v", to, err)
	}
	l.at = netip.AddrPortFrom(x.in(w.dial), to)
	return x.again(l, from)
}

// takesIn says that a network has the connection, both ways, by a path.
func (x *half) takesIn(network string, c conn, when, path string) {
	x.t.Helper()
	for who := range c.ends {
		got := apart
		for _, f := range x.flows() {
			if f.network == network && f.from == c.ends[who].at.String() && f.to == c.ends[1-who].at.String() {
				got = f.path
			}
		}
		if got != path {
			x.t.Errorf("%s: path %q from end %d, want %q", when, got, who, path)
		}
	}
}

// Containers of another network have a link of their own, with the addresses and ports
// that two of the first network talk by. That link is not the network's.
func TestAcceleratedAddressesOfOthers(t *testing.T) {
	t.Parallel()
	halves := newHalves(t)
	testutil.Netns(t, "e")
	testutil.Netns(t, "f")
	owner, liar := halves[1], newHalf(halves[1].host, 3, true, "e", "f")
	testutil.Run(t, "ip", "link", "add", "p0", "netns", "e", "type", "veth", "peer", "name", "p0", "netns", "f")
	for who, id := range liar.ids {
		for _, line := range []string{
			fmt.Sprintf("addr add 10.2.0.%d/24 dev p0", who+2),
			fmt.Sprintf("addr add fd00:2::%d/64 dev p0 nodad", who+2),
			"link set p0 up", "link show p0",
		} {
			testutil.Run(t, "ip", append([]string{"-n", id}, strings.Fields(line)...)...)
		}
	}
	for _, w := range ways() {
		own := owner.fixed(w)
		liar.number = owner.number // its addresses, by the link
		other := liar.fixed(w)
		liar.number = 3
		for who := range own.ends {
			if own.ends[who].at != other.ends[who].at {
				t.Fatalf("other addresses: %s, %s", own.ends[who].at, other.ends[who].at)
			}
		}
		k, l := newDialogue(own, *tortureSeed+1), newDialogue(other, *tortureSeed+2)
		for range 20 {
			if err := firstError(k.turns(1, upTo(13)), l.turns(1, upTo(13))); err != nil {
				t.Fatalf("%s: %v", w.name, err)
			}
		}
		owner.takes(own, "the network's own, "+w.name, bySocket, bySocket)
		if n := len(owner.flows()); n != 2 {
			t.Errorf("%s: %d flows, want 2: %v", w.name, n, owner.flows())
		}
		if err := firstError(k.finish(), l.finish()); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}
