// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// A pathPlan says what one run of the data path measures.
type pathPlan struct {
	Variants []string `json:"variants"` // in the order of one round
	Metrics  []metric `json:"metrics"`
	Rounds   int      `json:"rounds"`
	// A sample warms up, which is not counted, and is then counted for a window.
	// Streams take longer than the rest to find their speed.
	StreamWarmUp time.Duration `json:"stream_warm_up_ns"`
	StreamWindow time.Duration `json:"stream_window_ns"`
	WarmUp       time.Duration `json:"warm_up_ns"`
	Window       time.Duration `json:"window_ns"`
}

func newPathPlan(o options) (pathPlan, error) { return planPaths(o, metrics(), pathVariantNames()) }

// planPaths is a plan of metrics and of those of the known variants that are asked for.
func planPaths(o options, metrics []metric, known []string) (pathPlan, error) {
	p := pathPlan{
		Metrics: metrics, Rounds: o.rounds,
		StreamWarmUp: 200 * time.Millisecond, StreamWindow: 600 * time.Millisecond,
		WarmUp: 50 * time.Millisecond, Window: 300 * time.Millisecond,
	}
	if o.quick {
		p.Rounds = 2
		p.StreamWarmUp, p.StreamWindow = 150*time.Millisecond, 150*time.Millisecond
		p.WarmUp, p.Window = 30*time.Millisecond, 80*time.Millisecond
	}
	if p.Rounds < 1 {
		return pathPlan{}, fmt.Errorf("rounds %d: at least one is needed", p.Rounds)
	}
	var err error
	p.Variants, err = choose(o.variants, known)
	return p, err
}

// plugins are those that the plan needs: what the names of variants begin with. That of
// loopback is none.
func (p pathPlan) plugins() []string {
	var plugins []string
	for _, name := range p.Variants {
		plugin, _, _ := strings.Cut(name, "-")
		plugins = append(plugins, plugin)
	}
	return plugins
}

// The variants of the data path.
const (
	pathLoopback       = "loopback"
	pathBridge         = "bridge"
	pathBridgeMasq     = "bridge-masq"
	pathPTP            = "ptp"
	pathEmeritaOff     = "emerita-off"
	pathEmerita        = "emerita"
	pathEmeritaOffMasq = "emerita-off-masq"
	pathEmeritaMasq    = "emerita-masq"

	// With packets of 512 KiB between containers and no more than the uplink's to the
	// outside, and with such packets wherever they go.
	pathEmeritaLocal     = "emerita-local"
	pathEmeritaLocalMasq = "emerita-local-masq"
	pathEmeritaBig       = "emerita-big"
	pathEmeritaBigMasq   = "emerita-big-masq"

	// Where the kernel has netkit devices.
	pathEmeritaNetkit = "emerita-netkit"
)

// pathVariantNames are plugin types with "-off" where the fast path is off, "-local"
// and "-big" after what bigTCP is, "-netkit" after the device, and "-masq" where ipMasq
// is on, in the order of a round.
func pathVariantNames() []string {
	return []string{
		pathLoopback, pathBridge, pathBridgeMasq, pathPTP, pathEmeritaOff, pathEmerita, pathEmeritaOffMasq, pathEmeritaMasq,
		pathEmeritaLocal, pathEmeritaLocalMasq, pathEmeritaBig, pathEmeritaBigMasq,
		pathEmeritaNetkit,
	}
}

// largest is the size of the largest packet that Linux has, bytes (GSO_MAX_SIZE).
const largest = 8 * 65535

// newPathVariant has no plugin if the name is that of loopback.
func newPathVariant(name string) variant {
	if name == pathLoopback {
		return variant{name: name}
	}
	plugin, _, _ := strings.Cut(name, "-")
	v := configure("path-"+name, plugin, strings.HasSuffix(name, "-masq"), 211+slices.Index(pathVariantNames(), name))
	v.name = name
	if plugin == "emerita" {
		v.config["device"] = "veth"
		v.config["fastPath"] = "auto"
		switch {
		case strings.Contains(name, "-off"):
			v.config["fastPath"] = "off"
		case strings.Contains(name, "-local"):
			v.config["bigTCP"] = "local"
		case strings.Contains(name, "-big"):
			v.config["bigTCP"] = largest
		case name == pathEmeritaNetkit:
			v.config["device"] = "netkit"
		}
	}
	return v
}

// A scope is who is at the other end of the container that is the client.
type scope string

const (
	scopeLocal   scope = "container"
	scopeHost    scope = "host"
	scopeOutside scope = "outside"
)

// variants are those that a scope is measured with. The plain set is small where
// a figure only has to be compared with bridge's.
func (m metric) variants() []string {
	switch {
	case m.Scope == scopeHost:
		return []string{pathBridge, pathPTP, pathEmeritaOff, pathEmerita, pathEmeritaLocal}
	case m.Scope == scopeOutside:
		if m.bulk() {
			return []string{pathBridgeMasq, pathEmeritaOffMasq, pathEmeritaMasq, pathEmeritaLocalMasq, pathEmeritaBigMasq}
		}
		return []string{pathBridgeMasq, pathEmeritaOffMasq, pathEmeritaMasq, pathEmeritaLocalMasq}
	case m.Kind == witness:
		return []string{pathLoopback, pathBridge, pathEmerita, pathEmeritaLocal}
	case m.Few:
		return []string{pathBridge, pathEmeritaOff, pathEmerita, pathEmeritaLocal}
	case m.bulk():
		return []string{pathLoopback, pathBridge, pathBridgeMasq, pathPTP, pathEmeritaOff, pathEmerita, pathEmeritaLocal, pathEmeritaBig, pathEmeritaNetkit}
	default:
		return []string{pathLoopback, pathBridge, pathBridgeMasq, pathPTP, pathEmeritaOff, pathEmerita, pathEmeritaLocal, pathEmeritaNetkit}
	}
}

// A placing is on which CPUs client and server work.
type placing string

const (
	anyCPU   placing = "any CPU"
	sameCPU  placing = "same CPU"
	crossCPU placing = "cross CPU"
)

// witness is the kind of a metric that iperf3 measures instead of this tool.
const witness traffic.Kind = "iperf3"

// A metric is one figure, measured with several variants in turn.
type metric struct {
	Name       string       `json:"name"`
	Text       string       `json:"text"`
	Scope      scope        `json:"scope"`
	Kind       traffic.Kind `json:"kind"`
	Congestion string       `json:"congestion,omitempty"` // none is the host's default
	Flows      int          `json:"flows"`
	Size       int          `json:"size"`
	Response   int          `json:"response,omitempty"` // bytes, if not as many as the request
	Trips      int          `json:"trips,omitempty"`    // of a connection, or before a reader stops
	DualStack  bool         `json:"dual_stack,omitempty"`
	MPTCP      bool         `json:"mptcp,omitempty"`
	CPUs       placing      `json:"cpus"`
	Few        bool         `json:"few,omitempty"`
}

// latency tells whether the metric is a time, of which less is better.
func (m metric) latency() bool { return m.Kind == traffic.Turns || m.Kind == traffic.UDPTurns }

// bulk tells whether the metric moves as many bytes as it can.
func (m metric) bulk() bool { return m.Kind == traffic.Stream || m.Kind == traffic.Batches }

func (m metric) unit() string {
	switch m.Kind {
	case traffic.Turns, traffic.UDPTurns:
		return "µs"
	case traffic.Datagrams, traffic.Connections:
		return "thousand/s"
	case traffic.Stopped:
		return "KiB"
	default:
		return "Gb/s"
	}
}

// metrics are all figures, in the order of a round.
func metrics() []metric {
	const bulk = 128 << 10
	stream := func(name, text string, at scope, congestion string, flows, size int) metric {
		m := metric{Name: name, Text: text, Scope: at, Kind: traffic.Stream, Congestion: congestion, Flows: flows, Size: size, CPUs: crossCPU}
		if flows > 1 {
			m.CPUs = anyCPU
		}
		return m
	}
	other := func(name, text string, at scope, kind traffic.Kind, size int, cpus placing) metric {
		return metric{Name: name, Text: text, Scope: at, Kind: kind, Flows: 1, Size: size, CPUs: cpus}
	}
	few := func(m metric) metric { m.Few = true; return m }
	dual := stream("tcp1-dual", "TCP 1 flow, dual-stack listener", scopeLocal, "", 1, bulk)
	dual.DualStack = true

	all := []metric{
		stream("tcp1", "TCP 1 flow, host's default", scopeLocal, "", 1, bulk),
		stream("tcp4", "TCP 4 flows, host's default", scopeLocal, "", 4, bulk),
		stream("tcp1-cubic", "TCP 1 flow, cubic", scopeLocal, "cubic", 1, bulk),
		stream("tcp4-cubic", "TCP 4 flows, cubic", scopeLocal, "cubic", 4, bulk),
		other("turns-same", "TCP request/response, same CPU", scopeLocal, traffic.Turns, 1, sameCPU),
		other("turns-cross", "TCP request/response, cross CPU", scopeLocal, traffic.Turns, 1, crossCPU),
		other("udp", "UDP 64 B received", scopeLocal, traffic.Datagrams, 64, crossCPU),
		other("batches", "UDP, 64 datagrams of 1000 B in a packet", scopeLocal, traffic.Batches, 64_000, crossCPU),
		other("udp-turns-same", "UDP request/response, same CPU", scopeLocal, traffic.UDPTurns, 1, sameCPU),
		other("udp-turns-cross", "UDP request/response, cross CPU", scopeLocal, traffic.UDPTurns, 1, crossCPU),
		other("connections", "connections, cross CPU", scopeLocal, traffic.Connections, 1, crossCPU),
		few(dual),
		few(stream("tcp1-1k", "TCP 1 flow, writes of 1 KiB", scopeLocal, "", 1, 1<<10)),
		few(stream("tcp1-16k", "TCP 1 flow, writes of 16 KiB", scopeLocal, "", 1, 16<<10)),
	}
	for _, at := range []scope{scopeHost, scopeOutside} {
		prefix := string(at) + "-"
		all = append(all,
			stream(prefix+"tcp1", "TCP 1 flow, host's default", at, "", 1, bulk),
			stream(prefix+"tcp1-cubic", "TCP 1 flow, cubic", at, "cubic", 1, bulk),
			other(prefix+"turns-same", "TCP request/response, same CPU", at, traffic.Turns, 1, sameCPU),
			other(prefix+"connections", "connections, cross CPU", at, traffic.Connections, 1, crossCPU),
		)
	}
	return append(all,
		other("outside-batches", "UDP, 64 datagrams of 1000 B in a packet", scopeOutside, traffic.Batches, 64_000, crossCPU),
		other("outside-udp", "UDP 64 B received", scopeOutside, traffic.Datagrams, 64, crossCPU),
		metric{Name: "iperf3", Text: "TCP 1 flow, host's default, by iperf3", Scope: scopeLocal, Kind: witness, Flows: 1, CPUs: crossCPU},
	)
}
