// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inOutside runs f on the host's thread in the namespace behind the uplink.
func (h *host) inOutside(f func() error) error {
	return h.do(func() error {
		if err := unix.Setns(h.outside, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the outside: %w", err)
		}
		err := f()
		if enterErr := h.enter(); enterErr != nil {
			return enterErr
		}
		return err
	})
}

// wayToContainers gives the thread's namespace a route to the containers of the host
// behind the uplink. It is for networks without ipMasq.
func wayToContainers() error {
	err := netlink.RouteAdd(&netlink.Route{
		Dst: &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(8, 32)}, Gw: net.ParseIP(uplinkAddr),
	})
	if err != nil {
		return fmt.Errorf("add the outside's route to the containers: %w", err)
	}
	return nil
}
