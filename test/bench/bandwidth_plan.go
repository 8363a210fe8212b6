// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"slices"
	"time"
)

// The variants of bandwidth.
const (
	limitEmerita  = "emerita"
	limitUpstream = "upstream" // bridge with bandwidth behind it
)

func bandwidthVariantNames() []string { return []string{limitEmerita, limitUpstream} }

// A bandwidthPlan says what one run of limits measures.
type bandwidthPlan struct {
	Variants []string        `json:"variants"`
	Cases    []bandwidthCase `json:"cases"`
	Burst    int             `json:"burst_bit"`
	Rounds   int             `json:"rounds"`
	WarmUp   time.Duration   `json:"warm_up_ns"` // of the streams, in which they use up the burst
	Window   time.Duration   `json:"window_ns"`  // of the streams
	Interval time.Duration   `json:"interval_ns"`
	Size     int             `json:"size"` // bytes of a request and its response
}

// A bandwidthCase is streams that fill the limit of a container.
type bandwidthCase struct {
	Mbit      int       `json:"mbit"` // limit of both directions
	Streams   int       `json:"streams"`
	Direction direction `json:"direction"` // in which the streams go
	Peer      scope     `json:"peer"`      // who has their other end
	Exact     bool      `json:"exact"`     // the rate alone is of interest
}

// A direction is as the container sees it.
type direction string

const (
	outbound direction = "to"
	inbound  direction = "from"
)

func (c bandwidthCase) String() string {
	peer := "the " + string(c.Peer)
	if c.Peer == scopeLocal {
		peer = "another container"
	}
	return fmt.Sprintf("%s Mbit/s, %s %s %s", thousands(c.Mbit), streamsText(c.Streams), c.Direction, peer)
}

func streamsText(n int) string {
	if n == 1 {
		return "1 stream"
	}
	return fmt.Sprintf("%d streams", n)
}

// loaded is the rate with which latency is measured.
const loaded = 100 // Mbit/s

// bandwidthCases are all, in the order of a round.
func bandwidthCases() []bandwidthCase {
	var cases []bandwidthCase
	for _, streams := range []int{1, 8} {
		for _, peer := range []scope{scopeLocal, scopeHost, scopeOutside} {
			for _, d := range []direction{outbound, inbound} {
				cases = append(cases, bandwidthCase{loaded, streams, d, peer, false})
			}
		}
	}
	for _, mbit := range []int{10, 1000} {
		for _, d := range []direction{outbound, inbound} {
			cases = append(cases, bandwidthCase{mbit, 1, d, scopeOutside, true})
		}
	}
	return cases
}

func newBandwidthPlan(o options) (bandwidthPlan, error) {
	p := bandwidthPlan{
		Cases: bandwidthCases(), Burst: 1_000_000, Rounds: o.rounds,
		WarmUp: 500 * time.Millisecond, Window: 2200 * time.Millisecond,
		Interval: 5 * time.Millisecond, Size: 64,
	}
	if o.quick {
		p.Rounds, p.WarmUp, p.Window = 1, 300*time.Millisecond, 900*time.Millisecond
	}
	if o.rounds < 1 {
		return bandwidthPlan{}, fmt.Errorf("rounds %d: at least one is needed", o.rounds)
	}
	var err error
	p.Variants, err = choose(o.variants, bandwidthVariantNames())
	return p, err
}

// plugins are those that the plan needs.
func (p bandwidthPlan) plugins() []string {
	var plugins []string
	for _, name := range p.Variants {
		plugins = append(plugins, newBandwidthVariant(name).plugin)
	}
	return plugins
}

// rates are those for which a variant needs a host, ascending.
func (p bandwidthPlan) rates() []int {
	var all []int
	for _, c := range p.Cases {
		all = append(all, c.Mbit)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// newBandwidthVariant serves the capability itself or has bandwidth behind bridge, as its
// users do.
func newBandwidthVariant(name string) variant {
	capabilities := map[string]bool{"bandwidth": true}
	octet := 171 + slices.Index(bandwidthVariantNames(), name)
	if name == limitEmerita {
		v := configure("bandwidth-"+name, "emerita", false, octet)
		v.name = name
		v.config["capabilities"] = capabilities
		return v
	}
	v := configure("bandwidth-"+name, "bridge", false, octet)
	v.name = name
	v.behind = []link{{"bandwidth", map[string]any{
		"cniVersion":   "1.0.0",
		"name":         "bench-bandwidth-" + name,
		"type":         "bandwidth",
		"capabilities": capabilities,
	}}}
	return v
}

// A limit is CNI's capability bandwidth: what goes to the container is its ingress.
type limit struct {
	IngressRate  int `json:"ingressRate"` // bit/s
	IngressBurst int `json:"ingressBurst"`
	EgressRate   int `json:"egressRate"`
	EgressBurst  int `json:"egressBurst"`
}

// limitOf limits both directions.
func (p bandwidthPlan) limitOf(mbit int) *limit {
	return &limit{mbit * 1e6, p.Burst, mbit * 1e6, p.Burst}
}
