// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// An actor is a container: a veth pair whose peer stays in the same namespace,
// and what the programs were told of it.
type actor struct {
	name    string
	ifindex int
	hostMAC net.HardwareAddr
	mac     net.HardwareAddr
	v4      netip.Addr
	v6      netip.Addr
	local   netip.Addr // link-local
	told    Endpoint
}

// world is a host on which the programs are loaded:
//
//	network "net"    alice, bob; mallory, who spoofs; dave, whose MTU is small; erin, without the fast path
//	network "other"  carol
//
// Nobody is isolated unless a test says so.
type world struct {
	h                                      *Handle
	from, to                               *ebpf.Program
	alice, bob, mallory, dave, erin, carol *actor
}

// mustOpen opens, or loads, the data path; the test's end closes it.
func mustOpen(t *testing.T) *Handle {
	t.Helper()
	h, _, err := OpenOrLoad()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func mustProgram(t *testing.T, name string) *ebpf.Program {
	t.Helper()
	p, err := ebpf.LoadPinnedProgram(filepath.Join(programDir(pinDir()), name), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// enterWorld moves the test to a host of its own and populates it.
func enterWorld(t *testing.T) *world {
	t.Helper()
	testutil.Root(t)
	testutil.EnterHost(t)
	// Before there is a device: "ip link set addrgenmode none up" has it up first, and
	// then it may have an address already, and solicits routers, which is counted.
	testutil.Run(t, "sysctl", "-qw", "net.ipv6.conf.default.addr_gen_mode=1") // none
	w := &world{h: mustOpen(t), from: mustProgram(t, pinFrom), to: mustProgram(t, pinTo)}
	w.alice = w.mustAdd(t, "alice", 1, "net", 1500)
	w.bob = w.mustAdd(t, "bob", 2, "net", 1500)
	w.mallory = w.mustAdd(t, "mallory", 3, "net", 1500)
	w.dave = w.mustAdd(t, "dave", 4, "net", 1300)
	w.erin = w.mustAdd(t, "erin", 5, "net", 1500)
	w.erin.told.FastPath = false
	w.mustTell(t, w.erin)
	w.carol = w.mustAdd(t, "carol", 6, "other", 1500)
	return w
}

func (w *world) mustAdd(t *testing.T, name string, number byte, network string, mtu int) *actor {
	t.Helper()
	a := &actor{
		name:    name,
		hostMAC: net.HardwareAddr{0x02, 0, 0, 0, 1, number},
		mac:     net.HardwareAddr{0x02, 0, 0, 0, 0, number},
		v4:      netip.AddrFrom4([4]byte{10, 0, 0, number}),
		v6:      netip.MustParseAddr(fmt.Sprintf("fd00::%d", number)),
		local:   netip.MustParseAddr(fmt.Sprintf("fe80::%d", number)),
	}
	testutil.Run(t, "ip", strings.Fields(fmt.Sprintf("link add %s address %s mtu %d type veth peer name %s-c address %s mtu %d",
		name, a.hostMAC, mtu, name, a.mac, mtu))...)
	for _, end := range []string{name, name + "-c"} {
		testutil.Run(t, "ip", "link", "set", end, "up")
	}
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	a.ifindex = link.Index
	a.told = Endpoint{
		Network: IDOf(network), Owner: OwnerOf(name), IfIndex: a.ifindex, MAC: a.mac, HostMAC: a.hostMAC, MTU: mtu,
		Addrs: []netip.Addr{a.v4, a.v6, a.local}, FastPath: true,
	}
	w.mustTell(t, a)
	return a
}

func (w *world) mustTell(t *testing.T, a *actor) {
	t.Helper()
	if err := errors.Join(w.h.Register(a.told), w.h.RegisterAddrs(a.told)); err != nil {
		t.Fatalf("register %s: %v", a.name, err)
	}
}

func (w *world) mustCount(t *testing.T, a *actor) Counters {
	t.Helper()
	c, err := w.h.Counters(a.ifindex)
	if err != nil {
		t.Fatalf("counters of %s: %v", a.name, err)
	}
	return c
}

// context is the part of struct __sk_buff that BPF_PROG_TEST_RUN takes
// (include/uapi/linux/bpf.h): it wants zeros elsewhere.
type context struct {
	_              [9]uint32 // len to priority, of which none is used
	IngressIfIndex uint32
	IfIndex        uint32
	_              [30]uint32 // tc_index to wire_len
	_              [3]uint32  // gso_segs and sk
	GSOSize        uint32
	_              [3]uint32 // padding and hwtstamp
}

// verdicts of enum in include/uapi/linux/pkt_cls.h.
func verdict(code uint32) string {
	switch int32(code) {
	case -1:
		return "pass" // TC_ACT_UNSPEC: the next filter decides
	case 2:
		return "shot"
	case 7:
		return "redirect"
	}
	return fmt.Sprint("verdict ", int32(code))
}

// run gives a frame to a program as if it were at the host end of an actor,
// and says what became of it: the verdict and all that was counted, as in
// "shot, drop arp", "redirect, fast 1/60", "pass, out 1/60".
func (w *world) run(t *testing.T, p *ebpf.Program, at *actor, frame []byte, ctx context) string {
	t.Helper()
	before := w.mustCount(t, at)
	ctx.IfIndex = uint32(at.ifindex)
	code, err := p.Run(&ebpf.RunOptions{Data: frame, Context: ctx})
	if err != nil {
		t.Fatalf("run program on %x: %v", frame, err)
	}
	after := w.mustCount(t, at)
	said := []string{verdict(code)}
	for _, path := range []struct {
		name           string
		packets, bytes uint64
	}{
		{"fast", after.FastPackets - before.FastPackets, after.FastBytes - before.FastBytes},
		{"out", after.OutPackets - before.OutPackets, after.OutBytes - before.OutBytes},
		{"fast in", after.FastInPackets - before.FastInPackets, after.FastInBytes - before.FastInBytes},
		{"in", after.InPackets - before.InPackets, after.InBytes - before.InBytes},
	} {
		switch {
		case path.packets == 1 && path.bytes == uint64(len(frame)):
			said = append(said, path.name)
		case path.packets != 0 || path.bytes != 0:
			said = append(said, fmt.Sprintf("%s %d/%d of %d bytes", path.name, path.packets, path.bytes, len(frame)))
		}
	}
	for why, n := range after.Drops {
		if n -= before.Drops[why]; n == 1 {
			said = append(said, "drop "+Drop(why).String())
		} else if n != 0 {
			said = append(said, fmt.Sprintf("drop %s %d times", Drop(why), n))
		}
	}
	return strings.Join(said, ", ")
}
