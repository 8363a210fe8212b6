// SPDX-License-Identifier: MIT OR Apache-2.0

package rtnl_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/nlmsg"
	"github.com/emerita-cni/emerita/internal/rtnl"
	"github.com/emerita-cni/emerita/internal/testutil"
)

var (
	hostMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	peerMAC = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

// pair makes a veth pair between the host and a namespace "alice".
func pair(t *testing.T) (*nlmsg.Conn, rtnl.LinkInfo) {
	t.Helper()
	testutil.Root(t)
	testutil.EnterHost(t)
	ns, err := netns.Open(testutil.Netns(t, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	c, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	var b nlmsg.Batch
	rtnl.AddPair(&b, rtnl.Pair{Kind: rtnl.Veth, Name: "host0", MAC: hostMAC, MTU: 1400, PeerName: "eth0", PeerMAC: peerMAC, PeerNetns: ns.FD()})
	must(t, c.Do(&b))
	link, err := rtnl.Link(c, "host0")
	must(t, err)
	return c, link
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAddPairIsCompleteFromTheFirstMoment(t *testing.T) {
	c, link := pair(t)
	if link.Kind != "veth" || link.MTU != 1400 || link.Up || !slices.Equal(link.MAC, hostMAC) || link.PeerIndex == 0 {
		t.Errorf("host end: %+v", link)
	}
	peer := testutil.Run(t, "ip", "-n", "alice", "link", "show", "eth0")
	for _, want := range []string{"mtu 1400", peerMAC.String(), "state DOWN"} {
		if !strings.Contains(peer, want) {
			t.Errorf("peer lacks %q: %s", want, peer)
		}
	}
	index, err := rtnl.Index(c, "host0")
	must(t, err)
	mac, err := rtnl.HardwareAddr(c, "host0")
	must(t, err)
	name, err := rtnl.Name(c, index)
	must(t, err)
	if index != link.Index || !slices.Equal(mac, hostMAC) || name != "host0" {
		t.Errorf("ioctls say index %d, address %s, name %q", index, mac, name)
	}
}

func TestNoLink(t *testing.T) {
	c, _ := pair(t)
	_, err := rtnl.Index(c, "nobody")
	if !errors.Is(err, rtnl.ErrNoLink) {
		t.Errorf("Index: %v", err)
	}
	if _, err = rtnl.HardwareAddr(c, "nobody"); !errors.Is(err, rtnl.ErrNoLink) {
		t.Errorf("HardwareAddr: %v", err)
	}
	if _, err = rtnl.Name(c, 4711); !errors.Is(err, rtnl.ErrNoLink) {
		t.Errorf("Name: %v", err)
	}
	if _, err = rtnl.Link(c, "nobody"); !errors.Is(err, rtnl.ErrNoLink) {
		t.Errorf("Link: %v", err)
	}
	if _, err = rtnl.Index(c, strings.Repeat("x", 16)); err == nil || errors.Is(err, rtnl.ErrNoLink) {
		t.Errorf("Index of a name that is too long: %v", err)
	}
}

func TestWhatIsAddedIsListed(t *testing.T) {
	c, link := pair(t)
	var (
		a4   = netip.MustParsePrefix("10.1.0.2/16")
		a6   = netip.MustParsePrefix("fd00::2/64")
		gw   = netip.MustParseAddr("10.1.0.1")
		net0 = netip.MustParsePrefix("10.7.0.0/16")
	)
	var b nlmsg.Batch
	rtnl.Prepare(&b, link.Index, "host0", "who", true, true)
	rtnl.SetUp(&b, link.Index, "host0")
	rtnl.AddAddr(&b, link.Index, a4, "host0")
	rtnl.AddAddr(&b, link.Index, a6, "host0")
	rtnl.AddRoute(&b, rtnl.Route{Dst: netip.PrefixFrom(gw, 32), Link: link.Index, Scope: unix.RT_SCOPE_LINK}, "host0")
	rtnl.AddRoute(&b, rtnl.Route{Dst: net0, Gateway: gw, Src: a4.Addr(), Link: link.Index, Priority: 5, Table: 1000, MTU: 1300, AdvMSS: 1200}, "host0")
	rtnl.AddNeigh(&b, link.Index, gw, peerMAC, "host0")
	must(t, c.Do(&b))

	addrs, err := rtnl.Addrs(c, link.Index)
	must(t, err)
	if !slices.Equal(addrs, []netip.Prefix{a4, a6}) {
		t.Errorf("addresses: %v (a link-local one is the kernel's own)", addrs)
	}
	routes, err := rtnl.Routes(c, link.Index)
	must(t, err)
	if !slices.ContainsFunc(routes, func(r rtnl.Route) bool {
		return r.Dst == net0 && r.Gateway == gw && r.Src == a4.Addr() && r.Priority == 5 && r.Table == 1000 && r.MTU == 1300 && r.AdvMSS == 1200
	}) {
		t.Errorf("routes: %+v", routes)
	}
	if slices.ContainsFunc(routes, func(r rtnl.Route) bool { return r.Dst == a4.Masked() }) {
		t.Error("the kernel made a route of its own to the network")
	}
	near, err := rtnl.Neighbours(c, link.Index)
	must(t, err)
	if !slices.Equal(near[gw], peerMAC) {
		t.Errorf("neighbours: %v", near)
	}
	after, err := rtnl.Link(c, "host0")
	must(t, err)
	if after.Alias != "who" || !after.Up {
		t.Errorf("link: %+v", after)
	}
	if out := testutil.Run(t, "sysctl", "-n", "net.ipv4.conf.host0.forwarding"); out != "1\n" {
		t.Errorf("forwarding: %q", out)
	}

	b = nlmsg.Batch{}
	rtnl.DelAddr(&b, link.Index, a4, "host0")
	rtnl.DelAddr(&b, link.Index, a4, "host0") // again: success
	must(t, c.Do(&b))
	if addrs, _ = rtnl.Addrs(c, link.Index); !slices.Equal(addrs, []netip.Prefix{a6}) {
		t.Errorf("addresses after removal: %v", addrs)
	}
}

func TestRouteTo(t *testing.T) {
	c, _ := pair(t)
	r, err := rtnl.RouteTo(c, netip.MustParseAddr("198.51.100.7"))
	must(t, err)
	if name, _ := rtnl.Name(c, r.Link); name != "uplink0" {
		t.Errorf("leads out of %q: %+v", name, r)
	}
	testutil.Run(t, "ip", "route", "del", "default")
	if r, err := rtnl.RouteTo(c, netip.MustParseAddr("198.51.100.7")); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("without a default route: %+v, %v", r, err)
	}
}

func TestDeleteAndWait(t *testing.T) {
	c, link := pair(t)
	must(t, rtnl.DeleteAndWait(c, link.Index, "host0"))
	if _, err := rtnl.Index(c, "host0"); !errors.Is(err, rtnl.ErrNoLink) {
		t.Errorf("host end: %v", err)
	}
	if out := testutil.Run(t, "ip", "-n", "alice", "-br", "link"); strings.Contains(out, "eth0") {
		t.Errorf("peer is there: %s", out)
	}
	// A link of the same name and another index is somebody else's.
	testutil.Run(t, "ip", "link", "add", "host0", "type", "bridge")
	must(t, rtnl.DeleteAndWait(c, link.Index, "host0"))
	if _, err := rtnl.Index(c, "host0"); err != nil {
		t.Errorf("the other link: %v", err)
	}
}
