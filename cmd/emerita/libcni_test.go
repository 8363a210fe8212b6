// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	cniversion "github.com/containernetworking/cni/pkg/version"
	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// containerRuntime stands for one: it calls plugins through libcni, with one
// network from a directory of lists.
type containerRuntime struct {
	t    *testing.T
	cni  *libcni.CNIConfig
	list *libcni.NetworkConfigList
}

func newRuntime(t *testing.T, list string) *containerRuntime {
	t.Helper()
	testutil.Root(t)
	path := toolPath(t)
	testutil.EnterHost(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "50-emerita.conflist"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	loaded, err := libcni.LoadNetworkConf(dir, "emerita")
	if err != nil {
		t.Fatal(err)
	}
	return &containerRuntime{t: t, list: loaded, cni: libcni.NewCNIConfig(path, &invoke.DefaultExec{
		RawExec: &invoke.RawExec{Stderr: t.Output()},
	})}
}

// container makes a namespace and says how the runtime calls it.
func (r *containerRuntime) container(id string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: id, IfName: "eth0", NetNS: testutil.Netns(r.t, id)}
}

func (r *containerRuntime) mustAdd(rt *libcni.RuntimeConf) *types100.Result {
	r.t.Helper()
	printed, err := r.cni.AddNetworkList(r.t.Context(), r.list, rt)
	if err != nil {
		r.t.Fatalf("ADD of %s: %v", rt.ContainerID, err)
	}
	result, err := types100.GetResult(printed)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

func (r *containerRuntime) must(verb string, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%s: %v", verb, err)
	}
}

// mustBe fails unless err is the CNI error with a code.
func (r *containerRuntime) mustBe(code uint, err error) {
	r.t.Helper()
	var e *types.Error
	if !errors.As(err, &e) || e.Code != code {
		r.t.Fatalf("got %v, want a CNI error with code %d", err, code)
	}
}

// attached lists the containers that have an interface, an address and a record.
func (r *containerRuntime) attached(ids ...string) []string {
	r.t.Helper()
	links := testutil.Run(r.t, "ip", "link")
	addresses := ""
	files, _ := filepath.Glob("/var/lib/cni/networks/emerita/10.*")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			r.t.Fatal(err)
		}
		addresses += string(text) + "\n"
	}
	var out []string
	for _, id := range ids {
		link := strings.Contains(links, "alias emerita:emerita/"+id+"/eth0\n")
		address := strings.Contains(addresses, id+"\r\neth0\n")
		if link != address {
			r.t.Fatalf("container %s: has an interface: %t, has an address: %t", id, link, address)
		}
		if link {
			out = append(out, id)
		}
	}
	return out
}

const currentList = `{"cniVersion":"1.1.0","name":"emerita","plugins":[{"type":"emerita","ipMasq":true,
	"capabilities":{"mac":true,"ips":true,"dns":true},
	"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.88.0.0/16"}]]}}]}`

func TestLibcniAddCheckDel(t *testing.T) {
	for name, list := range map[string]string{"original": originalList, "current": currentList} {
		t.Run(name, func(t *testing.T) {
			r := newRuntime(t, list)
			ctx := t.Context()
			web := r.container("web")
			result := r.mustAdd(web)
			if got := result.IPs[0].Address.String(); got != "10.88.0.2/16" {
				t.Errorf("address %s, want 10.88.0.2/16", got)
			}
			if in := result.Interfaces[*result.IPs[0].Interface]; in.Name != "eth0" || in.Sandbox != web.NetNS {
				t.Errorf("the address is on %+v, want eth0 in the container", in)
			}
			r.must("CHECK", r.cni.CheckNetworkList(ctx, r.list, web))
			_, err := r.cni.AddNetworkList(ctx, r.list, web)
			r.mustBe(102, err)
			r.must("CHECK after a refused ADD", r.cni.CheckNetworkList(ctx, r.list, web))

			// DEL after the namespace is gone: only libcni's cache has the result.
			testutil.Run(t, "ip", "netns", "del", "web")
			web.NetNS = ""
			r.must("DEL", r.cni.DelNetworkList(ctx, r.list, web))
			if got := r.attached("web"); len(got) != 0 {
				t.Errorf("attached after DEL: %q", got)
			}
			r.must("second DEL", r.cni.DelNetworkList(ctx, r.list, web))
		})
	}
}

func TestLibcniCapabilities(t *testing.T) {
	r := newRuntime(t, currentList)
	web := r.container("web")
	web.Args = [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAME", "web-0"}}
	web.CapabilityArgs = map[string]any{
		"mac": "02:00:00:00:00:07", "ips": []string{"10.88.7.7/16"},
		"dns": map[string]any{"servers": []string{"192.0.2.53"}},
	}
	result := r.mustAdd(web)
	in := result.Interfaces[*result.IPs[0].Interface]
	got := []string{in.Mac, result.IPs[0].Address.String(), strings.Join(result.DNS.Nameservers, " ")}
	if diff := cmp.Diff([]string{"02:00:00:00:00:07", "10.88.7.7/16", "192.0.2.53"}, got); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	r.must("CHECK", r.cni.CheckNetworkList(t.Context(), r.list, web))
	r.must("DEL", r.cni.DelNetworkList(t.Context(), r.list, web))
}

func TestLibcniGC(t *testing.T) {
	r := newRuntime(t, currentList)
	ctx := t.Context()
	all := []string{"web", "db", "lost"}
	for _, id := range all {
		r.mustAdd(r.container(id))
	}
	if diff := cmp.Diff(all, r.attached(all...)); diff != "" {
		t.Fatalf("attached (-want +got):\n%s", diff)
	}
	// What libcni does not know of either, so that it is the plugin that must collect.
	if err := os.RemoveAll("/var/lib/cni/results"); err != nil {
		t.Fatal(err)
	}
	keep := func(ids ...string) error {
		args := &libcni.GCArgs{ValidAttachments: []types.GCAttachment{}}
		for _, id := range ids {
			args.ValidAttachments = append(args.ValidAttachments, types.GCAttachment{ContainerID: id, IfName: "eth0"})
		}
		return r.cni.GCNetworkList(ctx, r.list, args)
	}
	r.mustBe(7, r.cni.GCNetworkList(ctx, r.list, nil))
	r.must("GC that keeps all", keep(all...))
	if diff := cmp.Diff(all, r.attached(all...)); diff != "" {
		t.Fatalf("attached after a GC that keeps all (-want +got):\n%s", diff)
	}
	r.must("GC", keep("web", "db"))
	if diff := cmp.Diff([]string{"web", "db"}, r.attached(all...)); diff != "" {
		t.Fatalf("attached after GC (-want +got):\n%s", diff)
	}
	r.must("STATUS", r.cni.GetStatusNetworkList(ctx, r.list))
	r.must("GC that keeps none", keep())
	if got := r.attached(all...); len(got) != 0 {
		t.Fatalf("attached after a GC that keeps none: %q", got)
	}
}

func TestLibcniStatus(t *testing.T) {
	r := newRuntime(t, currentList)
	r.must("STATUS before the first ADD", r.cni.GetStatusNetworkList(t.Context(), r.list))
	r.mustAdd(r.container("web"))
	r.must("STATUS", r.cni.GetStatusNetworkList(t.Context(), r.list))
	testutil.Run(t, "ip", "link", "del", "emerita0")
	r.mustBe(51, r.cni.GetStatusNetworkList(t.Context(), r.list))
}

func TestLibcniVersion(t *testing.T) {
	r := newRuntime(t, originalList)
	info, err := r.cni.GetVersionInfo(t.Context(), "emerita")
	r.must("VERSION", err)
	if diff := cmp.Diff(cniversion.All.SupportedVersions(), info.SupportedVersions()); diff != "" {
		t.Errorf("supported versions against libcni's (-want +got):\n%s", diff)
	}
	capabilities, err := r.cni.ValidateNetworkList(t.Context(), r.list)
	r.must("validation", err)
	if len(capabilities) != 0 {
		t.Errorf("capabilities %q of a list without any", capabilities)
	}
}
