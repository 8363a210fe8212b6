// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// An origin is where connections come from.
type origin string

const (
	fromOutside origin = "outside"
	fromHost    origin = "host" // to 127.0.0.1
)

// A connMetric is what is measured together: one sample has all its figures.
type connMetric struct {
	from origin
	cpus placing
}

func connMetrics() []connMetric {
	return []connMetric{{fromOutside, sameCPU}, {fromOutside, crossCPU}, {fromHost, sameCPU}, {fromHost, crossCPU}}
}

// A connPart is one figure of a sample.
type connPart struct {
	name, unit string
	of         func(traffic.Result) float64
	more       bool // is better
}

func connParts() []connPart {
	return []connPart{
		{"connect p50", "µs", func(r traffic.Result) float64 { return r.Connect50 }, false},
		{"connect p99", "µs", func(r traffic.Result) float64 { return r.Connect99 }, false},
		{"connect to close p50", "µs", func(r traffic.Result) float64 { return r.P50 }, false},
		{"connect to close p99", "µs", func(r traffic.Result) float64 { return r.P99 }, false},
		{"connections", "thousand/s", func(r traffic.Result) float64 { return r.Rate }, true},
	}
}

// figure names a part of a metric in the results.
func (m connMetric) figure(p connPart) string {
	return fmt.Sprintf("from the %s, %s, %s", m.from, m.cpus, p.name)
}

// measureConnections connects to the servers through their published ports, each round
// beginning with another one: the first has what the metric before left in the caches.
func (r *portsRunner) measureConnections() error {
	cpus, err := twoCPUs()
	if err != nil {
		return err
	}
	for round := range r.res.Plan.Rounds {
		for _, m := range connMetrics() {
			r.say("published ports: connections from the %s, %s, round %d of %d", m.from, m.cpus, round+1, r.res.Plan.Rounds)
			for i := range r.hosts {
				h := r.hosts[(round+i)%len(r.hosts)]
				if !r.res.Plan.connects(h.variant, h.published, m.from) || r.skipped(h, m) {
					continue
				}
				if err := r.connections(h, m, cpus, round == 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// connects tells whether a host is one to connect to. By the address of the container,
// there is nothing between the host and it that could be compared.
func (p portsPlan) connects(variant string, published int, from origin) bool {
	if variant == portsDirect {
		return from == fromOutside
	}
	return slices.Contains(p.Published, published)
}

// connections takes one sample. What cannot be reached from the host itself on the first
// try is skipped from then on: a variant need not serve 127.0.0.1.
func (r *portsRunner) connections(h *portsHost, m connMetric, cpus [2]int, first bool) error {
	s := traffic.Spec{Kind: traffic.Connections, Flows: 1, Size: 1, Port: h.listen, WarmUp: r.res.Plan.ConnWarm, Window: r.res.Plan.Window}
	client, target := end{h.host, h.host.outside}, h.address
	if m.from == fromHost {
		client, target = end{h.host, h.netns}, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), h.address.Port())
	} else {
		s.Source = h.nextClient()
	}
	if m.cpus == sameCPU {
		cpus[1] = cpus[0]
	}
	res, err := takeSample(r.ctx, client, h.server, s, cpus, func(uint16) netip.AddrPort { return target })
	switch {
	case err == nil:
		for _, p := range connParts() {
			r.res.add(portsKey{m.figure(p), h.variant, 0, h.published}, thousandths(p.of(res)))
		}
		return nil
	case m.from == fromHost && first && r.ctx.Err() == nil:
		r.res.Skipped = append(r.res.Skipped, fmt.Sprintf("%s: %s", skipName(h, m), strings.TrimSpace(err.Error())))
		r.say("%s", r.res.Skipped[len(r.res.Skipped)-1])
		return nil
	default:
		return r.fail(h.host, fmt.Errorf("connections from the %s: %w", m.from, err))
	}
}

func (r *portsRunner) skipped(h *portsHost, m connMetric) bool {
	return slices.ContainsFunc(r.res.Skipped, func(s string) bool { return strings.HasPrefix(s, skipName(h, m)+":") })
}

func skipName(h *portsHost, m connMetric) string {
	return fmt.Sprintf("%s, connections from the %s", h.name, m.from)
}
