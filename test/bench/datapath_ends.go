// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An end is a network namespace in which a process sends or receives.
type end struct {
	host  *host
	netns int
}

// A path is one variant, attached and ready: two containers on a host that has
// an outside.
type path struct {
	name           string // of the variant
	host           *host
	client, server end
	address        netip.Addr // of the server
	gateway        netip.Addr // an address of the host that the client knows
	programs       bool       // there is an eBPF filter on the device of the client
}

// newPath makes a host and attaches two containers to it. Those of loopback are
// the host itself.
func newPath(ctx context.Context, work string, v variant) (*path, error) {
	h, err := newHost(work, v, "eth0")
	if err != nil {
		return nil, err
	}
	p, err := h.newPath(ctx)
	if err != nil {
		h.close()
		return nil, err
	}
	return p, nil
}

// newPath attaches two containers to a host that there is. What closes the path closes
// the host.
func (h *host) newPath(ctx context.Context) (*path, error) {
	p := &path{name: h.name, host: h, client: end{h, -1}, server: end{h, -1}}
	if h.plugin == "" {
		p.client, p.server = end{h, h.netns}, end{h, h.netns}
		p.address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		return p, nil
	}
	if err := p.attach(ctx); err != nil {
		p.leave()
		return nil, err
	}
	return p, nil
}

func (p *path) attach(ctx context.Context) error {
	for _, side := range []struct {
		name string
		end  *end
	}{{"server", &p.server}, {"client", &p.client}} {
		c, err := p.host.newContainer(p.name+"-"+side.name, true)
		if err != nil {
			return err
		}
		defer c.unobserve()
		a := p.host.attachmentOf(c)
		if _, err := p.host.add(ctx, a); err != nil {
			return err
		}
		if *side.end, err = p.host.endOf(c); err != nil {
			return err
		}
		address, gateway, err := addresses(a.result)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", side.name, p.name, err)
		}
		if side.name == "server" {
			p.address = address
			continue
		}
		p.gateway = gateway
		index, err := c.hostEnd()
		if err != nil {
			return err
		}
		if p.programs, err = p.host.filtered(index); err != nil {
			return err
		}
	}
	return nil
}

func (p *path) close() {
	p.leave()
	p.host.close()
}

// leave closes the containers.
func (p *path) leave() {
	for _, e := range []end{p.client, p.server} {
		if p.host.plugin != "" && e.netns >= 0 {
			unix.Close(e.netns)
		}
	}
}

// ends are who talks to whom.
func (p *path) ends(at scope) (client, server end, address netip.Addr) {
	switch at {
	case scopeHost:
		return p.client, end{p.host, p.host.netns}, p.gateway
	case scopeOutside:
		return p.client, end{p.host, p.host.outside}, netip.AddrFrom4([4]byte{192, 0, 2, 1})
	default:
		return p.client, p.server, p.address
	}
}

// addresses are that of the container and its gateway, by the result of ADD.
func addresses(result []byte) (address, gateway netip.Addr, err error) {
	var r struct {
		IPs []struct {
			Address netip.Prefix `json:"address"`
			Gateway netip.Addr   `json:"gateway"`
		} `json:"ips"`
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return address, gateway, fmt.Errorf("decode the result of ADD: %w", err)
	}
	if len(r.IPs) != 1 || !r.IPs[0].Address.Addr().Is4() || !r.IPs[0].Gateway.Is4() {
		return address, gateway, fmt.Errorf("result of ADD: expected an IPv4 address with gateway, got %s", result)
	}
	return r.IPs[0].Address.Addr(), r.IPs[0].Gateway, nil
}

func (h *host) endOf(c *container) (end, error) {
	e := end{host: h}
	err := h.do(func() (err error) {
		e.netns, err = unix.Open(c.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return end{}, fmt.Errorf("open container %q: %w", c.path, err)
	}
	return e, nil
}

// filtered tells whether a device has an eBPF filter where the container's
// packets arrive.
func (h *host) filtered(index int) (bool, error) {
	found := false
	err := h.do(func() error {
		link, err := netlink.LinkByIndex(index)
		if err != nil {
			return err
		}
		filters, err := netlink.FilterList(link, netlink.HANDLE_MIN_INGRESS)
		if err != nil {
			return err
		}
		for _, f := range filters {
			found = found || strings.EqualFold(f.Type(), "bpf")
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("list the filters of device %d: %w", index, err)
	}
	return found, nil
}

// start starts a process in the end's namespace, which it inherits from the thread, and
// in the host's cgroup.
func (e end) start(cmd *exec.Cmd) error {
	err := e.host.do(func() error {
		if err := unix.Setns(e.netns, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		startErr := e.host.startInCgroup(cmd)
		if err := e.host.enter(); err != nil {
			return err
		}
		return startErr
	})
	if err != nil {
		return fmt.Errorf("start %q: %w", cmd.Args[1], err)
	}
	return nil
}
