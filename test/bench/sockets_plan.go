// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// The variants of sockets, beside loopback, bridge and emerita.
const (
	// socketsAccelerated has socketAcceleration, and socketsBeside is a network without
	// it on the same host.
	socketsAccelerated = "emerita-accelerated"
	socketsBeside      = "emerita-beside"
)

func socketVariantNames() []string {
	return []string{pathLoopback, pathBridge, pathEmerita, socketsAccelerated, socketsBeside}
}

func newSocketPlan(o options) (pathPlan, error) {
	return planPaths(o, socketMetrics(), socketVariantNames())
}

// newSocketVariant has no plugin if the name is that of loopback.
func newSocketVariant(name string) variant {
	if name == pathLoopback {
		return variant{name: name}
	}
	plugin, _, _ := strings.Cut(name, "-")
	v := configure("sockets-"+name, plugin, false, 161+slices.Index(socketVariantNames(), name))
	v.name = name
	if plugin == "emerita" {
		v.config["device"] = "veth"
		v.config["fastPath"] = "auto"
		v.config["socketAcceleration"] = name == socketsAccelerated
	}
	return v
}

// accelerates tells whether a variant is measured while the programs of socket
// acceleration are on the machine.
func accelerates(variant string) bool {
	return variant == socketsAccelerated || variant == socketsBeside
}

// besideMetrics are those by which to tell what acceleration costs those without it.
func besideMetrics() []string {
	return []string{"turns-same", "turns-cross", "connections-same", "connections-cross"}
}

// socketVariants are those that a metric is measured with.
func socketVariants(m metric) []string {
	switch {
	case m.Kind == traffic.Stopped:
		return []string{pathBridge, pathEmerita, socketsAccelerated}
	case slices.Contains(besideMetrics(), m.Name):
		return socketVariantNames()
	default:
		return []string{pathLoopback, pathBridge, pathEmerita, socketsAccelerated}
	}
}

// socketMetrics are all figures, in the order of a round.
func socketMetrics() []metric {
	var all []metric
	add := func(name, text string, m metric) {
		m.Name, m.Text, m.Scope, m.Flows = name, text, scopeLocal, max(m.Flows, 1)
		all = append(all, m)
	}
	// pinned adds a metric for either placing.
	pinned := func(name, text string, m metric) {
		for _, at := range []placing{sameCPU, crossCPU} {
			m.CPUs = at
			short, _, _ := strings.Cut(string(at), " ")
			add(name+"-"+short, text+", "+string(at), m)
		}
	}
	pinned("turns", "1 B each way", metric{Kind: traffic.Turns, Size: 1})
	pinned("turns-1k", "64 B, answered by 1 KiB", metric{Kind: traffic.Turns, Size: 64, Response: 1 << 10})
	pinned("turns-16k", "64 B, answered by 16 KiB", metric{Kind: traffic.Turns, Size: 64, Response: 16 << 10})

	stream := func(name, text string, size int) metric {
		return metric{Name: name, Text: text, Kind: traffic.Stream, Size: size, CPUs: crossCPU}
	}
	const bulk = 128 << 10
	dual := stream("stream-dual", "dual-stack listener", bulk)
	dual.DualStack = true
	mptcp := stream("stream-mptcp", "dual-stack listener of MPTCP", bulk)
	mptcp.DualStack, mptcp.MPTCP = true, true
	four := stream("stream-4", "4 flows", bulk)
	four.Flows, four.CPUs = 4, anyCPU
	cubic := stream("stream-cubic", "cubic", bulk)
	cubic.Congestion = "cubic"
	for _, m := range []metric{
		stream("stream-64", "writes of 64 B", 64),
		stream("stream-1k", "writes of 1 KiB", 1<<10),
		stream("stream-16k", "writes of 16 KiB", 16<<10),
		stream("stream-64k", "writes of 64 KiB", 64<<10),
		stream("stream-128k", "writes of 128 KiB", bulk),
		stream("stream-512k", "writes of 512 KiB", 512<<10),
		four, cubic, dual, mptcp,
	} {
		add(m.Name, m.Text, m)
	}

	pinned("connections", "connections of 1 round trip", metric{Kind: traffic.Connections, Size: 1, Trips: 1})
	pinned("connections-8", "connections of 8 round trips", metric{Kind: traffic.Connections, Size: 1, Trips: 8})
	pinned("connections-64", "connections of 64 round trips", metric{Kind: traffic.Connections, Size: 1, Trips: 64})

	for _, size := range []struct {
		name, text string
		bytes      int
	}{{"64", "64 B", 64}, {"1k", "1 KiB", 1 << 10}, {"128k", "128 KiB", bulk}} {
		add("stopped-"+size.name, "writes of "+size.text, metric{Kind: traffic.Stopped, Size: size.bytes, Trips: stoppedTrips, CPUs: crossCPU})
	}
	return all
}

// stoppedTrips is how often a reader answers before it stops, so that it is known how the
// connection's bytes go.
const stoppedTrips = 16

// ofKind are the metrics of one kind.
func ofKind(all []metric, kind traffic.Kind) []metric {
	return slices.DeleteFunc(slices.Clone(all), func(m metric) bool { return m.Kind != kind })
}
