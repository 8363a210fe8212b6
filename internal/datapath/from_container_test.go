// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
)

// What may become of a frame from a container.
const (
	direct  = "redirect, fast"
	toStack = "pass, out"
)

func dropped(why string) string { return "shot, drop " + why }

// frames are the cases of one group: what mallory, or whom the case names, puts
// on the wire, and what becomes of it.
type frameCase struct {
	name string
	from *actor // nil: mallory
	// frame is the whole frame, if set; else payload and ethertype are sent
	// to the host end.
	frame     []byte
	ethertype uint16
	payload   []byte
	gso       uint32
	want      string
}

func (w *world) runFrames(t *testing.T, cases []frameCase) {
	t.Helper()
	for _, c := range cases {
		from := c.from
		if from == nil {
			from = w.mallory
		}
		frame := c.frame
		if frame == nil {
			frame = ethernet(from.hostMAC, from.mac, c.ethertype, c.payload)
		}
		// Here, because a subtest's goroutine is on another host.
		got := w.run(t, w.from, from, frame, context{GSOSize: c.gso})
		t.Run(c.name, func(t *testing.T) {
			if got != c.want {
				t.Errorf("%s sent %.200x:\n got %q\nwant %q", from.name, frame, got, c.want)
			}
		})
	}
}

func TestFromContainerEthernet(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	m := w.mallory
	packet := ip4{src: m.v4, dst: w.bob.v4}.bytes()
	w.runFrames(t, []frameCase{
		{name: "own address", ethertype: ethIPv4, payload: packet, want: direct},
		{name: "source address of alice", frame: ethernet(m.hostMAC, w.alice.mac, ethIPv4, packet), want: dropped("source-mac")},
		{name: "source address of the host end", frame: ethernet(m.hostMAC, m.hostMAC, ethIPv4, packet), want: dropped("source-mac")},
		{name: "source address wrong in the last bit", frame: ethernet(m.hostMAC, net.HardwareAddr{2, 0, 0, 0, 0, 2}, ethIPv4, packet), want: dropped("source-mac")},
		{name: "source address wrong in the first bit", frame: ethernet(m.hostMAC, net.HardwareAddr{3, 0, 0, 0, 0, 3}, ethIPv4, packet), want: dropped("source-mac")},
		{name: "to everybody", frame: ethernet(net.HardwareAddr{255, 255, 255, 255, 255, 255}, m.mac, ethIPv4, packet), want: toStack},
		{name: "to a group", frame: ethernet(net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}, m.mac, ethIPv4, packet), want: toStack},
		{name: "to somebody else's address", frame: ethernet(w.bob.mac, m.mac, ethIPv4, packet), want: toStack},
		{name: "tag within the frame, 802.1Q", ethertype: 0x8100, payload: join(be16(1), be16(ethIPv4), packet), want: dropped("vlan")},
		{name: "tag within the frame, 802.1ad", ethertype: 0x88a8, payload: join(be16(1), be16(ethIPv4), packet), want: dropped("vlan")},
		{name: "802.3 with a length", ethertype: 46, payload: make([]byte, 46), want: dropped("ethertype")},
		{name: "EAPOL", ethertype: 0x888e, payload: make([]byte, 46), want: dropped("ethertype")},
		{name: "LLDP", ethertype: 0x88cc, payload: make([]byte, 46), want: dropped("ethertype")},
		{name: "PPPoE", ethertype: 0x8864, payload: make([]byte, 46), want: dropped("ethertype")},
		{name: "MPLS", ethertype: 0x8847, payload: make([]byte, 46), want: dropped("ethertype")},
		{name: "no payload", ethertype: 0x88cc, want: dropped("ethertype")},
	})
}

func TestFromContainerIPv4(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	m := w.mallory
	outside := netip.MustParseAddr("198.51.100.1")
	to := func(h ip4) []byte {
		if !h.src.IsValid() {
			h.src = m.v4
		}
		if !h.dst.IsValid() {
			h.dst = w.bob.v4
		}
		return h.bytes()
	}
	w.runFrames(t, []frameCase{
		{name: "udp to bob", ethertype: ethIPv4, payload: to(ip4{}), want: direct},
		{name: "tcp to bob", ethertype: ethIPv4, payload: to(ip4{proto: protoTCP, payload: make([]byte, 20)}), want: direct},
		{name: "icmp to bob", ethertype: ethIPv4, payload: to(ip4{proto: protoICMP}), want: direct},
		{name: "unknown protocol to bob", ethertype: ethIPv4, payload: to(ip4{proto: 253}), want: direct},
		{name: "header without payload", ethertype: ethIPv4, payload: to(ip4{payload: []byte{}}), want: direct},
		{name: "to carol of another network", ethertype: ethIPv4, payload: to(ip4{dst: w.carol.v4}), want: toStack},
		{name: "to the outside", ethertype: ethIPv4, payload: to(ip4{dst: outside}), want: toStack},
		{name: "to itself", ethertype: ethIPv4, payload: to(ip4{dst: m.v4}), want: toStack},
		{name: "to a group", ethertype: ethIPv4, payload: to(ip4{dst: netip.MustParseAddr("224.0.0.1")}), want: toStack},
		{name: "to everybody", ethertype: ethIPv4, payload: to(ip4{dst: netip.MustParseAddr("255.255.255.255")}), want: toStack},
		{name: "to the loopback address", ethertype: ethIPv4, payload: to(ip4{dst: netip.MustParseAddr("127.0.0.1")}), want: toStack},
		{name: "source of alice", ethertype: ethIPv4, payload: to(ip4{src: w.alice.v4}), want: dropped("source-ipv4")},
		{name: "source of the outside", ethertype: ethIPv4, payload: to(ip4{src: outside}), want: dropped("source-ipv4")},
		{name: "source of carol", ethertype: ethIPv4, payload: to(ip4{src: w.carol.v4}), want: dropped("source-ipv4")},
		{name: "source 0.0.0.0", ethertype: ethIPv4, payload: to(ip4{src: netip.IPv4Unspecified()}), want: dropped("source-ipv4")},
		{name: "source of the loopback", ethertype: ethIPv4, payload: to(ip4{src: netip.MustParseAddr("127.0.0.1")}), want: dropped("source-ipv4")},
		{name: "carol with the source of bob", from: w.carol, ethertype: ethIPv4, payload: to(ip4{src: w.bob.v4, dst: m.v4}), want: dropped("source-ipv4")},
		{name: "wrong source in the options path", ethertype: ethIPv4, payload: to(ip4{src: w.alice.v4, options: make([]byte, 4)}), want: dropped("source-ipv4")},
		{name: "wrong source in a later fragment", ethertype: ethIPv4, payload: to(ip4{src: w.alice.v4, fragment: 185}), want: dropped("source-ipv4")},
		{name: "version 6", ethertype: ethIPv4, payload: to(ip4{version: 6}), want: dropped("malformed")},
		{name: "version 0", ethertype: ethIPv4, payload: bytes.Repeat([]byte{0x05}, 28), want: dropped("malformed")},
		{name: "header length 4", ethertype: ethIPv4, payload: to(ip4{ihl: 4}), want: dropped("malformed")},
		{name: "options", ethertype: ethIPv4, payload: to(ip4{options: []byte{1, 1, 1, 0}}), want: toStack},
		{name: "source route", ethertype: ethIPv4, payload: to(ip4{options: join([]byte{0x83, 7, 4}, w.bob.v4.AsSlice(), []byte{0})}), want: toStack},
		{name: "header length beyond the packet", ethertype: ethIPv4, payload: to(ip4{ihl: 15}), want: toStack},
		{name: "first fragment", ethertype: ethIPv4, payload: to(ip4{fragment: 0x2000}), want: toStack},
		{name: "later fragment", ethertype: ethIPv4, payload: to(ip4{fragment: 0x2000 | 185}), want: toStack},
		{name: "last fragment", ethertype: ethIPv4, payload: to(ip4{fragment: 185}), want: toStack},
		{name: "must not be fragmented", ethertype: ethIPv4, payload: to(ip4{fragment: 0x4000}), want: direct},
		{name: "time to live 0", ethertype: ethIPv4, payload: bytes.Replace(to(ip4{ttl: 77}), []byte{77, protoUDP}, []byte{0, protoUDP}, 1), want: toStack},
		{name: "time to live 1", ethertype: ethIPv4, payload: to(ip4{ttl: 1}), want: toStack},
		{name: "time to live 2", ethertype: ethIPv4, payload: to(ip4{ttl: 2}), want: direct},
	})
}

// TestFromContainerDelivery is about what decides between the fast path and the
// host stack once the speaker is known to be himself.
func TestFromContainerDelivery(t *testing.T) {
	t.Parallel()
	w := enterWorld(t)
	v4 := func(from, to *actor, size int) []byte {
		return ip4{src: from.v4, dst: to.v4, payload: make([]byte, size-20)}.bytes()
	}
	v6 := func(from, to *actor, size int) []byte {
		return ip6{src: from.v6, dst: to.v6, payload: make([]byte, size-40)}.bytes()
	}
	cases := []frameCase{
		{name: "IPv4, fast path off", from: w.erin, ethertype: ethIPv4, payload: v4(w.erin, w.bob, 60), want: toStack},
		{name: "IPv6, fast path off", from: w.erin, ethertype: ethIPv6, payload: v6(w.erin, w.bob, 60), want: toStack},
		{name: "IPv4, as long as the smaller MTU", from: w.alice, ethertype: ethIPv4, payload: v4(w.alice, w.dave, 1300), want: direct},
		{name: "IPv4, longer than the smaller MTU", from: w.alice, ethertype: ethIPv4, payload: v4(w.alice, w.dave, 1301), want: toStack},
		{name: "IPv6, as long as the smaller MTU", from: w.alice, ethertype: ethIPv6, payload: v6(w.alice, w.dave, 1300), want: direct},
		{name: "IPv6, longer than the smaller MTU", from: w.alice, ethertype: ethIPv6, payload: v6(w.alice, w.dave, 1301), want: toStack},
		{name: "segments as long as the same MTU", from: w.alice, ethertype: ethIPv4, payload: v4(w.alice, w.bob, 3000), gso: 1448, want: direct},
		{name: "from a smaller MTU to a greater", from: w.dave, ethertype: ethIPv4, payload: v4(w.dave, w.alice, 1300), want: direct},
	}
	w.runFrames(t, cases)
	w.bob.told.Limited = true
	if known, err := w.h.Knows(w.bob.told); known || err != nil {
		t.Errorf("the programs know of a limit that nobody told them: %v", err)
	}
	w.mustTell(t, w.bob)
	w.runFrames(t, []frameCase{
		{name: "IPv4 to one with a limit", from: w.alice, ethertype: ethIPv4, payload: v4(w.alice, w.bob, 60), want: toStack},
		{name: "IPv6 to one with a limit", from: w.alice, ethertype: ethIPv6, payload: v6(w.alice, w.bob, 60), want: toStack},
		{name: "IPv4 to another", from: w.alice, ethertype: ethIPv4, payload: v4(w.alice, w.mallory, 60), want: direct},
	})
	// Bob goes: nobody is delivered to him any more.
	if err := w.h.Unregister(w.bob.told); err != nil {
		t.Fatal(err)
	}
	w.runFrames(t, []frameCase{
		{name: "IPv4 to somebody who is gone", from: w.alice, ethertype: ethIPv4, payload: v4(w.alice, w.bob, 60), want: toStack},
		{name: "IPv6 to somebody who is gone", from: w.alice, ethertype: ethIPv6, payload: v6(w.alice, w.bob, 60), want: toStack},
	})
	// A frame from an interface that the maps do not know: not ours to judge.
	code, err := w.from.Run(&ebpf.RunOptions{
		Data:    ethernet(w.bob.hostMAC, w.alice.mac, ethIPv4, v4(w.alice, w.carol, 60)),
		Context: context{IfIndex: uint32(w.bob.ifindex)},
	})
	if err != nil || verdict(code) != "pass" {
		t.Errorf("frame from an unknown interface: %s, %v", verdict(code), err)
	}
}
