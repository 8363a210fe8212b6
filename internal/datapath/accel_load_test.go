// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// needsAcceleration skips where the kernel is too old for it.
func needsAcceleration(t *testing.T) {
	t.Helper()
	testutil.Needs(t, testutil.SockMapLink, testutil.SockOps, testutil.Cgroup2)
}

func acceleratedEndpoint(name string, cookie uint64, ifindex int, texts ...string) Endpoint {
	e := endpointNamed(name, ifindex, texts...)
	e.Acceleration = &Acceleration{NetnsCookie: cookie}
	return e
}

func TestAccelerate(t *testing.T) {
	t.Parallel()
	onHost(t, "and forget", func(t *testing.T) {
		needsAcceleration(t)
		h := mustOpen(t)
		if h.HasAcceleration(true) {
			t.Fatal("it is there before it was loaded")
		}
		renews, err := h.LoadAcceleration(true)
		must(t, errors.Join(renews, err))
		alice := acceleratedEndpoint("alice", 1, 7, "10.0.0.1", "fd00::1")
		bob := acceleratedEndpoint("bob", 2, 8, "10.0.0.2")
		mustRegister(t, h, alice)
		mustRegister(t, h, bob)
		expectKnown(t, h, alice, false)
		must(t, h.Accelerate(alice))
		must(t, h.Accelerate(bob))
		expectKnown(t, h, alice, true)
		// Another has alice's address by now: what is known of it stays.
		heir := acceleratedEndpoint("heir", 3, 9, "10.0.0.1")
		must(t, h.Accelerate(heir))
		expectKnown(t, h, alice, false)
		must(t, h.Unregister(alice))
		mustRegister(t, h, heir)
		expectKnown(t, h, heir, true)
		must(t, Sweep(func(ifindex int) bool { return ifindex == heir.IfIndex }))
		mustRegister(t, h, heir)
		expectKnown(t, h, heir, false)
		expectKnown(t, h, bob, true)
	})
	onHost(t, "is nothing to those who do not ask", func(t *testing.T) {
		h := mustOpen(t)
		must(t, h.Accelerate(endpointNamed("alice", 7, "10.0.0.1")))
		for _, pin := range mustList(t, v1Dir) {
			if strings.HasPrefix(pin, "accel") {
				t.Errorf("loaded: %s", pin)
			}
		}
		if flows, err := Flows(); len(flows) > 0 || err != nil {
			t.Errorf("flows: %v, %v", flows, err)
		}
		if err := StopAcceleration(true); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("stop: %v, want one that wraps fs.ErrNotExist", err)
		}
	})
}

// TestFlowOf reads an entry that is cut as the object's BTF says.
func TestFlowOf(t *testing.T) {
	t.Parallel()
	spec, err := loadAccel()
	must(t, err)
	flows := spec.Maps[pinAccelFlows]
	key, value := make([]byte, flows.KeySize), make([]byte, flows.ValueSize)
	k, v := fields(t, flows.Key, key), fields(t, flows.Value, value)
	from, to := netip.MustParseAddr("10.0.0.1").As16(), netip.MustParseAddr("fd00::2").As16()
	binary.NativeEndian.PutUint64(k["network"], 7)
	copy(k["own"], from[:])
	copy(k["peer"], to[:])
	binary.NativeEndian.PutUint16(k["own_port"], 80)
	binary.NativeEndian.PutUint16(k["peer_port"], 4000)
	binary.NativeEndian.PutUint64(v["sent"], 1<<63|5)
	binary.NativeEndian.PutUint64(v["read"], 6)
	binary.NativeEndian.PutUint32(v["state"], uint32(FlowSocket))
	binary.NativeEndian.PutUint32(v["ifindex"], 9)
	want := Flow{Network: 7, From: netip.MustParseAddrPort("10.0.0.1:80"), To: netip.MustParseAddrPort("[fd00::2]:4000"), Path: FlowSocket, Sent: 5, IfIndex: 9}
	if got := flowOf(key, value); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestExpandSlice(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/kubepods/burstable/pod1":      "/kubepods/burstable/pod1",
		"kubepods-burstable-pod1.slice": "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice",
		"/system.slice":                 "/system.slice",
		"/a.slice/a-b.slice":            "/a.slice/a-b.slice",
		".slice":                        ".slice",
		"/machine-x.slice/y-z.slice/t":  "/machine-x.slice/y-z.slice/t",
	} {
		if got := expandSlice(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// TestCgroupPaths: none leads out of the unified hierarchy.
func TestCgroupPaths(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.Cgroup2)
	onHost(t, "hostile", func(t *testing.T) {
		if _, err := cgroupRoot(); err != nil {
			must(t, unix.Mount("cgroup2", "/run", "cgroup2", 0, ""))
		}
		for _, path := range []string{"", "/", "..", "/../..", "../../../etc", "a/../../..", "nowhere"} {
			if fd, err := openBelowRoot(path); err == nil {
				unix.Close(fd)
				t.Errorf("%q is opened", path)
			}
		}
		must(t, DismissCgroup("nowhere")) // a cgroup that is gone
	})
}

func TestReleaseAtLeast(t *testing.T) {
	t.Parallel()
	if err := releaseAtLeast([2]int{3, 0}); err != nil {
		t.Error(err)
	}
	if err := releaseAtLeast([2]int{99, 0}); err == nil {
		t.Error("the kernel is said to be of a release that is not there yet")
	}
}
