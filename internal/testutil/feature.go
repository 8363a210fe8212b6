// SPDX-License-Identifier: MIT OR Apache-2.0

package testutil

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
)

// Feature is something that a kernel may lack. scripts/kernel-features.txt says
// how its configuration or its version tells.
type Feature string

// The features. Each is probed by trying; see Probe.
const (
	Clsact           Feature = "clsact"             // the qdisc, for filters on both directions
	RedirectPeer     Feature = "redirect-peer"      // bpf_redirect_peer
	TCX              Feature = "tcx"                // BPF links on a device's ingress and egress
	Netkit           Feature = "netkit"             // pairs of devices with a BPF program in between
	Dummy            Feature = "dummy"              // devices without a wire
	BigTCPIPv4       Feature = "big-tcp-ipv4"       // IFLA_GSO_IPV4_MAX_SIZE
	IPv6ForceForward Feature = "ipv6-force-forward" // forwarding of one interface's IPv6
	SockMap          Feature = "sockmap"            // maps of sockets, and programs on their messages
	SockMapLink      Feature = "sockmap-link"       // such programs by link, as socket acceleration has them
	SockOps          Feature = "sockops"            // programs on the sockets of a cgroup
	Cgroup2          Feature = "cgroup2"            // the unified hierarchy, which can be mounted
	MPTCP            Feature = "mptcp"              // TCP over many paths
	PeerName         Feature = "peer-name"          // programs on getpeername of a cgroup's sockets
	SCTP             Feature = "sctp"               // the transport protocol
	TLS              Feature = "tls"                // the upper layer protocol
	FQ               Feature = "fq"                 // the qdisc that paces flows
	BBR              Feature = "bbr"                // the congestion control
	TBF              Feature = "tbf"                // the qdisc that limits a rate
	CIFS             Feature = "cifs"               // the file system over the network, whose sockets are the kernel's own
	PageFault        Feature = "page-fault"         // page faults that a process answers (userfaultfd)
	IFB              Feature = "ifb"                // devices that give back what is sent by them
	AddrProto        Feature = "addr-proto"         // a mark on an address
	Redirect         Feature = "redirect"           // u32 filters, with mirred as their action
)

// lacks begins the message of a skip that Needs makes. testreport reads it, and
// accepts the skip only if the kernel's configuration agrees.
const lacks = "kernel lacks feature "

// Uses is the key of the attribute that notes a feature that a test uses.
const Uses = "kernel-feature"

// prober tries a feature out: nil if the kernel has it.
type prober struct {
	once  sync.Once
	probe func() error
	err   error
}

var probers = map[Feature]*prober{
	Clsact:           {probe: probeClsact},
	RedirectPeer:     {probe: probeRedirectPeer},
	TCX:              {probe: probeTCX},
	Netkit:           {probe: func() error { return probeLink("netkit") }},
	Dummy:            {probe: func() error { return probeLink("dummy") }},
	BigTCPIPv4:       {probe: probeBigTCPIPv4},
	IPv6ForceForward: {probe: probeIPv6ForceForward},
	SockMap:          {probe: probeSockMap},
	SockMapLink:      {probe: probeSockMapLink},
	SockOps:          {probe: probeSockOps},
	Cgroup2:          {probe: probeCgroup2},
	MPTCP:            {probe: probeMPTCP},
	PeerName:         {probe: probePeerName},
	SCTP:             {probe: probeSCTP},
	TLS:              {probe: probeTLS},
	FQ:               {probe: probeFQ},
	BBR:              {probe: probeBBR},
	TBF:              {probe: probeTBF},
	CIFS:             {probe: probeCIFS},
	PageFault:        {probe: probePageFault},
	IFB:              {probe: func() error { return probeLink("ifb") }},
	AddrProto:        {probe: probeAddrProto},
	Redirect:         {probe: probeRedirect},
}

// Features are all features, sorted.
func Features() []Feature { return slices.Sorted(maps.Keys(probers)) }

// Needs skips a test on a kernel that lacks one of the features, and notes those
// that it has. The test needs root: trying does.
func Needs(t testing.TB, features ...Feature) {
	t.Helper()
	Root(t)
	for _, f := range features {
		if err := Probe(f); err != nil {
			t.Skip(Lacks(f, err))
		}
		t.Attr(Uses, string(f))
	}
}

// Lacks is the message of a skip for want of a feature: the one form that make
// test accepts.
func Lacks(f Feature, why error) string { return fmt.Sprintf("%s%s: %v", lacks, f, why) }

// Probe tries a feature out, once, on a host of its own. It returns nil if the
// kernel has it, else what the kernel said.
func Probe(f Feature) error {
	p := probers[f]
	if p == nil {
		return fmt.Errorf("no probe for feature %q", f)
	}
	p.once.Do(func() { p.err = apart(p.probe) })
	return p.err
}
