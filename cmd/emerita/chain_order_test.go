// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// aheadScript is a plugin that stands before emerita and, like ptp, has an
// interface, an address and a route of its own in the result.
const aheadScript = `#!/bin/sh
cat >/dev/null
[ "$CNI_COMMAND" = ADD ] || exit 0
cat <<'END'
{"cniVersion":"1.1.0",
 "interfaces":[{"name":"ahead0","mac":"02:00:00:00:00:01"},{"name":"net9","mac":"02:00:00:00:00:02","sandbox":"/run/netns/web"}],
 "ips":[{"interface":1,"address":"10.9.0.2/24","gateway":"10.9.0.1"}],
 "routes":[{"dst":"10.9.9.0/24","gw":"10.9.0.1"}],
 "dns":{"nameservers":["10.9.0.53"]}}
END
`

// TestChainAhead puts a plugin ahead of emerita: its part of the result stays,
// and every address still names its interface.
func TestChainAhead(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ahead"), []byte(aheadScript), 0o700); err != nil {
		t.Fatal(err)
	}
	c := newChain(t, append(toolPath(t, "portmap"), dir), map[string]any{
		"portMappings": []any{map[string]any{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}},
	}, `{"type":"ahead"}`, chainHead)
	before := wiring(testutil.Snapshot(t))
	result := c.mustAdd()

	var got []string
	for _, i := range result.Interfaces {
		got = append(got, i.Name+" in "+i.Sandbox)
	}
	host := hostEnd(t, result)
	want := []string{"ahead0 in ", "net9 in /run/netns/web", "emerita0 in ", host + " in ", "eth0 in /run/netns/web"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	got = nil
	for _, ip := range result.IPs {
		got = append(got, ip.Address.String()+" on "+result.Interfaces[*ip.Interface].Name)
	}
	if diff := cmp.Diff([]string{"10.9.0.2/24 on net9", "10.88.0.2/16 on eth0"}, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	got = nil
	for _, r := range result.Routes {
		got = append(got, r.Dst.String()+" via "+r.GW.String())
	}
	if diff := cmp.Diff([]string{"10.9.9.0/24 via 10.9.0.1", "0.0.0.0/0 via 10.88.0.1"}, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"10.9.0.53"}, result.DNS.Nameservers); diff != "" {
		t.Errorf("name servers (-want +got):\n%s", diff)
	}
	// It is emerita that connects eth0; what was there before is another's.
	routes := testutil.Run(t, "ip", "-n", "web", "route")
	mustContain(t, routes, "default via 10.88.0.1 dev eth0")
	mustLack(t, routes, "10.9.")
	c.mustCheck()
	mustReach(t, "web", nil, "192.0.2.2")
	c.mustDel()
	testutil.Run(t, "ip", "link", "del", "emerita0")
	mustSame(t, "DEL leaves something", before, wiring(testutil.Snapshot(t)))
}

// TestChainPTPAhead has upstream's ptp, on another interface, ahead of emerita:
// each removes its own. CHECK is left out: ptp's looks for all addresses of the
// result on its interface, whosever they are.
func TestChainPTPAhead(t *testing.T) {
	testutil.Root(t)
	path := toolPath(t, "ptp", "host-local")
	testutil.EnterHost(t)
	dir := t.TempDir()
	script := "#!/bin/sh\nCNI_IFNAME=net9 exec ptp\n"
	if err := os.WriteFile(filepath.Join(dir, "ahead"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", os.Getenv("PATH")+":"+strings.Join(path, ":"))
	c := newChain(t, append(path, dir), nil,
		`{"type":"ahead","ipam":{"type":"host-local","dataDir":"/var/lib/cni/ptp","subnet":"10.9.0.0/24"}}`, chainHead)
	result := c.mustAdd()
	var got []string
	for _, ip := range result.IPs {
		got = append(got, ip.Address.String()+" on "+result.Interfaces[*ip.Interface].Name)
	}
	if diff := cmp.Diff([]string{"10.9.0.2/24 on net9", "10.88.0.2/16 on eth0"}, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	for _, addr := range []string{"10.9.0.2", "10.88.0.2"} {
		testutil.Run(t, "ping", "-c", "1", "-W", "2", addr)
	}
	mustReach(t, "web", nil, "192.0.2.2", "10.9.0.1")
	c.mustDel()
	mustLack(t, testutil.Run(t, "ip", "-n", "web", "-br", "link"), "eth0", "net9")
}

const (
	tuningMAC = `{"type":"tuning","capabilities":{"mac":true}}`
	askedMAC  = "02:11:22:33:44:55"
)

// TestChainMAC asks both emerita and tuning for one address, as a runtime does
// that gives a capability to whoever declares it.
func TestChainMAC(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	c := newChain(t, toolPath(t, "tuning"), map[string]any{"mac": askedMAC},
		strings.Replace(chainHead, `"ipMasq"`, `"capabilities":{"mac":true},"ipMasq"`, 1), tuningMAC)
	result := c.mustAdd()
	mustContain(t, testutil.Run(t, "ip", "-n", "web", "link", "show", "eth0"), askedMAC)
	mustReach(t, "web", nil, "10.88.0.1", "192.0.2.2")
	testutil.Run(t, "ping", "-c", "1", "-W", "2", result.IPs[0].Address.IP.String())
	c.mustCheck()
	c.mustDel()
}

// TestChainMACBehindEmerita lets tuning alone change the address. The host's
// neighbour is out of date then, and CHECK must not call that well.
func TestChainMACBehindEmerita(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	c := newChain(t, toolPath(t, "tuning"), map[string]any{"mac": askedMAC}, chainHead, tuningMAC)
	c.mustAdd()
	err := c.cni.CheckNetworkList(t.Context(), c.list, c.rt)
	if err == nil {
		t.Fatal("CHECK accepts it")
	}
	mustContain(t, err.Error(), `"eth0" has address `+askedMAC, "let emerita set the address")
	c.mustDel()
}

// TestChainSecondAttachment answers by the interface that was asked, which a
// host with strict reverse path filters demands: sbr is for that.
func TestChainSecondAttachment(t *testing.T) {
	testutil.Root(t)
	path := toolPath(t, "sbr")
	testutil.EnterHost(t)
	for _, conf := range []string{"all", "default"} {
		testutil.Run(t, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/"+conf+"/rp_filter")
	}
	first := newChain(t, path, nil, chainHead)
	first.mustAdd()
	second := newChainOf(first, "net1", chainHead, `{"type":"sbr"}`)
	addr := second.mustAdd().IPs[0].Address.IP
	neighbour := newChainOf(first, "eth0", chainHead)
	neighbour.rt.ContainerID, neighbour.rt.NetNS = "db", testutil.Netns(t, "db")
	neighbour.mustAdd()
	mustReach(t, "db", nil, addr.String())
	mustReach(t, "web", addr, "192.0.2.2", "10.88.0.1")
	mustReach(t, "web", nil, "192.0.2.2")
	second.mustCheck()
	first.mustCheck()

	first.mustDel()
	mustReach(t, "web", addr, "192.0.2.2")
	mustReach(t, "db", nil, addr.String())
	second.mustDel()
}
