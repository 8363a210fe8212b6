// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import "github.com/emerita-cni/emerita/internal/state"

// What a host may lack, and what to try takes long. That it could not be had is noted
// for this boot and version, so that not every ADD tries again; a configuration that
// insists does, and so do install and repair.
const (
	programsFeature   = "programs"
	congestionFeature = "local congestion control"
	portsFeature      = "ports on loopback addresses"
)

// noteOutcome remembers how an attempt ended.
func (p *Plugin) noteOutcome(store *state.Store, feature string, err error) {
	note := store.ForgetLack(feature)
	if err != nil {
		note = store.NoteLack(feature, p.Version, err.Error())
	}
	if note != nil {
		p.Log.Warn("note what the host lacks", "err", note)
	}
}

// forgetOutcomes lets the next ADD try again.
func (p *Plugin) forgetOutcomes(store *state.Store) {
	for _, feature := range []string{programsFeature, congestionFeature, portsFeature} {
		p.noteOutcome(store, feature, nil)
	}
}
