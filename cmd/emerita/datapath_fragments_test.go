// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/state"
)

// Datagrams larger than any MTU arrive whole, and in pieces by the host's stack.
func TestLargeDatagrams(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	sizes := []int{8 << 10, 60 << 10}
	for _, f := range families() {
		for _, way := range []struct{ from, to, addr string }{
			{"a", "b", f.of("b")}, {"b", "a", f.of("a")}, {"a", "outside", f.outside}, {"a", "host", f.of("gateway")}, {"host", "a", f.of("a")},
		} {
			before := h.counted("a")
			if err := echoUDP(way.from, way.to, way.addr, reachWait, sizes...); err != nil {
				t.Errorf("%s, %s to %s: %v", f.name, way.from, way.to, err)
			}
			after := h.counted("a")
			if stack := after.OutBytes - before.OutBytes; stack < 68<<10 {
				t.Errorf("%s, %s to %s: %d bytes by the stack", f.name, way.from, way.to, stack)
			}
			if after.FastPackets != before.FastPackets {
				t.Errorf("%s, %s to %s: %d packets directly", f.name, way.from, way.to, after.FastPackets-before.FastPackets)
			}
		}
	}
}

// piece is part of a datagram, from an offset.
type piece struct {
	offset int
	data   []byte
	more   bool
}

// packet makes a fragment of it.
func (p piece) packet(f family, src, dst netip.Addr, id uint16) []byte {
	at := uint16(p.offset)
	if f.level == unix.IPPROTO_IPV6 {
		h := append([]byte{unix.IPPROTO_UDP, 0, 0, 0, 0, 0, byte(id >> 8), byte(id)}, p.data...)
		if p.more {
			at |= 1
		}
		binary.BigEndian.PutUint16(h[2:], at)
		out := append([]byte{0x60, 0, 0, 0, byte(len(h) >> 8), byte(len(h)), unix.IPPROTO_FRAGMENT, 64}, src.AsSlice()...)
		return append(append(out, dst.AsSlice()...), h...)
	}
	at >>= 3
	if p.more {
		at |= 0x2000
	}
	size := 20 + len(p.data)
	h := []byte{0x45, 0, byte(size >> 8), byte(size), byte(id >> 8), byte(id), byte(at >> 8), byte(at), 64, unix.IPPROTO_UDP, 0, 0}
	h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(h[10:], ^sum16(0, h))
	return append(h, p.data...)
}

// udp is a datagram with its checksum.
func udp(src, dst netip.AddrPort, data []byte) []byte {
	if len(data)%2 == 1 {
		panic("odd")
	}
	d := binary.BigEndian.AppendUint16(nil, src.Port())
	d = binary.BigEndian.AppendUint16(d, dst.Port())
	d = binary.BigEndian.AppendUint16(d, uint16(8+len(data)))
	d = append(append(d, 0, 0), data...)
	pseudo := append(append([]byte{}, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, unix.IPPROTO_UDP, d[4], d[5])
	binary.BigEndian.PutUint16(d[6:], ^sum16(uint32(sum16(0, pseudo)), d))
	return d
}

// Fragments that mallory, root in container a, makes by hand: none is handed over
// directly, and of what does not fit together nothing is heard.
func TestRawFragments(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	mallory := sniff(t, "a")
	key := state.Key{Network: "net", ContainerID: "a", IfName: "eth0"}
	data := pattern(256)
	id, sent := uint16(0), uint64(0)
	for _, f := range families() {
		server, at := listenBare(t, f, "b", f.of("b"))
		src := netip.AddrPortFrom(netip.MustParseAddr(f.of("a")), 5000)
		whole := udp(src, at, data)
		send := func(pieces ...piece) {
			id++
			sent += uint64(len(pieces))
			for _, p := range pieces {
				mallory.send(t, frame(key.HostMAC(), key.ContainerMAC(), uint16(f.option(unix.ETH_P_IP, unix.ETH_P_IPV6)), p.packet(f, src.Addr(), at.Addr(), id)))
			}
		}
		part := func(from, to int) piece { return piece{from, whole[from:to], to < len(whole)} }
		for _, test := range []struct {
			name   string
			whole  bool
			pieces []piece
		}{
			{"first and last", true, []piece{part(0, 128), part(128, 264)}},
			{"first, middle, last", true, []piece{part(0, 88), part(88, 176), part(176, 264)}},
			{"last first", true, []piece{part(176, 264), part(88, 176), part(0, 88)}},
			{"tiny first", true, []piece{part(0, 8), part(8, 264)}},
			{"one that is all", true, []piece{part(0, 264)}},
			{"first alone", false, []piece{part(0, 128)}},
			{"middle alone", false, []piece{part(88, 176)}},
			{"last alone", false, []piece{part(128, 264)}},
			{"a gap", false, []piece{part(0, 88), part(176, 264)}},
			{"overlap", false, []piece{part(0, 128), part(64, 200), part(200, 264)}},
			// Of one within another the first counts (IPFRAG_DUP in the kernel).
			{"header overwritten", true, []piece{part(0, 128), {0, bytes.Repeat([]byte{7}, 64), true}, part(128, 264)}},
		} {
			if test.name == "one that is all" && f.level == unix.IPPROTO_IP {
				continue // then it is none
			}
			want := string(data) + " honest!"
			if !test.whole {
				want = " honest!"
			}
			got := ""
			for range 3 { // a busy machine drops packets
				send(test.pieces...)
				// Packets stay in order: nothing of these is under way when an honest one is there.
				honest := udp(src, at, []byte(" honest!"))
				send(piece{0, honest[:8], true}, piece{8, honest[8:], false})
				for got = ""; !strings.HasSuffix(got, " honest!"); {
					next, _ := server.datagram(func() { send(piece{0, honest[:8], true}, piece{8, honest[8:], false}) })
					got += string(next)
				}
				if got == want {
					break
				}
			}
			if got != want {
				t.Errorf("%s, %s: %d bytes come in place of %d", f.name, test.name, len(got), len(want))
			}
		}
	}
	if c := h.counted("a"); c.FastPackets > 0 || c.OutPackets < sent/2 {
		t.Errorf("of %d fragments %d went directly, %d by the stack", sent, c.FastPackets, c.OutPackets)
	}
	if got := h.reasons("a"); len(got) > 0 {
		t.Errorf("dropped: %v", got)
	}
}
