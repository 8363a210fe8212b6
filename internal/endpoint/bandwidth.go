// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"fmt"
	"math"
	"strconv"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
)

// bandwidthKeys are those of upstream's bandwidth plugin, at the top of a network
// configuration or in runtimeConfig.bandwidth.
type bandwidthKeys struct {
	IngressRate  amount `json:"ingressRate"` // towards the container
	IngressBurst amount `json:"ingressBurst"`
	EgressRate   amount `json:"egressRate"`
	EgressBurst  amount `json:"egressBurst"`

	ShapedSubnets   []any `json:"shapedSubnets"`
	UnshapedSubnets []any `json:"unshapedSubnets"`
}

// amount is a number as it was written, so that an error can say its key. Empty: the
// key is absent.
type amount string

// UnmarshalJSON takes whatever is there.
func (a *amount) UnmarshalJSON(raw []byte) error {
	*a = amount(raw)
	return nil
}

// bits reads an amount, as upstream: a whole number, and null is none. wanted says which.
func (a amount) bits(key, wanted string) (uint64, error) {
	if a == "" || a == "null" {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(a), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s %s: want %s, in digits", key, a, wanted)
	}
	return n, nil
}

// limit is of one direction.
type limit struct {
	rate  uint64 // bits/s, 0: none
	burst uint64 // bits
}

// limits are a container's.
type limits struct{ ingress, egress limit }

func (l limits) any() bool { return l != limits{} }

// parse reads the keys; prefix leads to them.
func (k *bandwidthKeys) parse(prefix string) (l limits, err error) {
	rate := fmt.Sprintf("0, no limit, or from %d to %d bits/s", minRate, uint64(maxRate))
	burst := fmt.Sprintf("from 0 to %d bits", uint64(maxBits))
	for _, n := range [...]struct {
		key, wanted string
		text        amount
		into        *uint64
	}{
		{"ingressRate", rate, k.IngressRate, &l.ingress.rate}, {"ingressBurst", burst, k.IngressBurst, &l.ingress.burst},
		{"egressRate", rate, k.EgressRate, &l.egress.rate}, {"egressBurst", burst, k.EgressBurst, &l.egress.burst},
	} {
		if *n.into, err = n.text.bits(prefix+n.key, n.wanted); err != nil {
			return l, err
		}
	}
	if len(k.ShapedSubnets)+len(k.UnshapedSubnets) > 0 {
		return l, fmt.Errorf("%sshapedSubnets and %sunshapedSubnets are not supported: a limit is for all that a container sends or gets", prefix, prefix)
	}
	return l, nil
}

// The limits of limits. A bucket holds 4 GiB at most, as upstream's.
const (
	minRate = 8 // bits/s: the kernel counts bytes
	maxRate = 8*rtnl.MaxRate - 1
	maxBits = 8*math.MaxUint32 - 1 // of a burst
)

// validate checks one direction, whose keys begin with prefix.
func (l limit) validate(prefix string) error {
	rate, burst := prefix+"Rate", prefix+"Burst"
	switch {
	case l.burst == 0 && l.rate != 0:
		return fmt.Errorf("%s %d: a rate needs a burst: set %s", rate, l.rate, burst)
	case l.rate == 0 && l.burst != 0:
		return fmt.Errorf("%s %d: a burst needs a rate: set %s", burst, l.burst, rate)
	case l.rate != 0 && (l.rate < minRate || l.rate > maxRate):
		return fmt.Errorf("%s %d: must be from %d to %d bits/s", rate, l.rate, minRate, uint64(maxRate))
	case l.burst > maxBits:
		return fmt.Errorf("%s %d: must be at most %d bits (4 GiB)", burst, l.burst, uint64(maxBits))
	}
	return nil
}

// bandwidthOptions are the keys, and what they come to.
type bandwidthOptions struct {
	bandwidthKeys
	RuntimeConfig struct {
		Bandwidth *bandwidthKeys `json:"bandwidth"`
	} `json:"runtimeConfig"`
}

// limits decides as upstream's plugin does: what the runtime asks for counts unless
// the network's configuration has one of the keys.
func (o *bandwidthOptions) limits() (limits, error) {
	l, err := o.parse("")
	if err != nil {
		return limits{}, err
	}
	prefix := ""
	k := o.bandwidthKeys
	if asked := o.RuntimeConfig.Bandwidth; asked != nil {
		const path = "runtimeConfig.bandwidth."
		theirs, err := asked.parse(path)
		if err != nil {
			return limits{}, err
		}
		if k.IngressRate+k.IngressBurst+k.EgressRate+k.EgressBurst == "" {
			l, prefix = theirs, path
		}
	}
	if err := l.ingress.validate(prefix + "ingress"); err != nil {
		return limits{}, err
	}
	return l, l.egress.validate(prefix + "egress")
}

// record is what a record says of limits, nil of none.
func (l limits) record() *state.Bandwidth {
	if !l.any() {
		return nil
	}
	return &state.Bandwidth{
		IngressRate: l.ingress.rate, IngressBurst: l.ingress.burst, EgressRate: l.egress.rate, EgressBurst: l.egress.burst,
	}
}

func limitsOf(r *state.Record) limits {
	b := r.Bandwidth
	if b == nil {
		return limits{}
	}
	return limits{ingress: limit{b.IngressRate, b.IngressBurst}, egress: limit{b.EgressRate, b.EgressBurst}}
}

// invalid is for parseOptions.
func invalid(err error) error {
	return cniproto.Errorf(cniproto.CodeInvalidConfig, "parse network configuration", "%w", err)
}
