// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// toolPath is a CNI_PATH with emerita and plugins of go.mod's tools, which go
// builds into its cache.
func toolPath(t *testing.T, tools ...string) []string {
	t.Helper()
	emerita, err := exec.LookPath("emerita")
	if err != nil {
		t.Fatal(err)
	}
	path := []string{filepath.Dir(emerita)}
	for _, name := range tools {
		out := testutil.Run(t, "go", "tool", "-n", name)
		path = append(path, filepath.Dir(strings.TrimSpace(out)))
	}
	return path
}

// chain is a container on a list of plugins, called by libcni as by a runtime.
type chain struct {
	t    *testing.T
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
	rt   *libcni.RuntimeConf
}

// pluginList is a network "chain" of plugins, each a JSON object.
func pluginList(t *testing.T, plugins ...string) *libcni.NetworkConfigList {
	t.Helper()
	raw := `{"cniVersion":"1.1.0","name":"chain","plugins":[` + strings.Join(plugins, ",") + `]}`
	list, err := libcni.NetworkConfFromBytes([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// newChain makes a container "web" for the plugins.
func newChain(t *testing.T, path []string, capabilities map[string]any, plugins ...string) *chain {
	t.Helper()
	return &chain{
		t:    t,
		list: pluginList(t, plugins...),
		cni: libcni.NewCNIConfigWithCacheDir(path, "/run/cni-cache", &invoke.DefaultExec{
			RawExec: &invoke.RawExec{Stderr: t.Output()},
		}),
		rt: &libcni.RuntimeConf{
			ContainerID: "web", IfName: "eth0", NetNS: testutil.Netns(t, "web"), CapabilityArgs: capabilities,
		},
	}
}

// newChainOf is another attachment of the same container.
func newChainOf(c *chain, ifname string, plugins ...string) *chain {
	c.t.Helper()
	rt := *c.rt
	rt.IfName = ifname
	return &chain{t: c.t, cni: c.cni, list: pluginList(c.t, plugins...), rt: &rt}
}

func (c *chain) mustAdd() *types100.Result {
	c.t.Helper()
	r, err := c.cni.AddNetworkList(c.t.Context(), c.list, c.rt)
	if err != nil {
		c.t.Fatalf("ADD: %v", err)
	}
	result, err := types100.GetResult(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return result
}

func (c *chain) mustCheck() {
	c.t.Helper()
	if err := c.cni.CheckNetworkList(c.t.Context(), c.list, c.rt); err != nil {
		c.t.Fatalf("CHECK: %v", err)
	}
}

func (c *chain) mustDel() {
	c.t.Helper()
	if err := c.cni.DelNetworkList(c.t.Context(), c.list, c.rt); err != nil {
		c.t.Fatalf("DEL: %v", err)
	}
}

// within runs fn in the network namespace of a path. The calling goroutine must
// be locked to its thread, as by testutil.EnterHost.
func within(t *testing.T, netns string, fn func()) {
	t.Helper()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	there, err := os.Open(netns)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Fatal(err)
		}
	}()
	fn()
}

// serveCaller answers every TCP connection to addr in a namespace with the caller's
// address, and returns the address of the service.
func serveCaller(t *testing.T, netns, addr string) netip.AddrPort {
	t.Helper()
	var at netip.AddrPort
	within(t, netns, func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		at = netip.MustParseAddrPort(l.Addr().String())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintln(c, c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
				c.Close()
			}
		}()
	})
	return at
}

// callDeadline is far beyond what a connection within one machine takes.
const callDeadline = 5 * time.Second

// call connects to a service of serveCaller from a namespace, from the address
// there if it is not nil, and returns the address by which the service knows it.
func call(t *testing.T, netns string, from net.IP, addr string) (string, error) {
	t.Helper()
	var line string
	var err error
	within(t, netns, func() {
		var c net.Conn
		dialer := net.Dialer{Timeout: callDeadline}
		if from != nil {
			dialer.LocalAddr = &net.TCPAddr{IP: from}
		}
		if c, err = dialer.Dial("tcp", addr); err != nil {
			return
		}
		defer c.Close()
		if err = c.SetDeadline(time.Now().Add(callDeadline)); err != nil {
			return
		}
		line, err = bufio.NewReader(c).ReadString('\n')
	})
	return strings.TrimSpace(line), err
}

func mustCall(t *testing.T, netns, addr, as string) {
	t.Helper()
	mustCallFrom(t, netns, nil, addr, as)
}

func mustCallFrom(t *testing.T, netns string, from net.IP, addr, as string) {
	t.Helper()
	got, err := call(t, netns, from, addr)
	if err != nil {
		t.Fatalf("call %s from %s: %v", addr, netns, err)
	}
	if got != as {
		t.Errorf("call %s from %s arrives as from %s, not %s", addr, netns, got, as)
	}
}

// wiring is the part of a snapshot about links, addresses, routes, rules and
// neighbours.
func wiring(snapshot string) string {
	before, _, _ := strings.Cut(snapshot, "== nft")
	return before
}

func mustSame(t *testing.T, what, before, after string) {
	t.Helper()
	if diff := lineDiff(before, after); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

func mustContain(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

func mustLack(t *testing.T, text string, unwanted ...string) {
	t.Helper()
	for _, w := range unwanted {
		if strings.Contains(text, w) {
			t.Errorf("%q in:\n%s", w, text)
		}
	}
}

// hostEnd is the name of the host's end in a result of emerita.
func hostEnd(t *testing.T, r *types100.Result) string {
	t.Helper()
	for _, i := range r.Interfaces {
		if i.Sandbox == "" && i.Name != "emerita0" && strings.HasPrefix(i.Name, "em") {
			return i.Name
		}
	}
	raw, _ := json.Marshal(r)
	t.Fatalf("no host interface in %s", raw)
	return ""
}
