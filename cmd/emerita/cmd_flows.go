// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"text/tabwriter"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
)

// whenStopped is for whoever looks while the switch is off.
const whenStopped = "acceleration is stopped: emerita flows --start lets it go on"

// flowsCommand prints a line for each direction of the connections whose ends go from
// socket to socket, or did, or is the switch.
func flowsCommand(e env, f *flags) error {
	if f.stop || f.start {
		return switchFlows(e, f.stop)
	}
	flows, err := datapath.Flows()
	if err != nil {
		return cniproto.Wrap(cniproto.CodeIO, "list connections", err)
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
		return cniproto.Wrap(cniproto.CodeIO, "list connections", err)
	}
	_, err = fmt.Fprintln(e.stderr, whenStopped)
	return err
}

// switchFlows stops acceleration, or lets it go on. Where nothing is loaded it is not
// stopped, and nothing would keep it so.
func switchFlows(e env, stop bool) error {
	err := datapath.StopAcceleration(stop)
	if !errors.Is(err, fs.ErrNotExist) {
		return cniproto.Wrap(cniproto.CodeIO, "switch acceleration", err)
	}
	attached, err := e.plugin().Accelerates()
	switch {
	case err != nil:
		return err
	case attached:
		return cniproto.Errorf(cniproto.CodeIO, "switch acceleration",
			"containers with socketAcceleration are attached, but their eBPF pins are missing: emerita repair puts them back")
	case stop:
		return cniproto.Errorf(cniproto.CodeIO, "stop acceleration",
			"no container with socketAcceleration was attached since boot or the last GC of all, so that there is nothing to stop: to keep it off set socketAcceleration to false")
	}
	return nil
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
