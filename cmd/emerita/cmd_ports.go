// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"text/tabwriter"

	"github.com/emerita-cni/emerita/internal/endpoint"
	"github.com/emerita-cni/emerita/internal/state"
)

// portsCommand prints a line for each published port, sorted by protocol, port and
// address of the host.
func portsCommand(e env, _ *flags) error {
	all, err := e.plugin().List()
	if err != nil {
		return err
	}
	type line struct {
		state.Port
		endpoint.Attached
	}
	var lines []line
	for _, a := range all {
		for _, p := range a.Ports {
			lines = append(lines, line{p, a})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.HostPort, b.HostPort), a.HostIP.Compare(b.HostIP))
	})
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PROTOCOL\tHOST\tCONTAINER PORT\tNETWORK\tCONTAINER\tINTERFACE\tPOD")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Protocol, netip.AddrPortFrom(l.HostIP, l.HostPort),
			netip.AddrPortFrom(l.ContainerIP, l.ContainerPort), l.Key.Network, l.Key.ContainerID, l.Key.IfName, pod(l.Attached))
	}
	return w.Flush()
}
