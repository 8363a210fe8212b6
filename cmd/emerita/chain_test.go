// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"net"
	"strings"
	"testing"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/emerita-cni/emerita/internal/testutil"
)

const (
	chainHead  = `{"type":"emerita","ipMasq":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}}`
	chainHead6 = `{"type":"emerita","ipMasq":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/16"}],[{"subnet":"fd00:88::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}}`
)

// link is a plugin behind emerita, and how to see that it works.
type link struct {
	name         string // of the test
	tool         string
	config       string // without a tool: keys of emerita's own
	capabilities map[string]any
	see          func(*testing.T, *types100.Result)
}

// Namespaces as the calling thread sees them.
const (
	hostSpace = "/proc/thread-self/ns/net"
	webSpace  = "/run/netns/web"
)

func links() []link {
	ports := publishedWeb()
	return []link{
		{
			"tuning", "tuning",
			`{"type":"tuning","sysctl":{"net.ipv4.conf.IFNAME.log_martians":"1"},"mtu":1280,"txQLen":77}`, nil,
			func(t *testing.T, r *types100.Result) {
				mustContain(t, testutil.Run(t, "ip", "-n", "web", "link", "show", "eth0"), "mtu 1280", "qlen 77")
				mustContain(t, testutil.Run(t, "ip", "netns", "exec", "web", "cat", "/proc/sys/net/ipv4/conf/eth0/log_martians"), "1")
			},
		},
		{
			"portmap by iptables", "portmap",
			`{"type":"portmap","backend":"iptables","capabilities":{"portMappings":true}}`, ports, portsWork,
		},
		{
			"portmap by nftables", "portmap",
			`{"type":"portmap","backend":"nftables","capabilities":{"portMappings":true}}`, ports, portsWork,
		},
		{
			"bandwidth", "bandwidth",
			`{"type":"bandwidth","capabilities":{"bandwidth":true}}`,
			map[string]any{"bandwidth": map[string]any{"ingressRate": 8000000, "ingressBurst": 8000000, "egressRate": 16000000, "egressBurst": 8000000}},
			func(t *testing.T, r *types100.Result) {
				mustContain(t, testutil.Run(t, "tc", "qdisc", "show", "dev", hostEnd(t, r)), "tbf", "rate 8Mbit", "ingress")
				mustContain(t, testutil.Run(t, "tc", "qdisc", "show"), "rate 16Mbit")
			},
		},
		{
			"firewall", "firewall", `{"type":"firewall","backend":"iptables"}`, nil,
			func(t *testing.T, r *types100.Result) {
				mustContain(t, testutil.Run(t, "iptables", "-S"), r.IPs[0].Address.IP.String()+"/32 -m conntrack")
				mustContain(t, testutil.Run(t, "ip6tables", "-S"), r.IPs[1].Address.IP.String()+"/128 -m conntrack")
			},
		},
		{
			"sbr", "sbr", `{"type":"sbr"}`, nil,
			func(t *testing.T, r *types100.Result) {
				mustContain(t, testutil.Run(t, "ip", "-n", "web", "rule"), "from "+r.IPs[0].Address.IP.String()+" lookup 100")
				mustContain(t, testutil.Run(t, "ip", "-n", "web", "route", "show", "table", "100"), "default via 10.88.0.1")
				mustContain(t, testutil.Run(t, "ip", "-n", "web", "-6", "rule"), "from "+r.IPs[1].Address.IP.String())
			},
		},
	}
}

// publishedWeb is what a runtime gives for port 80 of a container at port 8080 of the host.
func publishedWeb() map[string]any {
	return map[string]any{"portMappings": []any{map[string]any{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}}}
}

// portsWork calls it from everywhere.
func portsWork(t *testing.T, r *types100.Result) {
	serveCaller(t, webSpace, ":80")
	mustCall(t, "/run/netns/outside", "192.0.2.1:8080", "192.0.2.2")
	mustCall(t, "/run/netns/outside", "[2001:db8::1]:8080", "2001:db8::2")
	if _, err := call(t, hostSpace, nil, "192.0.2.1:8080"); err != nil {
		t.Errorf("from the host: %v", err)
	}
	if _, err := call(t, webSpace, r.IPs[0].Address.IP, "192.0.2.1:8080"); err != nil {
		t.Errorf("from the container itself: %v", err)
	}
}

// TestOwnCapabilities: by libcni as a runtime uses it, without a plugin behind.
func TestOwnCapabilities(t *testing.T) {
	testutil.Root(t)
	testChain(t, toolPath(t), link{
		name: "ports", config: `"capabilities":{"portMappings":true,"aliases":true}`,
		capabilities: publishedWeb(), see: portsWork,
	})
}

// TestChain puts every upstream plugin behind emerita, alone and all together.
func TestChain(t *testing.T) {
	testutil.Root(t)
	path := toolPath(t, "tuning", "portmap", "bandwidth", "firewall", "sbr")
	for _, l := range links() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			testChain(t, path, l)
		})
	}
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		var all []link
		for _, l := range links() {
			if l.name != "portmap by nftables" {
				all = append(all, l)
			}
		}
		testChain(t, path, all...)
	})
}

func testChain(t *testing.T, path []string, links ...link) {
	testutil.EnterHost(t)
	plugins, capabilities := []string{chainHead6}, map[string]any{}
	for _, l := range links {
		if l.name == "bandwidth" { // it wants the ingress hook of the host end for itself
			plugins[0] = strings.Replace(chainHead6, `"ipMasq"`, `"fastPath":"off","isolation":"off","ipMasq"`, 1)
		}
		if l.tool == "" {
			plugins[0] = strings.Replace(plugins[0], "{", "{"+l.config+",", 1)
		} else {
			plugins = append(plugins, l.config)
		}
		for k, v := range l.capabilities {
			capabilities[k] = v
		}
	}
	c := newChain(t, path, capabilities, plugins...)
	bare := *c
	list := *c.list
	list.Plugins = list.Plugins[:1]
	bare.list = &list

	// What emerita leaves for the next call is not the chain's.
	bare.mustAdd()
	bare.mustDel()
	alone := testutil.Snapshot(t)
	result := c.mustAdd()
	for _, l := range links {
		l.see(t, result)
	}
	// By its address: sbr leaves nothing to those who have not chosen one.
	mustReach(t, "web", result.IPs[0].Address.IP, "192.0.2.2", "10.88.0.1")
	mustReach(t, "web", result.IPs[1].Address.IP, "2001:db8::2", "fd00:88::1")
	c.mustCheck()
	c.mustDel()
	used := testutil.Snapshot(t)
	mustSame(t, "the first use leaves links, addresses, routes, rules or neighbours", wiring(alone), wiring(used))

	c.mustAdd()
	c.mustCheck()
	c.mustDel()
	mustSame(t, "the second use leaves something", used, testutil.Snapshot(t))
}

// mustReach pings from a container, from its address there if it is not nil.
func mustReach(t *testing.T, container string, from net.IP, addrs ...string) {
	t.Helper()
	ping := []string{"netns", "exec", container, "ping", "-c", "1", "-W", "2"}
	if from != nil {
		ping = append(ping, "-I", from.String())
	}
	for _, a := range addrs {
		testutil.Run(t, "ip", append(ping, a)...)
	}
}
