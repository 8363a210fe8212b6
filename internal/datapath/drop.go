// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

// Drop is a reason for which a program drops a packet (enum drop_reason of
// bpf/lib/drop.h). Numbers are never reused.
type Drop int

// dropReasons is the size of the counters' array.
const dropReasons = 16

// dropNames are in the order of the numbers.
func dropNames() []string {
	return []string{
		"malformed", "source-mac", "source-ipv4", "source-ipv6", "arp", "neighbour-discovery",
		"router", "ethertype", "vlan", "isolation", "host",
	}
}

func (d Drop) String() string {
	if names := dropNames(); d >= 0 && int(d) < len(names) {
		return names[d]
	}
	return "unknown"
}
