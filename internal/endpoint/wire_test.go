// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestCreatePairRenamed: the host end has another name than it was given when its index is
// asked for. Here the kernel itself gives it another, because "em%d" is a pattern: em0.
func TestCreatePairRenamed(t *testing.T) {
	testutil.Root(t)
	for _, kind := range []rtnl.Kind{rtnl.Veth, rtnl.Netkit} {
		t.Run(string(kind), func(t *testing.T) {
			if kind == rtnl.Netkit {
				testutil.Needs(t, testutil.Netkit)
			}
			testutil.EnterHost(t)
			ns, err := netns.Open(testutil.Netns(t, "alice"))
			if err != nil {
				t.Fatal(err)
			}
			defer ns.Close()
			conn, err := nlmsg.Open(unix.NETLINK_ROUTE)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			l := &layout{key: state.Key{Network: "net", ContainerID: "alice", IfName: "eth0"}, hostIf: "em%d", device: kind, mtu: 1500}
			l.hostMAC, l.containerMAC = l.key.HostMAC(), l.key.ContainerMAC()
			index, err := createPair(conn, ns, l, false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rtnl.Index(conn, l.hostIf); !errors.Is(err, rtnl.ErrNoLink) {
				t.Fatalf("an interface has the name that was asked for: %v", err)
			}
			link, err := rtnl.Link(conn, "em0")
			if err != nil {
				t.Fatal(err)
			}
			if index != link.Index {
				t.Errorf("the host end has index %d, createPair says %d", link.Index, index)
			}
		})
	}
}
