// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// onPorts runs a test on a host of its own with the programs on the cgroup root.
func onPorts(t *testing.T, name string, test func(t *testing.T, h *Handle)) {
	t.Helper()
	onHost(t, name, func(t *testing.T) {
		testutil.Needs(t, testutil.Cgroup2, testutil.PeerName)
		mustHaveCgroup2(t)
		h := mustOpen(t)
		must(t, h.LoadPorts())
		test(t, h)
	})
}

// mustHaveCgroup2 mounts the unified hierarchy where the machine has none mounted.
func mustHaveCgroup2(t *testing.T) {
	t.Helper()
	if _, err := cgroupRoot(); err == nil {
		return
	}
	must(t, os.Mkdir("/run/cgroup2", 0o700))
	must(t, unix.Mount("cgroup2", "/run/cgroup2", "cgroup2", 0, ""))
}

// web is a port of TCP; where it leads says the address.
func web(host string, hostPort uint16, container string, port uint16) Port {
	return Port{Protocol: unix.IPPROTO_TCP, HostAddr: netip.MustParseAddr(host), HostPort: hostPort, Addr: netip.MustParseAddr(container), Port: port}
}

func expectPublished(t *testing.T, h *Handle, ifindex int, want bool, ports ...Port) {
	t.Helper()
	if is, err := h.Published(1, ifindex, ports); is != want || err != nil {
		t.Errorf("ports of the one at %d are published: %v, %v, want %v", ifindex, is, err, want)
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	open := web("0.0.0.0", 8080, "10.0.0.2", 80)
	open.Open = true
	sctp := open
	sctp.Protocol = unix.IPPROTO_SCTP
	outside := web("192.0.2.1", 8081, "10.0.0.2", 80)
	outside.Open = true
	six := web("::1", 8080, "fd00::2", 80)
	onPorts(t, "and forget", func(t *testing.T, h *Handle) {
		all := []Port{open, sctp, outside, six}
		expectPublished(t, h, 7, false, all...)
		must(t, h.Publish(1, 7, all))
		expectPublished(t, h, 7, true, all...)
		expectPublished(t, h, 8, false, outside)
		for range 2 { // forgetting what is forgotten is success
			must(t, h.Unpublish(1, 7, all))
			for _, p := range all {
				expectPublished(t, h, 7, false, p)
			}
		}
	})
	onPorts(t, "leaves a port that another has by now", func(t *testing.T, h *Handle) {
		must(t, h.Publish(1, 7, []Port{six}))
		theirs := web("::1", 8080, "fd00::3", 81)
		must(t, h.Publish(1, 8, []Port{theirs}))
		must(t, h.Unpublish(1, 7, []Port{six}))
		expectPublished(t, h, 8, true, theirs)
	})
	onPorts(t, "of two namespaces", func(t *testing.T, h *Handle) {
		must(t, h.Publish(1, 7, []Port{six}))
		must(t, h.Unpublish(2, 7, []Port{six}))
		expectPublished(t, h, 7, true, six)
	})
	onPorts(t, "of two families", func(t *testing.T, h *Handle) {
		if err := h.Publish(1, 7, []Port{web("::", 8080, "10.0.0.2", 80)}); err == nil {
			t.Error("an address of IPv6 leads to one of IPv4")
		}
	})
	onPorts(t, "until the interface is gone", func(t *testing.T, h *Handle) {
		theirs := web("0.0.0.0", 8081, "10.0.0.3", 80)
		theirs.Open = true
		must(t, h.Publish(1, 7, []Port{open, six}))
		must(t, h.Publish(1, 8, []Port{theirs}))
		must(t, Sweep(func(ifindex int) bool { return ifindex == 7 }))
		for _, p := range []Port{open, outside, six} {
			expectPublished(t, h, 7, false, p)
		}
		expectPublished(t, h, 8, true, theirs)
	})
	onHost(t, "without the programs for sockets", func(t *testing.T) {
		h := mustOpen(t)
		if err := h.Publish(1, 7, []Port{open}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("publish: %v, want one that wraps fs.ErrNotExist", err)
		}
		expectPublished(t, h, 7, false, open)
		must(t, h.Publish(1, 7, []Port{outside}))
		expectPublished(t, h, 7, true, outside) // as open's, it is there
		must(t, h.Unpublish(1, 7, []Port{open, outside}))
		expectPublished(t, h, 7, false, outside)
	})
	onHost(t, "with the maps of an older build", func(t *testing.T) {
		h := mustOpen(t)
		must(t, os.Remove(filepath.Join(v1Dir, pinPublished)))
		if err := h.Publish(1, 7, []Port{outside}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("publish: %v, want one that wraps fs.ErrNotExist", err)
		}
		expectPublished(t, h, 7, false, outside)
		must(t, h.Unpublish(1, 7, []Port{outside}))
	})
}

// mustLinked is the program of a pinned link.
func mustLinked(t *testing.T, pin string) ebpf.ProgramID {
	t.Helper()
	l, err := link.LoadPinnedLink(pin, nil)
	must(t, err)
	defer l.Close()
	info, err := l.Info()
	must(t, err)
	return info.Program
}

func TestLoadPorts(t *testing.T) {
	t.Parallel()
	onPorts(t, "in place of another build's", func(t *testing.T, h *Handle) {
		if !h.HasPorts() {
			t.Error("they are loaded, and not there")
		}
		before := map[string]ebpf.ProgramID{}
		for _, hook := range portHooks() {
			before[hook.name] = mustLinked(t, h.portLink(hook.name))
		}
		must(t, os.Rename(programDir(v1Dir), filepath.Join(v1Dir, "programs-0123456789abcdef")))
		if h.HasPorts() {
			t.Error("another build's count as ours")
		}
		must(t, h.LoadPorts())
		if !h.HasPorts() {
			t.Error("they are loaded again, and not there")
		}
		for _, hook := range portHooks() {
			if is := mustLinked(t, h.portLink(hook.name)); is == before[hook.name] {
				t.Errorf("%s is still program %d of the other build", hook.name, is)
			}
		}
	})
	onPorts(t, "after a link was removed", func(t *testing.T, h *Handle) {
		p := web("::1", 8080, "fd00::2", 80)
		must(t, h.Publish(1, 7, []Port{p}))
		for _, hook := range portHooks() {
			must(t, os.Remove(h.portLink(hook.name)))
			expectPublished(t, h, 7, false, p)
			must(t, h.LoadPorts())
			expectPublished(t, h, 7, true, p)
		}
		must(t, os.Remove(h.portLink("port_connect6"))) // as if a load was killed
		if h.HasPorts() {
			t.Error("the last link is missing, and they count as there")
		}
	})
	onHost(t, "all or none", func(t *testing.T) {
		testutil.Needs(t, testutil.Cgroup2, testutil.PeerName)
		mustHaveCgroup2(t)
		h := mustOpen(t)
		// A pin of something else where the last link would be.
		last := portHooks()[len(portHooks())-1].name
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
		must(t, err)
		defer m.Close()
		must(t, m.Pin(h.portLink(last)))
		if err := h.LoadPorts(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("load: %v, want one that wraps ErrUnavailable", err)
		}
		if links, err := filepath.Glob(filepath.Join(v1Dir, "port_*_link")); err != nil || len(links) != 1 {
			t.Errorf("links %q, %v are left, want the one that is none", links, err)
		}
	})
	onHost(t, "without cgroup v2", func(t *testing.T) {
		h := mustOpen(t)
		for root, err := cgroupRoot(); err == nil; root, err = cgroupRoot() {
			must(t, unix.Unmount(root, unix.MNT_DETACH))
		}
		if err := h.LoadPorts(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("load: %v, want one that wraps ErrUnavailable", err)
		}
		if h.HasPorts() {
			t.Error("they count as loaded")
		}
	})
}
