// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"encoding/json"
	"net/netip"
)

// recordVersion is the format of a record. Fields are only added; a change of
// meaning takes a new number, and code that does not know it sees no record.
const recordVersion = 1

// Phase says how far an ADD came.
type Phase string

// The phases of a record: Claiming is written before the first side effect that
// outlives the process, Ready after the last.
const (
	Claiming Phase = "claiming"
	Ready    Phase = "ready"
)

// Record is what is known of an attachment beyond its key. DEL works without
// it; with it DEL need not search, and uses what ADD used even if the
// configuration has changed since.
type Record struct {
	Version      int               `json:"version"`
	Key          Key               `json:"key"`
	Phase        Phase             `json:"phase"`
	BootID       string            `json:"bootID"`
	Netns        string            `json:"netns"`    // path as given to ADD
	NetnsDev     uint64            `json:"netnsDev"` // device and inode tell a
	NetnsIno     uint64            `json:"netnsIno"` // re-created namespace apart
	HostIfName   string            `json:"hostIfName"`
	HostIfIndex  int               `json:"hostIfIndex,omitempty"`
	Gateway      string            `json:"gatewayIfName"` // the shared interface
	IPAM         string            `json:"ipam"`          // type
	ClaimDir     string            `json:"claimDir,omitempty"`
	Claimed      []netip.Addr      `json:"claimed,omitempty"`   // held in ClaimDir
	Addresses    []netip.Prefix    `json:"addresses,omitempty"` // on the interface
	Gateways     []netip.Addr      `json:"gateways,omitempty"`  // on the shared interface
	MAC          string            `json:"mac,omitempty"`       // the container's
	MTU          int               `json:"mtu,omitempty"`       // bytes
	RouteMTU     int               `json:"routeMTU,omitempty"`  // bytes, of what leaves the host, if another
	Device       string            `json:"device,omitempty"`    // kind of the pair
	BigTCP       int               `json:"bigTCP,omitempty"`    // bytes, the largest packet, if raised
	BigTCP4      int               `json:"bigTCP4,omitempty"`   // bytes, the same of IPv4
	Masquerade   bool              `json:"masquerade,omitempty"`
	Programs     bool              `json:"programs,omitempty"` // eBPF programs are attached
	FastPath     bool              `json:"fastPath,omitempty"` // and deliver directly
	Isolated     bool              `json:"isolated,omitempty"`
	Allowed      []string          `json:"allowed,omitempty"`      // networks it may talk to
	HostClosed   bool              `json:"hostClosed,omitempty"`   // it may not call the host
	Congestion   *Congestion       `json:"congestion,omitempty"`   // of local connections
	Acceleration *Acceleration     `json:"acceleration,omitempty"` // of its sockets
	Ports        []Port            `json:"ports,omitempty"`        // of the host, that lead to it
	Loopback     bool              `json:"loopback,omitempty"`     // also at loopback addresses, where those are meant
	Aliases      []string          `json:"aliases,omitempty"`      // names it shall have among its network
	Bandwidth    *Bandwidth        `json:"bandwidth,omitempty"`    // its limits, if it has any
	Labels       map[string]string `json:"labels,omitempty"`       // CNI_ARGS that name the workload
	Result       json.RawMessage   `json:"result,omitempty"`       // of ADD, as CNI 1.1.0
	Plugin       string            `json:"plugin"`                 // version that wrote it
}

// Acceleration is that what the container's sockets and those of others of its network
// say to each other goes from socket to socket.
type Acceleration struct {
	NetnsCookie uint64 `json:"netnsCookie"`
	Cgroup      string `json:"cgroup,omitempty"` // below the root of cgroup v2, whose sockets alone are meant
}

// Congestion is what TCP between the container and another of its network on this
// host has for congestion control.
type Congestion struct {
	Name        string `json:"name"`
	Unpaced     bool   `json:"unpaced,omitempty"` // only where it would be one that paces
	NetnsCookie uint64 `json:"netnsCookie"`       // by which its sockets are known
}

// Bandwidth is how much traffic a container may have, in the units of its
// configuration; zeros are no limit. The rest of the kernel's objects follows from it
// and the MTU.
type Bandwidth struct {
	IngressRate  uint64 `json:"ingressRate,omitempty"`  // bits/s, towards the container
	IngressBurst uint64 `json:"ingressBurst,omitempty"` // bits
	EgressRate   uint64 `json:"egressRate,omitempty"`   // bits/s, from the container
	EgressBurst  uint64 `json:"egressBurst,omitempty"`  // bits
	IfbIndex     int    `json:"ifbIndex,omitempty"`     // of the device for the latter
}
