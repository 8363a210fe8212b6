// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/emerita-cni/emerita/internal/datapath"
)

// flowsCommand prints a line for each direction of the connections whose ends go from
// socket to socket, or did, or is the switch.
func flowsCommand(e env, f *flags) error {
	switch {
	case f.stop && f.start:
		return errors.New("--stop and --start exclude each other: give one")
	case f.stop || f.start:
		return datapath.StopAcceleration(f.stop)
	}
	flows, err := datapath.Flows()
	if err != nil {
		return err
	}
	names, err := networkNames(e)
	if err != nil {
		return err
	}
	slices.SortFunc(flows, func(a, b datapath.Flow) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), a.From.Compare(b.From), a.To.Compare(b.To))
	})
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NETWORK\tFROM\tTO\tPATH\tBYTES")
	for _, f := range flows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", cmp.Or(names[f.Network], fmt.Sprintf("%#x", uint64(f.Network))), f.From, f.To, f.Path, f.Sent)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if stopped, err := datapath.AccelerationStopped(); err != nil || !stopped {
		return err
	}
	_, err = fmt.Fprintln(e.stderr, "acceleration is stopped: emerita flows --start lets it go on")
	return err
}

// networkNames are the names of the networks with attachments, by their numbers in the maps.
func networkNames(e env) (map[datapath.NetworkID]string, error) {
	all, err := e.plugin().List()
	names := map[datapath.NetworkID]string{}
	for _, a := range all {
		names[datapath.IDOf(a.Key.Network)] = a.Key.Network
	}
	return names, err
}
