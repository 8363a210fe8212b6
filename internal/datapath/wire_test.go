// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"encoding/binary"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// wire is a world in which mallory's frames really come in by a device, and the
// packet socket of mallory's end.
type wire struct {
	*world
	socket int
}

func enterWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{world: enterWorld(t)}
	for _, args := range [][]string{
		{"qdisc", "add", "dev", w.mallory.name, "clsact"},
		{"filter", "add", "dev", w.mallory.name, "ingress", "bpf", "direct-action", "object-pinned", filepath.Join(programDir(pinDir()), pinFrom)},
	} {
		testutil.Run(t, "tc", args...)
	}
	var err error
	if w.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(w.socket) })
	must(t, unix.SetsockoptInt(w.socket, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1))
	return w
}

// segments is struct virtio_net_hdr, which goes before each frame on the socket
// and makes a GSO packet of it.
type segments struct {
	kind byte // 0: none
	size uint16
	tcp  uint16 // where its header begins
}

const (
	gsoTCP4 = 1
	gsoTCP6 = 4
)

func (s segments) bytes() []byte {
	u16 := func(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
	if s.kind == 0 {
		return make([]byte, 10)
	}
	const needsChecksum, atOffset = 1, 16
	return join([]byte{needsChecksum, s.kind}, u16(s.tcp+20), u16(s.size), u16(s.tcp), u16(atOffset))
}

// send puts a frame on mallory's wire, and says what it was counted as.
func (w *wire) send(t *testing.T, ethertype uint16, payload []byte, gso segments) string {
	t.Helper()
	m := w.mallory
	before := w.mustCount(t, m)
	ifr, err := unix.NewIfreq(m.name + "-c")
	must(t, err)
	must(t, unix.IoctlIfreq(w.socket, unix.SIOCGIFINDEX, ifr))
	to := &unix.SockaddrLinklayer{Ifindex: int(ifr.Uint32())}
	must(t, unix.Sendto(w.socket, join(gso.bytes(), ethernet(m.hostMAC, m.mac, ethertype, payload)), 0, to))
	// Frames stay in order: when one more, of a known fate, is counted, so is
	// the first.
	must(t, unix.Sendto(w.socket, join(segments{}.bytes(), ethernet(m.hostMAC, m.mac, 0x88cc, nil)), 0, to))
	const known = Drop(7)
	after := w.mustAwait(t, m, known, before.Drops[known]+1)
	after.Drops[known]--
	got := ""
	if after.FastPackets != before.FastPackets {
		got += "fast"
	}
	if after.OutPackets != before.OutPackets {
		got += "out"
	}
	for why, n := range after.Drops {
		if n != before.Drops[why] {
			got += Drop(why).String()
		}
	}
	return got
}

// TestWire sends what BPF_PROG_TEST_RUN refuses to send, because a header is cut
// off, and what is a matter of the receiving device, because the kernel takes a
// tag off before any program sees the frame.
func TestWire(t *testing.T) {
	t.Parallel()
	w := enterWire(t)
	m := w.mallory
	packet := ip4{src: m.v4, dst: netip.MustParseAddr("203.0.113.1")}.bytes()
	packet6 := ip6{src: m.v6, dst: netip.MustParseAddr("2001:db8:1::1")}.bytes()
	for _, c := range []struct {
		name      string
		ethertype uint16
		payload   []byte
		want      string
	}{
		{"IPv4", ethIPv4, packet, "out"},
		{"IPv4 header cut off", ethIPv4, packet[:19], "malformed"},
		{"one byte of an IPv4 header", ethIPv4, packet[:1], "malformed"},
		{"no IPv4 header", ethIPv4, nil, "malformed"},
		{"IPv6", ethIPv6, packet6, "out"},
		{"IPv6 header cut off", ethIPv6, packet6[:39], "malformed"},
		{"no IPv6 header", ethIPv6, nil, "malformed"},
		{"no ARP packet", ethARP, nil, "arp"},
		{"tag, 802.1Q", 0x8100, join(be16(1), be16(ethIPv4), packet), "vlan"},
		{"priority tag, 802.1Q", 0x8100, join(be16(0), be16(ethIPv4), packet), "vlan"},
		{"tag, 802.1ad", 0x88a8, join(be16(1), be16(ethIPv4), packet), "vlan"},
		{"two tags", 0x88a8, join(be16(1), be16(0x8100), be16(2), be16(ethIPv4), packet), "vlan"},
		{"tag without a frame", 0x8100, be16(1), ""}, // the kernel drops it
	} {
		got := w.send(t, c.ethertype, c.payload, segments{})
		t.Run(c.name, func(t *testing.T) {
			if got != c.want {
				t.Errorf("counted as %q, want %q", got, c.want)
			}
		})
	}
}

// TestWireSegments sends packets of many segments. Dave's device takes 1300
// bytes.
func TestWireSegments(t *testing.T) {
	t.Parallel()
	w := enterWire(t)
	m := w.mallory
	tcp := join(make([]byte, 12), []byte{5 << 4, 0x10}, make([]byte, 4000))
	v4 := func(to *actor) []byte { return ip4{src: m.v4, dst: to.v4, proto: protoTCP, payload: tcp}.bytes() }
	v6 := func(to *actor) []byte { return ip6{src: m.v6, dst: to.v6, next: protoTCP, payload: tcp}.bytes() }
	jumbo := ip6{src: m.v6, dst: w.bob.v6, explicit: true, payload: hopByHop(protoTCP, tcp)}.bytes()
	for _, c := range []struct {
		name      string
		ethertype uint16
		payload   []byte
		gso       segments
		want      string
	}{
		{"IPv4 to bob", ethIPv4, v4(w.bob), segments{gsoTCP4, 1460, 34}, "fast"},
		{"IPv4 segments that fit the smaller MTU", ethIPv4, v4(w.dave), segments{gsoTCP4, 1260, 34}, "fast"},
		{"IPv4 segments one byte too long", ethIPv4, v4(w.dave), segments{gsoTCP4, 1261, 34}, "out"},
		{"IPv6 to bob", ethIPv6, v6(w.bob), segments{gsoTCP6, 1440, 54}, "fast"},
		{"IPv6 segments that fit the smaller MTU", ethIPv6, v6(w.dave), segments{gsoTCP6, 1240, 54}, "fast"},
		{"IPv6 segments one byte too long", ethIPv6, v6(w.dave), segments{gsoTCP6, 1241, 54}, "out"},
		{"BIG TCP", ethIPv6, jumbo, segments{gsoTCP6, 1440, 62}, "fast"},
	} {
		got := w.send(t, c.ethertype, c.payload, c.gso)
		t.Run(c.name, func(t *testing.T) {
			if got != c.want {
				t.Errorf("counted as %q, want %q", got, c.want)
			}
		})
	}
}

// TestWireFragments has mallory send IPv6 fragments that the host puts together,
// to track the connection, and takes apart again. Those that it makes anew, as it
// must when a header stands before the fragment header, have forgotten where they
// came in.
func TestWireFragments(t *testing.T) {
	t.Parallel()
	w := enterWire(t)
	m := w.mallory
	w.carol.told.Isolated = true
	w.mustTell(t, w.carol)
	// The devices of a router join groups and report that, which is counted. The host
	// says nothing of its own: what is heard is mallory's.
	testutil.Run(t, "nft", "add table inet t; add chain inet t o { type filter hook output priority 0; policy drop; }")
	testutil.Run(t, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
	testutil.Run(t, "nft", "add chain inet t c { type filter hook forward priority 0; }; add rule inet t c ct state new counter")
	for _, a := range []*actor{w.bob, w.carol} {
		testutil.Run(t, "tc", "qdisc", "add", "dev", a.name, "clsact")
		testutil.Run(t, "tc", "filter", "add", "dev", a.name, "egress", "bpf", "direct-action", "object-pinned", filepath.Join(programDir(pinDir()), pinTo))
		testutil.Run(t, "ip", "-6", "route", "add", a.v6.String(), "dev", a.name)
		testutil.Run(t, "ip", "-6", "neigh", "add", a.v6.String(), "lladdr", a.mac.String(), "dev", a.name, "nud", "permanent")
	}
	testutil.Run(t, "ip", "-6", "route", "add", m.v6.String(), "dev", m.name) // the reverse path
	datagram := join(be16(1000), be16(2000), be16(1512), be16(0), make([]byte, 1504))
	options := join([]byte{protoFragment, 0, 1, 4}, make([]byte, 4))
	fragment := func(offset, more uint16, data []byte) []byte {
		return join([]byte{protoUDP, 0}, be16(offset|more), []byte{0, 0, 0, 7}, data)
	}
	for _, c := range []struct {
		name   string
		to     *actor
		before []byte // of the first fragment header
		want   string
	}{
		{"to bob", w.bob, nil, "heard"},
		{"to bob behind options", w.bob, options, "heard"},
		{"to carol of another network", w.carol, nil, "isolation"},
		{"to carol of another network behind options", w.carol, options, "isolation"},
	} {
		before := w.mustCount(t, c.to)
		next := byte(protoFragment)
		if c.before != nil {
			next = protoDestOpts
		}
		first := ip6{src: m.v6, dst: c.to.v6, next: next, payload: join(c.before, fragment(0, 1, datagram[:1000]))}
		second := ip6{src: m.v6, dst: c.to.v6, next: protoFragment, payload: fragment(1000, 0, datagram[1000:])}
		for _, f := range []ip6{first, second} {
			if got := w.send(t, ethIPv6, f.bytes(), segments{}); got != "out" {
				t.Errorf("%s: mallory's fragment was counted as %q", c.name, got)
			}
		}
		after := w.mustCount(t, c.to)
		got := ""
		if after.InPackets != before.InPackets {
			got += "heard"
		}
		const isolation = Drop(9)
		if after.Drops[isolation] != before.Drops[isolation] {
			got += isolation.String()
		}
		t.Run(c.name, func(t *testing.T) {
			if got != c.want {
				t.Errorf("the fragments were counted as %q, want %q", got, c.want)
			}
		})
	}
}

// mustAwait waits until a drop is counted, and returns the counters.
func (w *world) mustAwait(t *testing.T, a *actor, why Drop, n uint64) Counters {
	t.Helper()
	for start := time.Now(); time.Since(start) < 10*time.Second; runtime.Gosched() {
		if c := w.mustCount(t, a); c.Drops[why] >= n {
			return c
		}
	}
	t.Fatalf("%s: %s never counted %d", a.name, why, n)
	return Counters{}
}
