// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A plan says what one run measures. It is handed to the sandbox as JSON.
type plan struct {
	Variants []string `json:"variants"` // in the order of one round
	Rounds   int      `json:"rounds"`   // timed single calls per variant
	WarmUp   int      `json:"warm_up"`  // rounds before them that are thrown away

	Levels      []int         `json:"levels"` // attached containers at which growth is measured, ascending
	LevelRounds int           `json:"level_rounds"`
	LevelWarmUp int           `json:"level_warm_up"`
	LevelSettle time.Duration `json:"level_settle_ns"` // after attaching, until IPv6 router solicitations have stopped

	Bursts       int `json:"bursts"`
	BurstSize    int `json:"burst_size"`
	BurstWorkers int `json:"burst_workers"`

	// Settle follows every timed call, so that no variant pays for the RCU and
	// device teardown that the one before it left to the kernel.
	Settle time.Duration `json:"settle_ns"`
}

func newPlan(o options) (plan, error) {
	p := plan{
		Rounds: o.rounds, WarmUp: 3,
		Levels: []int{0, 100, 500, 1000}, LevelRounds: 15, LevelWarmUp: 2, LevelSettle: 10 * time.Second,
		Bursts: 5, BurstSize: 24, BurstWorkers: 8,
		Settle: 60 * time.Millisecond,
	}
	if o.quick {
		p.Rounds, p.WarmUp = 5, 1
		p.Levels, p.LevelRounds, p.LevelWarmUp, p.LevelSettle = []int{0, 40}, 3, 1, time.Second
		p.Bursts = 2
	}
	if p.Rounds < 1 {
		return plan{}, fmt.Errorf("rounds %d: at least one is needed", p.Rounds)
	}
	var err error
	p.Variants, err = choose(o.variants, variantNames())
	return p, err
}

// choose splits a comma-separated list of known variants.
func choose(list string, known []string) ([]string, error) {
	var chosen []string
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("variant %q: unknown, there are %s", name, strings.Join(known, ", "))
		}
		if slices.Contains(chosen, name) {
			return nil, fmt.Errorf("variant %q: named twice", name)
		}
		chosen = append(chosen, name)
	}
	return chosen, nil
}

// plugins are those that the plan needs.
func (p plan) plugins() []string {
	var plugins []string
	for _, name := range p.Variants {
		plugins = append(plugins, newVariant(name).plugin)
	}
	return plugins
}

// variantNames are plugin types, with "-masq" where ipMasq is on and "-plain" where
// nothing asks for the eBPF programs. The order is that of a round.
func variantNames() []string {
	return []string{"emerita", "emerita-plain", "bridge", "ptp", "emerita-masq", "bridge-masq", "ptp-masq"}
}

// grows tells whether a variant is also measured beside many containers.
// ptp-masq is left out: its rules cost what those of bridge-masq cost; and
// emerita-plain, which is there to tell the cost of the programs.
func grows(variant string) bool { return variant != "ptp-masq" && variant != "emerita-plain" }

// A variant is one plugin in one configuration, and what is chained behind it.
type variant struct {
	name string
	link
	behind []link
}

// A link is one plugin of a chain.
type link struct {
	plugin string
	config map[string]any
}

// chain is all plugins in the order of ADD.
func (v variant) chain() []link { return append([]link{v.link}, v.behind...) }

// newVariant gives each variant a network and a subnet of its own. The data
// directory is the default of host-local, private to the variant's host.
func newVariant(name string) variant {
	plugin, kind, _ := strings.Cut(name, "-")
	v := configure(name, plugin, kind == "masq", 201+slices.Index(variantNames(), name))
	if kind == "plain" {
		v.config["fastPath"], v.config["isolation"] = "off", "off"
	}
	return v
}

// configure gives a variant the network 10.octet.0.0/16.
func configure(name, plugin string, masq bool, octet int) variant {
	config := map[string]any{
		"cniVersion": "1.0.0",
		"name":       "bench-" + name,
		"type":       plugin,
		"ipMasq":     masq,
		"ipam": map[string]any{
			"type":    "host-local",
			"dataDir": "/var/lib/cni/networks",
			"ranges":  [][]map[string]string{{{"subnet": fmt.Sprintf("10.%d.0.0/16", octet)}}},
			"routes":  []map[string]string{{"dst": "0.0.0.0/0"}},
		},
	}
	if plugin == "bridge" {
		config["bridge"] = "bench0"
		config["isGateway"] = true
	}
	return variant{name: name, link: link{plugin, config}}
}

// stdin is the network configuration with the result of what ran before, as libcni
// hands it over: of the plugin before for ADD, of ADD for DEL. What is asked for goes to
// a plugin that says that it is capable of it.
func (l link) stdin(prevResult []byte, asked map[string]any) ([]byte, error) {
	config := maps.Clone(l.config)
	if prevResult != nil {
		config["prevResult"] = json.RawMessage(prevResult)
	}
	runtime := map[string]any{}
	for capability, value := range asked {
		if capabilities, ok := config["capabilities"].(map[string]bool); ok && capabilities[capability] {
			runtime[capability] = value
		}
	}
	if len(runtime) > 0 {
		config["runtimeConfig"] = runtime
	}
	b, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the configuration of %q: %w", l.plugin, err)
	}
	return b, nil
}
