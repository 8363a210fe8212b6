// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/datapath"
	"github.com/emerita-cni/emerita/internal/state"
)

// acceleration is the key socketAcceleration: true, false, or "cgroup", which is for
// containers whose runtime gives the capability cgroupPath, through that cgroup alone.
type acceleration struct{ on, byCgroup bool }

// parseAcceleration reads one of them. null is absent, as everywhere. Not by
// UnmarshalJSON, which does not know at which key it is.
func parseAcceleration(key string, raw json.RawMessage, a *acceleration) error {
	var on bool
	var mode string
	switch {
	case len(raw) == 0 || string(raw) == "null":
	case json.Unmarshal(raw, &on) == nil:
		*a = acceleration{on: on}
	case json.Unmarshal(raw, &mode) == nil && mode == "cgroup":
		*a = acceleration{on: true, byCgroup: true}
	default:
		return fmt.Errorf(`%s %.100s: want true, false or "cgroup"`, key, raw)
	}
	return nil
}

// accelerationOptions are the key, and the same one for a container.
type accelerationOptions struct {
	Network json.RawMessage `json:"socketAcceleration"`
	Args    struct {
		CNI struct {
			Acceleration json.RawMessage `json:"socketAcceleration"`
		} `json:"cni"`
	} `json:"args"`
}

// wanted is what is wanted for a container: args.cni goes before the network.
func (o accelerationOptions) wanted() (a acceleration, err error) {
	if err = parseAcceleration("socketAcceleration", o.Network, &a); err == nil {
		err = parseAcceleration("args.cni.socketAcceleration", o.Args.CNI.Acceleration, &a)
	}
	return a, err
}

// accelerates says whether a network asks for it: what goes from socket to socket passes
// no queue, so that containers with limits have none.
func (o options) accelerates() bool { return o.acceleration.on && !o.limited.any() }

// wantsPrograms says whether anything asks for the eBPF programs.
func (o options) wantsPrograms() bool { return o.pathOptions.wantsPrograms() || o.accelerates() }

// needsPrograms says whether the configuration cannot do without.
func (o options) needsPrograms() bool { return o.pathOptions.needsPrograms() || o.accelerates() }

// accelerated is where the sockets of a container are to be enrolled, nil if nowhere.
func (r *request) accelerated() (*datapath.Acceleration, error) {
	switch {
	case !r.options.accelerates():
		return nil, nil
	case !r.options.acceleration.byCgroup:
		return &datapath.Acceleration{}, nil
	}
	given := r.call.Config.RuntimeConfig.CgroupPath
	if given == "" {
		return nil, nil
	}
	clean := path.Clean("/" + given)
	if clean == "/" || strings.ContainsRune(given, 0) {
		return nil, cniproto.Errorf(cniproto.CodeInvalidConfig, "parse network configuration", "runtimeConfig.cgroupPath %q: want the path of a cgroup below the root of cgroup v2", given)
	}
	return &datapath.Acceleration{Cgroup: clean}, nil
}

// accelerationRecord is what a record says of it.
func accelerationRecord(a *datapath.Acceleration) *state.Acceleration {
	if a == nil {
		return nil
	}
	return &state.Acceleration{NetnsCookie: a.NetnsCookie, Cgroup: a.Cgroup}
}

// mayAccelerate refuses, before anything is touched, what this host cannot have.
func mayAccelerate(wanted *datapath.Acceleration) error {
	if wanted == nil {
		return nil
	}
	return noAcceleration(datapath.AccelerationAvailable())
}

// noAcceleration is nil for nil. What is asked for in so many words is worth an error.
func noAcceleration(err error) error {
	if err == nil {
		return nil
	}
	return cniproto.Errorf(cniproto.CodeNotAvailable, "accelerate sockets", "%w: mend it, or set socketAcceleration to false", err)
}

// openAcceleration sees to it that the programs are there.
func (p *Plugin) openAcceleration(store *state.Store, h *datapath.Handle, wanted *datapath.Acceleration) error {
	if wanted == nil {
		return nil
	}
	everywhere := wanted.Cgroup == ""
	if h.HasAcceleration(everywhere) {
		return nil
	}
	return noAcceleration(p.withSharedLock(store, func() error {
		if h.HasAcceleration(everywhere) { // another ADD has been faster
			return nil
		}
		return p.loadAcceleration(h, everywhere)
	}))
}

func (p *Plugin) loadAcceleration(h *datapath.Handle, everywhere bool) error {
	renews, err := h.LoadAcceleration(everywhere)
	if renews != nil {
		p.Log.Warn("accelerated connections end at their first budget", "err", renews)
	}
	return err
}

// accelerate lets the sockets of an attachment be enrolled.
func accelerate(h *datapath.Handle, l *layout) error {
	if l.acceleration == nil {
		return nil
	}
	if c := l.acceleration.Cgroup; c != "" {
		if err := h.EnrolCgroup(c); err != nil {
			return fmt.Errorf("runtimeConfig.cgroupPath: %w", err)
		}
	}
	return h.Accelerate(endpointOf(l))
}

// accelerateAgain does so for one that stands. Its cgroup may be gone, and that is no
// reason to leave the others without programs.
func (p *Plugin) accelerateAgain(h *datapath.Handle, l *layout) error {
	if l.acceleration == nil {
		return nil
	}
	if c := l.acceleration.Cgroup; c != "" {
		if err := h.EnrolCgroup(c); err != nil {
			p.Log.Warn("new connections of "+l.key.String()+" are not accelerated", "err", ofCgroup(err))
		}
	}
	return h.Accelerate(endpointOf(l))
}

// ofCgroup says the mend when a cgroup is gone.
func ofCgroup(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: connect the container anew (DEL, ADD) with the cgroup that it has now", err)
	}
	return err
}

// compareCgroup looks for the program on an attachment's own cgroup, for CHECK. STATUS
// does not ask: a container that has just ended has no cgroup any more, and no DEL yet.
func compareCgroup(l *layout) error {
	if l.acceleration == nil || l.acceleration.Cgroup == "" {
		return nil
	}
	enrolled, err := datapath.Enrolled(l.acceleration.Cgroup)
	if err != nil {
		return fmt.Errorf("new connections are not accelerated: %w", ofCgroup(err))
	}
	if !enrolled {
		return fmt.Errorf("eBPF program is missing on cgroup %q below the root of cgroup v2: emerita repair puts it back", l.acceleration.Cgroup)
	}
	return nil
}

// reloadAcceleration gives accelerated attachments this build's programs, after the pins
// were lost or were another build's. Without it their new connections are plain TCP.
func (p *Plugin) reloadAcceleration(h *datapath.Handle, records []*state.Record) bool {
	wanted, everywhere := false, false
	for _, r := range records {
		if r.Acceleration != nil {
			wanted = true
			everywhere = everywhere || r.Acceleration.Cgroup == ""
		}
	}
	if !wanted {
		return false
	}
	err := p.loadAcceleration(h, everywhere)
	if err != nil {
		p.Log.Warn("sockets are not accelerated", "err", err)
	}
	return err == nil
}

// dismiss takes the program off the cgroup of an attachment that is gone, unless another
// attachment's processes are in it too.
func (p *Plugin) dismiss(store *state.Store, key state.Key, cgroup string) error {
	if cgroup == "" {
		return nil
	}
	others, err := store.List("")
	if err == nil && slices.ContainsFunc(others, func(r *state.Record) bool {
		return r.Key != key && r.Acceleration != nil && r.Acceleration.Cgroup == cgroup
	}) {
		return nil
	}
	return errors.Join(err, datapath.DismissCgroup(cgroup))
}

// dismissRecorded is for an attachment that has a record. What cannot be taken off goes
// with the cgroup, and enrols nobody.
func (p *Plugin) dismissRecorded(store *state.Store, record *state.Record) {
	if record == nil || record.Acceleration == nil {
		return
	}
	if err := p.dismiss(store, record.Key, record.Acceleration.Cgroup); err != nil {
		p.Log.Warn("leave a program on cgroup "+record.Acceleration.Cgroup, "err", err)
	}
}
