// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A container is a network namespace, mounted as `ip netns add` does it.
type container struct {
	path   string
	ifname string
	probe  int             // like that of host; -1 in a container that only fills
	links  *netlink.Handle // nil in a container that only fills
}

// newContainer makes a network namespace under a name that is new on the host.
// One that is not observed costs no file descriptor.
func (h *host) newContainer(name string, observed bool) (*container, error) {
	c := &container{path: filepath.Join(netnsDir, name), ifname: h.ifname, probe: -1}
	err := h.do(func() (err error) {
		if err := os.WriteFile(c.path, nil, 0o444); err != nil {
			return err
		}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		defer func() { err = errors.Join(err, h.enter()) }()
		if err := unix.Mount("/proc/thread-self/ns/net", c.path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %q: %w", c.path, err)
		}
		if !observed {
			return nil
		}
		if c.probe, err = openProbe(); err != nil {
			return err
		}
		if c.links, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return fmt.Errorf("open netlink socket: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("make container %q: %w", name, err)
	}
	return c, nil
}

// unobserve closes what an observed container costs, which keeps its namespace as well.
func (c *container) unobserve() {
	unix.Close(c.probe)
	c.links.Close()
	c.probe, c.links = -1, nil
}

// hostEnd returns the index, on the host, of the other end of the container's
// interface. The kernel is asked, not the plugin's result.
func (c *container) hostEnd() (int, error) {
	link, err := c.links.LinkByName(c.ifname)
	if err != nil {
		return 0, fmt.Errorf("find %q in the container: %w", c.ifname, err)
	}
	index := link.Attrs().ParentIndex
	if index == 0 {
		return 0, fmt.Errorf("interface %q in the container has no other end", c.ifname)
	}
	return index, nil
}

// gone returns an error if either end of an interface is still there.
func (h *host) gone(c *container, hostEnd int) error {
	req, err := unix.NewIfreq("x")
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.SetUint32(uint32(hostEnd))
	switch err := unix.IoctlIfreq(h.probe, unix.SIOCGIFNAME, req); {
	case err == nil:
		return fmt.Errorf("after DEL: host interface %q is still there", req.Name())
	case !errors.Is(err, unix.ENODEV):
		return fmt.Errorf("look for the host interface: %w", err)
	}

	if req, err = unix.NewIfreq(c.ifname); err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	switch err := unix.IoctlIfreq(c.probe, unix.SIOCGIFINDEX, req); {
	case err == nil:
		return fmt.Errorf("after DEL: container interface %q is still there", c.ifname)
	case !errors.Is(err, unix.ENODEV):
		return fmt.Errorf("look for the container interface: %w", err)
	}
	return nil
}
