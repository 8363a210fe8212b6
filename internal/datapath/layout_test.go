// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

func mustSpec(t *testing.T) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := loadEndpoint()
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// fields cuts an encoded structure as the BTF of a map's key or value says.
func fields(t *testing.T, typ btf.Type, raw []byte) map[string][]byte {
	t.Helper()
	s, ok := btf.UnderlyingType(typ).(*btf.Struct)
	if !ok {
		t.Fatalf("%v is no structure", typ)
	}
	if int(s.Size) != len(raw) {
		t.Fatalf("struct %s has %d bytes, its encoding %d", s.Name, s.Size, len(raw))
	}
	out := map[string][]byte{}
	for _, m := range s.Members {
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		out[m.Name] = raw[m.Offset.Bytes():][:size]
	}
	return out
}

// TestLayout compares what ADD writes with the structures of the object.
func TestLayout(t *testing.T) {
	t.Parallel()
	maps := mustSpec(t).Maps
	spec, err := loadSocket()
	if err != nil {
		t.Fatal(err)
	}
	sockets := spec.Maps[pinSockets]
	spec, err = loadPort()
	if err != nil {
		t.Fatal(err)
	}
	loopback := spec.Maps[pinLoopback]
	spec, err = loadAccel()
	if err != nil {
		t.Fatal(err)
	}
	accel := spec.Maps
	u32 := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	u64 := func(v uint64) []byte { return binary.NativeEndian.AppendUint64(nil, v) }
	e := Endpoint{
		Network: 0x0102030405060708, Owner: 0x1112131415161718, IfIndex: 0x21222324, MTU: 0x31323334,
		MAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}, HostMAC: net.HardwareAddr{7, 8, 9, 10, 11, 12}, FastPath: true, Isolated: true, HostClosed: true, Netkit: true, Limited: true,
		Congestion: &Congestion{NetnsCookie: 0x4142434445464748, Name: "cubic", Unpaced: true},
	}
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	mapped := netip.AddrFrom16(v4.As16()).AsSlice()
	port4 := Port{Protocol: 6, HostAddr: netip.IPv4Unspecified(), HostPort: 0x5152, Addr: v4, Port: 0x5354}
	port6 := Port{Protocol: 17, HostAddr: netip.IPv6Loopback(), HostPort: 0x5152, Addr: v6, Port: 0x5354}
	for _, c := range []struct {
		name string
		typ  btf.Type
		raw  []byte
		want map[string][]byte
	}{
		{"interface", maps[pinInterfaces].Value, interfaceValue(e), map[string][]byte{
			"network": u64(uint64(e.Network)), "owner": u64(uint64(e.Owner)), "flags": u32(flagFastPath | flagIsolated | flagHostClosed | flagNetkit),
			"mtu": u32(uint32(e.MTU)), "mac": e.MAC, "pad": {0, 0},
		}},
		{"endpoint", maps[pinEndpoints].Value, endpointValue(e), map[string][]byte{
			"ifindex": u32(uint32(e.IfIndex)), "mtu": u32(uint32(e.MTU)), "owner": u64(uint64(e.Owner)),
			"macs": append(slices.Clone(e.MAC), e.HostMAC...), "flags": u32(flagLimited),
		}},
		{"key of IPv4", maps[pinEndpoints].Key, endpointKey(e.Network, v4), map[string][]byte{
			"network": u64(uint64(e.Network)), "addr": mapped,
		}},
		{"key of IPv6", maps[pinEndpoints].Key, endpointKey(e.Network, v6), map[string][]byte{
			"network": u64(uint64(e.Network)), "addr": v6.AsSlice(),
		}},
		{"key of a socket", sockets.Key, socketKey(e.Congestion.NetnsCookie, v4), map[string][]byte{
			"netns": u64(e.Congestion.NetnsCookie), "addr": mapped,
		}},
		{"policy of a socket", sockets.Value, socketPolicy(e), map[string][]byte{
			"network": u64(uint64(e.Network)), "ifindex": u32(uint32(e.IfIndex)), "flags": u32(flagUnpaced),
			"congestion": append([]byte("cubic"), make([]byte, congestionName-5)...),
		}},
		{"published port", maps[pinPublished].Key, publishedKey(7, 0x5152, 6, sideHost), map[string][]byte{
			"ifindex": u32(7), "port": be16(0x5152), "protocol": {6}, "side": {1},
		}},
		{"key of a port of all IPv4", loopback.Key, loopbackKey(9, port4), map[string][]byte{
			"netns": u64(9), "addr": netip.MustParseAddr("::ffff:0.0.0.0").AsSlice(), "port": be16(0x5152), "protocol": {6}, "pad": make([]byte, 5),
		}},
		{"key of a port of ::1", loopback.Key, loopbackKey(9, port6), map[string][]byte{
			"netns": u64(9), "addr": netip.IPv6Loopback().AsSlice(), "port": be16(0x5152), "protocol": {17}, "pad": make([]byte, 5),
		}},
		{"port of IPv4", loopback.Value, loopbackValue(7, port4), map[string][]byte{
			"addr": mapped, "ifindex": u32(7), "port": be16(0x5354), "pad": {0, 0},
		}},
		{"port of IPv6", loopback.Value, loopbackValue(7, port6), map[string][]byte{
			"addr": v6.AsSlice(), "ifindex": u32(7), "port": be16(0x5354), "pad": {0, 0},
		}},
		{"key of an accelerated socket", accel[pinAccelSockets].Key, socketKey(9, v4), map[string][]byte{"netns": u64(9), "addr": mapped}},
		{"key of an accelerated peer", accel[pinAccelPeers].Key, endpointKey(9, v6), map[string][]byte{"network": u64(9), "addr": v6.AsSlice()}},
		{"accelerated container", accel[pinAccelPeers].Value, accelContainer(9, 7, true), map[string][]byte{"id": u64(9), "ifindex": u32(7), "by_cgroup": u32(1)}},
		{"allowed network", maps[pinAllowed].Key, allowanceKey(7, 8), map[string][]byte{"ifindex": u32(7), "pad": u32(0), "network": u64(8)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, fields(t, c.typ, c.raw)); diff != "" {
				t.Errorf("encoding differs from the object's (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLayoutOfIndexKeys(t *testing.T) {
	t.Parallel()
	maps := mustSpec(t).Maps
	for _, name := range []string{pinInterfaces, pinCounts} {
		if size := int(maps[name].KeySize); size != len(indexKey(1)) {
			t.Errorf("map %s has keys of %d bytes, ADD writes %d", name, size, len(indexKey(1)))
		}
	}
}

// TestLayoutOfCounters compares the order and number of the counters.
func TestLayoutOfCounters(t *testing.T) {
	t.Parallel()
	raw := make([]byte, countersSize)
	for i := range countersSize / 8 {
		binary.NativeEndian.PutUint64(raw[8*i:], uint64(i))
	}
	got := fields(t, mustSpec(t).Maps[pinCounts].Value, raw)
	at := func(i, n int) []byte { return raw[8*i:][:8*n] }
	want := map[string][]byte{
		"fast_packets": at(0, 1), "fast_bytes": at(1, 1), "out_packets": at(2, 1), "out_bytes": at(3, 1),
		"in_packets": at(4, 1), "in_bytes": at(5, 1), "fast_in_packets": at(6, 1), "fast_in_bytes": at(7, 1),
		"drops": at(pathCounters, dropReasons),
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("counters differ from the object's (-want +got):\n%s", diff)
	}
}
