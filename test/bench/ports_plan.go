// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"slices"
	"time"
)

// The variants of published ports.
const (
	portsEmerita  = "emerita"
	portsIPTables = "portmap-iptables"
	portsNFTables = "portmap-nftables"
	portsDirect   = "direct" // bridge, without a published port: the container's address by a route
)

// portsVariantNames are in the order of a round.
func portsVariantNames() []string {
	return []string{portsEmerita, portsIPTables, portsNFTables, portsDirect}
}

// A portsPlan says what one run of published ports measures.
type portsPlan struct {
	Variants []string    `json:"variants"` // in the order of one round
	Calls    []portsCall `json:"calls"`
	WarmUp   int         `json:"warm_up"` // rounds of calls before them that are thrown away

	Published []int         `json:"published"` // ports of a host when it is connected to
	Each      int           `json:"each"`      // ports of one container, of several that fill a host
	Rounds    int           `json:"rounds"`    // of connections
	ConnWarm  time.Duration `json:"connections_warm_up_ns"`
	Window    time.Duration `json:"connections_window_ns"`

	// Settle follows every timed call, like that of plan.
	Settle time.Duration `json:"settle_ns"`
}

// A portsCall is an ADD and a DEL with a number of ports, on a host where others are
// published already.
type portsCall struct {
	Ports     int `json:"ports"`
	Published int `json:"published"`
	Rounds    int `json:"rounds"`
}

func newPortsPlan(o options) (portsPlan, error) {
	p := portsPlan{
		// 200 ports take upstream's iptables ten seconds and more.
		Calls:  []portsCall{{1, 0, o.rounds}, {32, 0, o.rounds}, {200, 0, min(o.rounds, 5)}, {32, 1, o.rounds}, {32, 1000, o.rounds}},
		WarmUp: 1, Published: []int{1, 1000}, Each: 200,
		Rounds: min(o.rounds, 9), ConnWarm: 50 * time.Millisecond, Window: 300 * time.Millisecond,
		Settle: 60 * time.Millisecond,
	}
	if o.quick {
		p.Calls = []portsCall{{1, 0, 2}, {32, 0, 2}, {32, 1, 2}, {32, 60, 2}}
		p.WarmUp, p.Published, p.Each = 0, []int{1, 60}, 20
		p.Rounds, p.ConnWarm, p.Window = 2, 30*time.Millisecond, 80*time.Millisecond
	}
	if o.rounds < 1 {
		return portsPlan{}, fmt.Errorf("rounds %d: at least one is needed", o.rounds)
	}
	var err error
	p.Variants, err = choose(o.variants, portsVariantNames())
	return p, err
}

// plugins are those that the plan needs.
func (p portsPlan) plugins() []string {
	var plugins []string
	for _, name := range p.Variants {
		plugins = append(plugins, newPortsVariant(name).plugin)
	}
	return plugins
}

// hosts are the numbers of published ports for which a variant needs a host, ascending.
func (p portsPlan) hosts(variant string) []int {
	if variant == portsDirect {
		return []int{0}
	}
	all := slices.Clone(p.Published)
	for _, c := range p.Calls {
		all = append(all, c.Published)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// rounds of calls, the longest of all.
func (p portsPlan) callRounds() int {
	n := 0
	for _, c := range p.Calls {
		n = max(n, c.Rounds)
	}
	return n
}

// newPortsVariant serves the capability itself or has portmap behind bridge, with
// portmap's defaults but for the backend.
func newPortsVariant(name string) variant {
	capabilities := map[string]bool{"portMappings": true}
	octet := 181 + slices.Index(portsVariantNames(), name)
	if name == portsEmerita {
		v := configure("ports-"+name, "emerita", false, octet)
		v.name = name
		v.config["capabilities"] = capabilities
		return v
	}
	v := configure("ports-"+name, "bridge", false, octet)
	v.name = name
	if name != portsDirect {
		v.behind = []link{{"portmap", map[string]any{
			"cniVersion":   "1.0.0",
			"name":         "bench-ports-" + name,
			"type":         "portmap",
			"capabilities": capabilities,
			"backend":      name[len("portmap-"):],
		}}}
	}
	return v
}

// A portMapping is one of CNI's capability portMappings, without an address: at every
// one of the host.
type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// mappings are n ports of the host from 20000 + from.
func mappings(from, n int) []portMapping {
	m := make([]portMapping, n)
	for i := range m {
		m[i] = portMapping{HostPort: 20000 + from + i, ContainerPort: 8000 + from + i, Protocol: "tcp"}
	}
	return m
}
