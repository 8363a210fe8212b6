// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/endpoint"
)

// statusCommand says whether the network can take a container, and what its
// containers have.
func statusCommand(e env, f *flags) error {
	err := e.invoke(f, "STATUS", current)
	if f.network != "" {
		if werr := e.plugin().WarnUnrecorded(f.network); err == nil {
			err = werr
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "ready")
	all, err := e.plugin().InForce(f.network)
	if err != nil || len(all) == 0 {
		return err
	}
	stopped, err := accelerationStopped(e, all)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ATTACHED\tDEVICE\tFAST PATH\tISOLATION\tHOST ACCESS\tMTU\tOUTSIDE MTU\tBIG TCP\tBANDWIDTH\tLOCAL CONGESTION CONTROL\tACCELERATION")
	for _, is := range all {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", is.Attached, is.Device,
			onOff(is.FastPath), isolation(is), yesNo(!is.HostClosed), is.MTU, is.RouteMTU, size(is.BigTCP), bandwidth(is), congestion(is), acceleration(is, stopped))
	}
	return w.Flush()
}

// accelerationStopped tells of the switch, if one of them is accelerated.
func accelerationStopped(e env, all []endpoint.InForce) (bool, error) {
	if !slices.ContainsFunc(all, func(is endpoint.InForce) bool { return is.Accelerated }) {
		return false, nil
	}
	stopped, err := datapath.AccelerationStopped()
	if err == nil && stopped {
		_, err = fmt.Fprintln(e.stderr, whenStopped)
	}
	return stopped, err
}

func acceleration(is endpoint.InForce, stopped bool) string {
	if is.Accelerated && stopped {
		return "stopped"
	}
	return onOff(is.Accelerated)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func isolation(is endpoint.InForce) string {
	if is.Isolated {
		return "network"
	}
	return "off"
}

// size is of the largest packet, bytes.
func size(bytes int) string {
	if bytes == 0 {
		return "off"
	}
	return fmt.Sprint(bytes)
}

// bandwidth is the rates of both directions, bits/s.
func bandwidth(is endpoint.InForce) string {
	if is.Limits.IngressRate == 0 && is.Limits.EgressRate == 0 {
		return "no limit"
	}
	rate := func(bits uint64) string {
		if bits == 0 {
			return "no limit"
		}
		return fmt.Sprint(bits)
	}
	return rate(is.Limits.IngressRate) + " in, " + rate(is.Limits.EgressRate) + " out"
}

func congestion(is endpoint.InForce) string {
	if is.Congestion == "" {
		return "the host's"
	}
	return is.Congestion
}
