// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// marker is in every frame of mallory's, so that whoever hears it is found out.
var marker = []byte("mallory was here")

// frame is an Ethernet frame.
func frame(dst, src net.HardwareAddr, ethertype uint16, payload ...[]byte) []byte {
	f := append(append([]byte{}, dst...), src...)
	f = binary.BigEndian.AppendUint16(f, ethertype)
	return append(f, bytes.Join(payload, nil)...)
}

// arp is an ARP packet, with the marker where Ethernet pads.
func arp(op uint16, mac net.HardwareAddr, ip netip.Addr, targetMAC net.HardwareAddr, target netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, byte(op >> 8), byte(op)}
	p = append(append(p, mac...), ip.AsSlice()...)
	p = append(append(p, targetMAC...), target.AsSlice()...)
	return append(p, marker...)
}

// ipv4 is a UDP datagram with the marker; the checksum of its header is right.
func ipv4(src, dst netip.Addr, options ...byte) []byte {
	udp := append([]byte{0x13, 0x88, 0x13, 0x88, 0, byte(8 + len(marker)), 0, 0}, marker...)
	h := []byte{0x45 + byte(len(options)/4), 0, 0, byte(20 + len(options) + len(udp)), 0, 1, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	h = append(append(append(h, src.AsSlice()...), dst.AsSlice()...), options...)
	binary.BigEndian.PutUint16(h[10:], ^sum16(0, h))
	return append(h, udp...)
}

// sum16 adds 16-bit words in one's complement (RFC 1071).
func sum16(start uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		start += uint32(b[0])<<8 | uint32(b[1])
	}
	for start>>16 != 0 {
		start = start>>16 + start&0xffff
	}
	return uint16(start)
}

// ipv6 is a packet with an upper-layer header, of which the checksum at an offset
// is filled in.
func ipv6(src, dst netip.Addr, next byte, checksum int, upper []byte) []byte {
	if len(upper)%2 == 1 {
		upper = append(upper, 0)
	}
	pseudo := append(append([]byte{}, src.AsSlice()...), dst.AsSlice()...)
	pseudo = append(pseudo, 0, 0, byte(len(upper)>>8), byte(len(upper)), 0, 0, 0, next)
	binary.BigEndian.PutUint16(upper[checksum:], ^sum16(uint32(sum16(0, pseudo)), upper))
	h := []byte{0x60, 0, 0, 0, byte(len(upper) >> 8), byte(len(upper)), next, 255}
	h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
	return append(h, upper...)
}

func udp6(src, dst netip.Addr) []byte {
	return ipv6(src, dst, unix.IPPROTO_UDP, 6, append([]byte{0x13, 0x88, 0x13, 0x88, 0, byte(8 + len(marker)), 0, 0}, marker...))
}

// nd is a neighbour discovery message; the marker follows in an option that nobody
// knows (RFC 4861, 4.6: ignored).
func nd(src, dst netip.Addr, typ byte, body ...[]byte) []byte {
	m := append([]byte{typ, 0, 0, 0}, bytes.Join(body, nil)...)
	m = append(m, 200, 3, 0, 0, 0, 0, 0, 0)
	m = append(m, marker...)
	return ipv6(src, dst, unix.IPPROTO_ICMPV6, 2, m)
}

// lladdr is a link-layer address option.
func lladdr(typ byte, mac net.HardwareAddr) []byte { return append([]byte{typ, 1}, mac...) }

// sniffer is a socket that hears all that an interface receives.
type sniffer struct {
	who string
	fd  int
}

func sniff(t *testing.T, space string) sniffer {
	t.Helper()
	s := sniffer{who: space}
	err := inSpace(space, func() (err error) {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		all := uint16(unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8)
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

// send puts a frame on the wire.
func (s sniffer) send(t *testing.T, f []byte) {
	t.Helper()
	if _, err := unix.Write(s.fd, f); err != nil {
		t.Fatalf("send %x: %v", f, err)
	}
}

// heard says how many frames with a text have come.
func (s sniffer) heard(t *testing.T, text []byte) int {
	t.Helper()
	buf := make([]byte, 65536)
	for count := 0; ; {
		n, from, err := unix.Recvfrom(s.fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) {
			return count
		}
		if err != nil {
			t.Fatal(err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING && bytes.Contains(buf[:n], text) {
			count++
		}
	}
}

var stale = regexp.MustCompile(` (REACHABLE|STALE|DELAY|PROBE)`)

// neighbours are all that namespaces know of others.
func neighbours(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, line := range []string{"neigh", "-n b neigh", "-n c neigh", "-n b -6 route", "-n c -6 route", "-6 route", "-n b route get 10.1.0.4"} {
		lines := strings.Split(testutil.Run(t, "ip", strings.Fields(line)...), "\n")
		for _, l := range lines {
			out.WriteString(line + ": " + stale.ReplaceAllString(l, "") + "\n")
		}
	}
	return out.String()
}

const pathConfig = `{"cniVersion":"1.1.0","name":"net","type":"emerita","ipMasq":true,"fastPath":"required","isolation":"network",` +
	`"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}],"ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00:1::/64"}]]}}`

// reasons counts what `emerita drops` tells of a container, by reason.
func (h *host) reasons(id string) map[string]string {
	h.t.Helper()
	return h.reasonsOf("net", id)
}

func (h *host) reasonsOf(network, id string) map[string]string {
	h.t.Helper()
	out := map[string]string{}
	for l := range strings.Lines(testutil.Run(h.t, "emerita", "drops")) {
		if f := strings.Fields(l); len(f) == 5 && f[0] == network && f[1] == id {
			out[f[3]] = f[4]
		}
	}
	return out
}

// awaitLast waits until a last frame has come all the way: what was sent before
// has come by then, or never will.
func (h *host) awaitLast(s sniffer, send func(), text []byte) {
	h.t.Helper()
	for deadline := time.Now().Add(reachWait); time.Now().Before(deadline); {
		send()
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		_, _ = unix.Poll(fds, 100)
		if s.heard(h.t, text) > 0 {
			return
		}
	}
	h.t.Fatalf("what may be heard is not heard by %s", s.who)
}
