// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/endpoint"
)

// listCommand prints a line for each attachment. Packets and bytes are those that went
// between it and others of its network directly (fast), and by the host stack, out of
// the container and into it.
func listCommand(e env, _ *flags) error {
	all, err := e.plugin().List()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NETWORK\tCONTAINER\tINTERFACE\tADDRESSES\tHOST INTERFACE\tFAST OUT\tFAST IN\tSTACK OUT\tSTACK IN\tDROPS\tPOD\tALIASES")
	for _, a := range all {
		addrs := make([]string, len(a.Addresses))
		for i, p := range a.Addresses {
			addrs[i] = p.Addr().String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.Key.Network, a.Key.ContainerID, a.Key.IfName,
			strings.Join(addrs, ","), a.HostIfName, packets(a.Counters), pod(a), strings.Join(a.Aliases, ","))
	}
	return w.Flush()
}

// packets are five columns, the first four of packets and bytes.
func packets(c *datapath.Counters) string {
	if c == nil {
		return "-\t-\t-\t-\t-"
	}
	var drops uint64
	for _, n := range c.Drops {
		drops += n
	}
	return fmt.Sprintf("%d/%d\t%d/%d\t%d/%d\t%d/%d\t%d", c.FastPackets, c.FastBytes, c.FastInPackets, c.FastInBytes,
		c.OutPackets, c.OutBytes, c.InPackets, c.InBytes, drops)
}

// pod is what the runtime calls the workload.
func pod(a endpoint.Attached) string {
	for _, keys := range [...]struct{ name, within string }{
		{"K8S_POD_NAME", "K8S_POD_NAMESPACE"}, {"NOMAD_ALLOC_ID", "NOMAD_GROUP_NAME"}, {"NERDCTL_CNI_DHCP_HOSTNAME", ""},
	} {
		name, within := a.Labels[keys.name], a.Labels[keys.within]
		if name != "" && within != "" {
			return within + "/" + name
		}
		if name != "" {
			return name
		}
	}
	return ""
}

// dropsCommand prints what was dropped, for whom and why.
func dropsCommand(e env, _ *flags) error {
	all, err := e.plugin().List()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NETWORK\tCONTAINER\tINTERFACE\tREASON\tPACKETS")
	for _, a := range all {
		if a.Counters == nil {
			continue
		}
		for why, n := range a.Counters.Drops {
			if n > 0 {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", a.Key.Network, a.Key.ContainerID, a.Key.IfName, datapath.Drop(why), n)
			}
		}
	}
	return w.Flush()
}

func repairCommand(e env, _ *flags) error { return e.plugin().Repair() }

func installCommand(e env, _ *flags) error { return e.plugin().Install() }
