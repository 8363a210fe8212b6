// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	bpflink "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// inMap says whether the socket of an end is in the map, where its calls are not TCP's
// own. The key is struct flow_key of bpf/lib/accel.h.
func (x *half) inMap(c conn, who int) bool {
	x.t.Helper()
	sockets := mustPinned(x.t, "accel_sockhash")
	defer sockets.Close()
	own, peer := c.ends[who].at, c.ends[1-who].at
	var previous any
	for {
		key, err := sockets.NextKeyBytes(previous)
		if err != nil {
			x.t.Fatal(err)
		}
		if key == nil {
			return false
		}
		previous = key
		at := func(addr, port int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(key[addr:])).Unmap(), binary.NativeEndian.Uint16(key[port:]))
		}
		if at(8, 40) == own && at(24, 42) == peer {
			return true
		}
	}
}

// byTCP has an end say something by TCP that the other hears, and hear that it did.
func (a *scene) byTCP(who int) {
	a.t.Helper()
	a.swap(who, []byte("x"))
	a.must(a.ends[who].settle())
}

// leavesMap has an end go on by TCP until its socket has left the map.
func (a *scene) leavesMap(who int, when string) {
	a.t.Helper()
	for late := deadline(tortureWait); a.half.inMap(conn{a.ends}, who); a.byTCP(who) {
		if late() {
			a.t.Fatalf("%s: end %d is in the map still", when, who)
		}
	}
}

// goesOver has an end send more at once than goes by the socket.
func (a *scene) goesOver(who int) {
	a.t.Helper()
	a.swap(who, make([]byte, accelerationBytes+1))
}

// meet has two ends that have heard each other by the socket.
func (x *half) meet() *scene {
	x.t.Helper()
	c := x.connect(ways()[0])
	a := &scene{t: x.t, half: x, ends: c.ends}
	for who := range a.ends {
		a.swap(who, []byte("x"))
	}
	x.takes(c, "at first", bySocket, bySocket)
	for who := range a.ends {
		if !x.inMap(c, who) {
			x.t.Fatalf("end %d is not in the map", who)
		}
	}
	return a
}

// TestAcceleratedHalfClosed: an end whose peer has said all it has to say leaves the map
// when it has heard that, and not when a byte of it is unread.
func TestAcceleratedHalfClosed(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	x := newHalf(newHost(t), 1, true, "a", "b")
	for who := range 2 {
		a := x.meet()
		speaker, listener := a.ends[1-who], a.ends[who]
		a.must1(unix.SendmsgN(speaker.fd, []byte("last"), nil, nil, unix.MSG_NOSIGNAL))
		x.takes(conn{a.ends}, "the last bytes", bySocket, bySocket)
		a.must(unix.Shutdown(speaker.fd, unix.SHUT_WR))
		a.must(listener.wait(unix.POLLRDHUP, tortureWait))
		a.must(listener.read(make([]byte, 3)))
		a.goesOver(who)
		for range 5 { // each could have it leave
			a.byTCP(who)
		}
		if !x.inMap(conn{a.ends}, who) {
			t.Errorf("end %d has left the map with a byte unread", who)
		}
		if got := a.recv(who, 10, 0) + ", then " + a.recv(who, 10, 0); got != "1, then 0" {
			t.Errorf("end %d hears %s, want 1, then 0", who, got)
		}
		a.leavesMap(who, "half closed")
		conn{a.ends}.close()
	}
}

// hearsRoundTrips is somebody else's program on all sockets, before ours: it has the kernel
// call at the round trips of those namespaces for which it has such a wish, and counts
// them. The map is by a namespace's cookie, of count and wish.
func hearsRoundTrips(t *testing.T) *ebpf.Map {
	t.Helper()
	const ( // include/uapi/linux/bpf.h
		activeEstablished, passiveEstablished, roundTrip = 4, 5, 12
		opAt, flagsAt                                    = 0, 84 // of struct bpf_sock_ops
	)
	root := t.TempDir()
	if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(root, unix.MNT_DETACH) })
	known, err := ebpf.NewMap(&ebpf.MapSpec{Name: "wishes", Type: ebpf.Hash, KeySize: 8, ValueSize: 16, MaxEntries: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { known.Close() })
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "others", Type: ebpf.SockOps, AttachType: ebpf.AttachCGroupSockOps, License: "GPL",
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.FnGetNetnsCookie.Call(),
			asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
			asm.LoadMapPtr(asm.R1, known.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -8),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.Mov.Reg(asm.R7, asm.R0),
			asm.LoadMem(asm.R1, asm.R6, opAt, asm.Word),
			asm.JEq.Imm(asm.R1, roundTrip, "count"),
			asm.JEq.Imm(asm.R1, activeEstablished, "wish"),
			asm.JNE.Imm(asm.R1, passiveEstablished, "out"),
			asm.LoadMem(asm.R2, asm.R6, flagsAt, asm.Word).WithSymbol("wish"),
			asm.LoadMem(asm.R3, asm.R7, 8, asm.DWord),
			asm.Or.Reg(asm.R2, asm.R3),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.FnSockOpsCbFlagsSet.Call(),
			asm.Ja.Label("out"),
			asm.Mov.Imm(asm.R1, 1).WithSymbol("count"),
			asm.StoreXAdd(asm.R7, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, 1).WithSymbol("out"),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l, err := bpflink.AttachCgroup(bpflink.CgroupOptions{Path: root, Attach: ebpf.AttachCGroupSockOps, Program: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return known
}

// cookie is that of a container's network namespace.
func (x *half) cookie(who int) uint64 {
	x.t.Helper()
	s := x.open(who, netip.IPv4Unspecified(), 0)
	defer s.close()
	cookie, err := unix.GetsockoptUint64(s.fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		x.t.Fatal(err)
	}
	return cookie
}

// TestAcceleratedRoundTrips: who was called at the round trips of a socket before it came
// into the map is so when it has left it, and nobody else.
func TestAcceleratedRoundTrips(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	type wish struct{ Heard, Flags uint64 }
	const roundTrips = 1 << 3 // BPF_SOCK_OPS_RTT_CB_FLAG
	h := newHost(t)
	known := hearsRoundTrips(t)
	x := newHalf(h, 1, true, "a", "b")
	for who := range 2 {
		for _, flags := range []uint64{0, roundTrips} {
			space := x.cookie(who)
			if err := known.Put(space, wish{Flags: flags}); err != nil {
				t.Fatal(err)
			}
			heard := func() uint64 {
				t.Helper()
				var w wish
				if err := known.Lookup(space, &w); err != nil {
					t.Fatal(err)
				}
				return w.Heard
			}
			a := x.meet()
			a.goesOver(who)
			a.leavesMap(who, "gone over")
			before := heard()
			if before == 0 {
				t.Fatalf("end %d: nobody has heard of a round trip", who)
			}
			for late := deadline(tortureWait); ; {
				for range 5 {
					a.byTCP(who)
				}
				now := heard()
				if flags == 0 && now != before {
					t.Errorf("end %d: who has no wish heard of %d round trips, then of %d", who, before, now)
				}
				if flags == 0 || now > before {
					break
				}
				if late() {
					t.Fatalf("end %d: who has the wish hears of no round trip any more", who)
				}
			}
			conn{a.ends}.close()
			if err := known.Delete(space); err != nil {
				t.Fatal(err)
			}
		}
	}
}
