// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/state"
)

// Without offloads every packet carries its checksum, and those that are received are
// right: between containers, and from and to the outside, where addresses were rewritten.
func TestChecksums(t *testing.T) {
	t.Parallel()
	joined(t, "a", "b")
	for _, space := range []string{"a", "b", "outside"} {
		if err := inSpace(space, noOffload); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range families() {
		for _, to := range []struct{ who, addr string }{{"b", f.of("b")}, {"outside", f.outside}} {
			for _, proto := range []string{"tcp", "udp"} {
				name := fmt.Sprintf("%s, %s to %s", f.name, proto, to.who)
				heard := map[string]sniffer{"a": sniff(t, "a"), to.who: sniff(t, to.who)}
				for _, s := range heard {
					if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
						t.Fatal(err)
					}
					if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
						t.Fatal(err)
					}
				}
				var err error
				if proto == "tcp" {
					err = echoTCP("a", to.who, to.addr, reachWait, reachSize)
				} else {
					err = echoUDP("a", to.who, to.addr, reachWait, 1, 100, 1001, 1300)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				for who, s := range heard {
					right, wrong, unknown := s.checksums(t)
					if right < 4 || wrong > 0 || unknown > 0 {
						t.Errorf("%s, received by %s: %d checksums right, %d wrong, %d not there", name, who, right, wrong, unknown)
					}
				}
			}
		}
	}
}

// noOffload has the stack compute checksums of what goes out by eth0, and so cut
// segments too, and has it check what comes in.
func noOffload() error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer e.Close()
	return e.Change("eth0", map[string]bool{"tx-checksum-ip-generic": false, "rx-checksum": false})
}

// checksums looks at all packets of TCP and UDP that have come, and counts those
// whose checksum is right, is wrong, and is for a device to compute.
func (s sniffer) checksums(t *testing.T) (right, wrong, unknown int) {
	t.Helper()
	buf, oob := make([]byte, 1<<17), make([]byte, 256)
	for {
		n, oobn, _, from, err := unix.Recvmsg(s.fd, buf, oob, 0)
		if err != nil {
			if !errors.Is(err, unix.EAGAIN) {
				t.Fatal(err)
			}
			return right, wrong, unknown
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		control, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(control) != 1 {
			t.Fatalf("no PACKET_AUXDATA: %v, %v", control, err)
		}
		ok, has := l4Checksum(buf[14:n])
		switch status := binary.NativeEndian.Uint32(control[0].Data); {
		case !has:
		case status&unix.TP_STATUS_CSUMNOTREADY != 0:
			unknown++
		case ok:
			right++
		default:
			wrong++
		}
	}
}

// l4Checksum says whether the checksum of a whole TCP or UDP packet is right, and
// whether it has one.
func l4Checksum(p []byte) (right, has bool) {
	var proto byte
	var addrs []byte
	switch p[0] >> 4 {
	case 4:
		proto, addrs, p = p[9], p[12:20], p[int(p[0]&15)*4:binary.BigEndian.Uint16(p[2:])]
	case 6:
		proto, addrs, p = p[6], p[8:40], p[40:40+binary.BigEndian.Uint16(p[4:])]
	}
	if proto != unix.IPPROTO_TCP && proto != unix.IPPROTO_UDP {
		return false, false
	}
	sum := sum16(uint32(sum16(uint32(proto)+uint32(len(p)), addrs)), p[:len(p)&^1])
	if len(p)%2 == 1 {
		sum = sum16(uint32(sum), []byte{p[len(p)-1], 0})
	}
	return sum == 0xffff, true
}

// A datagram whose checksum is wrong is not received: the fast path vouches for
// nothing.
func TestWrongChecksum(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	mallory := sniff(t, "a")
	key := state.Key{Network: "net", ContainerID: "a", IfName: "eth0"}
	for _, f := range families() {
		server, at := listenBare(t, f, "b", f.of("b"))
		src := netip.AddrPortFrom(netip.MustParseAddr(f.of("a")), 5000)
		send := func(d []byte) {
			packet := piece{data: d}.packet(f, src.Addr(), at.Addr(), 7)
			if f.level == unix.IPPROTO_IPV6 { // without the fragment header
				packet = append(packet[:40], packet[48:]...)
				packet[5] -= 8
				packet[6] = unix.IPPROTO_UDP
			}
			mallory.send(t, frame(key.HostMAC(), key.ContainerMAC(), uint16(f.option(unix.ETH_P_IP, unix.ETH_P_IPV6)), packet))
		}
		wrong, right := udp(src, at, pattern(64)), udp(src, at, []byte("honest"))
		wrong[20] ^= 1
		send(wrong)
		send(right)
		if got, _ := server.datagram(func() { send(right) }); string(got) != "honest" {
			t.Errorf("%s: a datagram with a wrong checksum is received", f.name)
		}
	}
	if fast := h.counted("a").FastPackets; fast < 4 {
		t.Errorf("%d of 4 packets went directly", fast)
	}
}
