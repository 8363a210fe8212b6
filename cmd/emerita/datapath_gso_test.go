// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// joinedMTU is the MTU of containers on a host of the tests: that of the uplink.
const joinedMTU = 1450

// What TCP hands down is one packet of many segments, on the fast path too.
func TestGSO(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	for _, f := range families() {
		before := h.counted("a")
		if err := echoTCP("a", "b", f.of("b"), reachWait, bulk); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		after := h.counted("a")
		// Half of the packets may be mere acknowledgements.
		size, packets := after.FastBytes-before.FastBytes, after.FastPackets-before.FastPackets
		if size < bulk || size < packets*2*joinedMTU {
			t.Errorf("%s: %d bytes directly, in %d packets", f.name, size, packets)
		}
	}
}

// Datagrams that a process sends as one packet (UDP_SEGMENT, udp(7)) are handed
// over as one, and are the same datagrams for who receives them: one by one, or all
// at once, if that is asked for (UDP_GRO). The packet is larger than the receiver's
// MTU, the datagrams are not.
func TestUDPSegments(t *testing.T) {
	t.Parallel()
	h := sized(t, 9000, 1280)
	const size, count, rest = 1200, 40, 500
	data := pattern(size*count + rest)
	for _, f := range families() {
		for _, to := range []struct {
			who, addr string
			fast      bool
		}{{"b", f.of("b"), true}, {"outside", f.outside, false}, {"host", f.of("gateway"), false}} {
			for _, how := range []string{"by option", "by message", "received at once"} {
				name := f.name + " to " + to.who + ", " + how
				server, at := listenBare(t, f, to.who, to.addr)
				server.set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4*len(data))
				if how == "received at once" {
					server.set(unix.SOL_UDP, unix.UDP_GRO, 1)
				}
				s := dialBare(t, f, "a", at)
				var control []byte
				if how == "by message" {
					control = segmentSize(size)
				} else {
					s.set(unix.SOL_UDP, unix.UDP_SEGMENT, size)
				}
				before := h.counted("a").FastPackets
				send := func() {
					if err := unix.Sendmsg(s.fd, data, control, nil, 0); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
				}
				send()
				if err := server.await(unix.POLLIN, send); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for left := data; len(left) > 0; {
					got, control := server.datagram()
					want := left[:min(size, len(left))]
					if how == "received at once" {
						want = left
						if n := groSize(control); n != size {
							t.Errorf("%s: datagrams of %d bytes", name, n)
						}
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("%s: %d bytes before the last %d, others than were sent", name, len(got), len(left))
					}
					left = left[len(got):]
				}
				if err := server.wait(unix.POLLIN, 0); err == nil {
					t.Errorf("%s: more comes than was sent", name)
				}
				if fast := h.counted("a").FastPackets - before; fast > 0 != to.fast || fast > count/4 {
					t.Errorf("%s: %d packets directly", name, fast)
				}
			}
		}
	}
}

// Of datagrams sent as one packet that are too big for the receiver the sender is
// told the MTU, as of others.
func TestUDPSegmentsTooBig(t *testing.T) {
	t.Parallel()
	h := sized(t, 9000, 1280)
	for _, f := range families() {
		server, at := listenBare(t, f, "b", f.of("b"))
		s := dialBare(t, f, "a", at)
		s.set(f.level, f.option(unix.IP_MTU_DISCOVER, unix.IPV6_MTU_DISCOVER), unix.IP_PMTUDISC_DO)
		send := func() {
			if err := unix.Sendmsg(s.fd, pattern(50000), segmentSize(1280-uint16(f.header)-8+1), nil, 0); err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
		}
		send()
		if got, want := s.icmp(send), (icmpError{unix.EMSGSIZE, f.of("gateway"), 1280}); got != want {
			t.Errorf("%s: told %v, want %v", f.name, got, want)
		}
		if err := server.wait(unix.POLLIN, 0); err == nil {
			t.Errorf("%s: a datagram has come", f.name)
		}
	}
	if fast := h.counted("a").FastPackets; fast > 0 {
		t.Errorf("%d packets directly", fast)
	}
}

// segmentSize is the control message that asks for datagrams of a size.
func segmentSize(n uint16) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(b[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(b[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], n)
	return b
}

// groSize is the size of datagrams received at once.
func groSize(control []unix.SocketControlMessage) int {
	for _, c := range control {
		if c.Header.Level == unix.SOL_UDP && c.Header.Type == unix.UDP_GRO {
			return int(binary.NativeEndian.Uint32(c.Data))
		}
	}
	return 0
}
