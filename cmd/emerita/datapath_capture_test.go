// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestCapture has somebody watch both containers, as tcpdump does, while they talk: all
// is seen at both ends, in both directions, between the MACs that are on each link.
func TestCapture(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	for _, f := range families() {
		watch := map[string]sniffer{"a": sniff(t, "a"), "b": sniff(t, "b")}
		server, at := listenBare(t, f, "b", f.of("b"))
		client, back := listenBare(t, f, "a", f.of("a"))
		before := h.counted("a").FastPackets + h.counted("b").FastPackets
		for range 3 {
			say(t, client, at, "ping of "+f.name)
			server.datagram()
			say(t, server, back, "pong of "+f.name)
			client.datagram()
		}
		if fast := h.counted("a").FastPackets + h.counted("b").FastPackets - before; fast != 6 {
			t.Errorf("%s: %d packets directly, want 6", f.name, fast)
		}
		for who, s := range watch {
			key := state.Key{Network: "net", ContainerID: who, IfName: "eth0"}
			mine, hers := key.ContainerMAC(), key.HostMAC()
			out, in := "ping of "+f.name, "pong of "+f.name
			if who == "b" {
				out, in = in, out
			}
			want := []string{}
			for range 3 {
				pair := []string{
					fmt.Sprintf("sent %s > %s", mine, hers),
					fmt.Sprintf("received %s > %s", hers, mine),
				}
				if who == "b" {
					slices.Reverse(pair)
				}
				want = append(want, pair...)
			}
			if got := s.conversation(t, out, in); !slices.Equal(got, want) {
				t.Errorf("%s, seen in %s:\n%q, want\n%q", f.name, who, got, want)
			}
		}
	}
}

func say(t *testing.T, s bare, to netip.AddrPort, text string) {
	t.Helper()
	var at unix.Sockaddr // none: where it is connected to
	if to.IsValid() {
		at = sockaddr(to)
	}
	if err := unix.Sendto(s.fd, []byte(text), 0, at); err != nil {
		t.Fatal(err)
	}
}

// conversation is what was seen of two texts, in order.
func (s sniffer) conversation(t *testing.T, texts ...string) (seen []string) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(s.fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) {
			return seen
		}
		if err != nil {
			t.Fatal(err)
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || !slices.ContainsFunc(texts, func(x string) bool { return bytes.Contains(buf[:n], []byte(x)) }) {
			continue
		}
		dst, src := net.HardwareAddr(buf[:6]), net.HardwareAddr(buf[6:12])
		way := map[uint8]string{unix.PACKET_OUTGOING: "sent", unix.PACKET_HOST: "received"}[ll.Pkttype]
		seen = append(seen, fmt.Sprintf("%s %s > %s", way, src, dst))
	}
}

// A container that puts its interface into a bridge, as nested ones and virtual
// machines do, is heard and hears: frames are for the MAC that is on its link.
func TestBridgeInContainer(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	key := state.Key{Network: "net", ContainerID: "b", IfName: "eth0"}
	lines := []string{
		"link add br0 address " + key.ContainerMAC().String() + " type bridge",
		"addr flush dev eth0",
		"-6 route flush dev eth0",
		"link set eth0 master br0",
		"link set br0 up",
	}
	for _, f := range families() {
		nodad := f.option(0, 1)
		lines = append(lines,
			"addr add "+f.of("b")+"/"+f.bits()+" dev br0"+[]string{"", " nodad"}[nodad],
			"neigh add "+f.of("gateway")+" lladdr "+key.HostMAC().String()+" dev br0",
			"route add default via "+f.of("gateway")+" dev br0",
			"route add "+f.of("a")+" via "+f.of("gateway")+" dev br0",
		)
	}
	for _, l := range lines {
		testutil.Run(t, "ip", append([]string{"-n", "b"}, strings.Fields(l)...)...)
	}
	for _, f := range families() {
		for _, way := range []struct{ from, to, addr string }{{"a", "b", f.of("b")}, {"b", "a", f.of("a")}, {"host", "b", f.of("b")}} {
			for _, proto := range []string{"tcp", "udp"} {
				if err := reach(proto, way.from, way.to, way.addr, reachWait); err != nil {
					t.Errorf("%s, %s, %s to %s: %v", f.name, proto, way.from, way.to, err)
				}
			}
		}
	}
	if c := h.counted("a"); c.FastBytes < reachSize {
		t.Errorf("%d bytes directly", c.FastBytes)
	}
}
