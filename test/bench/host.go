// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netnsDir is where the network namespaces of a host's containers are mounted.
const netnsDir = "/run/netns"

// uplinkAddr is the host's address on the way to the outside.
const uplinkAddr = "192.0.2.2"

// A host plays the machine for one variant: network and mount namespaces of its
// own, on a thread that is thrown away with them. Links, routes, rules, locks and
// state of one variant are thus invisible to the others, which can be measured in
// turn in the same minute; and so are programs on its root of cgroup v2.
type host struct {
	variant
	bin string // directory of the plugins
	// ifname is the interface that ADD makes in a container, another one on each
	// host: the kernel keeps all settings of one name below /proc/sys/net in one
	// hash chain, over all namespaces (proc_sys_compare), and a variant must not
	// pay for the containers of the others.
	ifname string
	jobs   chan func()
	netns  int // file descriptor of the network namespace
	// probe asks the network namespace with calls that do not take the rtnl lock,
	// so that the answer is not held back by a teardown in progress.
	probe   int
	outside int // file descriptor of the network namespace behind the uplink
	cgroup  cgroup
	seq     atomic.Int64
}

// newHost makes a host with an uplink. Its /var/lib is on the file system of the
// working directory, as it would be on disk, its /run in memory.
func newHost(work string, v variant, ifname string) (*host, error) {
	name := v.name
	h := &host{
		variant: v, bin: filepath.Join(work, "bin"), ifname: ifname, jobs: make(chan func()),
		netns: -1, probe: -1, outside: -1, cgroup: cgroup{procs: -1, inside: -1, everyone: -1},
	}
	lib := filepath.Join(work, "hosts", name)
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return nil, fmt.Errorf("make host %q: %w", name, err)
	}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for job := range h.jobs {
			job()
		}
	}()
	err := h.enterCgroup(work)
	if err == nil {
		err = h.do(func() error { return h.setUp(lib) })
	}
	if err != nil {
		h.close()
		return nil, fmt.Errorf("make host %q: %w", name, err)
	}
	return h, nil
}

// with is the same host with another network. It is closed by closing the host.
func (h *host) with(v variant) *host {
	return &host{
		variant: v, bin: h.bin, ifname: h.ifname, jobs: h.jobs,
		netns: h.netns, probe: h.probe, outside: h.outside, cgroup: h.cgroup,
	}
}

// do runs f on the thread that lives in the host.
func (h *host) do(f func() error) error {
	done := make(chan error, 1)
	h.jobs <- func() { done <- f() }
	return <-done
}

func (h *host) close() {
	close(h.jobs)
	for _, fd := range []int{h.probe, h.netns, h.outside, h.cgroup.procs, h.cgroup.inside, h.cgroup.everyone} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (h *host) setUp(lib string) (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := privateMounts(); err != nil {
		return err
	}
	if err := errors.Join(
		mount("sysfs", "/sys"),
		mount("cgroup2", "/sys/fs/cgroup"),
		mount("bpf", "/sys/fs/bpf"),
		mount("tmpfs", "/run"),
		os.Mkdir(netnsDir, 0o755),
	); err != nil {
		return err
	}
	if err := unix.Mount(lib, "/var/lib", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %q: %w", "/var/lib", err)
	}
	if h.netns, err = openNetns(); err != nil {
		return err
	}
	if h.probe, err = openProbe(); err != nil {
		return err
	}
	return h.connect()
}

// connect gives the host an uplink with a default route into a namespace that
// stands for the outside.
func (h *host) connect() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	var err error
	if h.outside, err = openNetns(); err != nil {
		return err
	}
	if err := up("lo", ""); err != nil {
		return err
	}
	if err := h.enter(); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "uplink0"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "router0", PeerNamespace: netlink.NsFd(h.outside)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("add uplink: %w", err)
	}
	if err := unix.Setns(h.outside, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the outside: %w", err)
	}
	if err := up("router0", "192.0.2.1/24"); err != nil {
		return err
	}
	if err := h.enter(); err != nil {
		return err
	}
	if err := errors.Join(up("lo", ""), up("uplink0", uplinkAddr+"/24")); err != nil {
		return err
	}
	gateway, err := netlink.ParseAddr("192.0.2.1/32")
	if err != nil {
		return fmt.Errorf("parse gateway: %w", err)
	}
	if err := netlink.RouteAdd(&netlink.Route{Gw: gateway.IP}); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	return nil
}

// enter brings the host's thread back into the host's network namespace.
func (h *host) enter() error {
	if err := unix.Setns(h.netns, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter host: %w", err)
	}
	return nil
}

// up sets a link of the thread's network namespace up, with an address if one is
// given.
func up(name, addr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %q: %w", name, err)
	}
	if addr != "" {
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return fmt.Errorf("parse address: %w", err)
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add address %q to %q: %w", addr, name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %q up: %w", name, err)
	}
	return nil
}

// openNetns opens the network namespace of the calling thread.
func openNetns() (int, error) {
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open network namespace: %w", err)
	}
	return fd, nil
}

// openProbe opens a socket in the network namespace of the calling thread.
func openProbe() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open probe: %w", err)
	}
	return fd, nil
}
