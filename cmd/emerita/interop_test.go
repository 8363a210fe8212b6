// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestInteropBridge keeps containers of upstream's bridge and host-local and of
// emerita on one network at the same time: on one directory of reservations,
// that is. No address is given twice, and each takes back what the other gave.
func TestInteropBridge(t *testing.T) {
	testutil.Root(t)
	path := toolPath(t, "bridge", "host-local")
	testutil.EnterHost(t)
	const ipam = `"ipam":{"type":"host-local","dataDir":"/var/lib/cni/shared","ranges":[[{"subnet":"10.88.0.0/28"}]],"routes":[{"dst":"0.0.0.0/0"}]}`
	c := newChain(t, path, nil, `{"type":"emerita","ipMasq":true,`+ipam+`}`)
	lists := map[string]*libcni.NetworkConfigList{"emerita": c.list}
	for name, plugin := range map[string]string{
		"bridge": `{"type":"bridge","bridge":"cni0","isGateway":true,` + ipam + `}`,
		// The same with the reservations left to upstream's binary.
		"exec": `{"type":"emerita","ipMasq":true,` + ipam[:len(`"ipam":{`)] + `"exec":true,` + ipam[len(`"ipam":{`):] + `}`,
	} {
		lists[name] = pluginList(t, plugin)
	}
	attach := func(kind, id string) *chain {
		return &chain{t, c.cni, lists[kind], &libcni.RuntimeConf{
			ContainerID: id, IfName: "eth0", NetNS: testutil.Netns(t, id),
		}}
	}

	holders := map[string]string{} // by address
	var all []*chain
	add := func(kind, id string) {
		t.Helper()
		a := attach(kind, id)
		all = append(all, a)
		addr := a.mustAdd().IPs[0].Address.IP.String()
		if other, ok := holders[addr]; ok {
			t.Errorf("%s and %s both have %s", other, id, addr)
		}
		holders[addr] = id
	}
	kinds := []string{"bridge", "emerita", "exec", "emerita", "bridge", "exec"}
	for i, kind := range kinds {
		add(kind, fmt.Sprintf("c%d", i))
	}
	if diff := cmp.Diff(holders, reserved(t)); diff != "" {
		t.Errorf("reservations (-held +files):\n%s", diff)
	}
	for i, a := range all {
		a.mustCheck()
		if kinds[i] != "bridge" {
			mustReach(t, a.rt.ContainerID, nil, "192.0.2.2")
		}
	}

	// The range is full for either when both have used it up.
	for i := len(kinds); i < 13; i++ {
		add(kinds[i%2], fmt.Sprintf("c%d", i))
	}
	for _, kind := range []string{"bridge", "emerita"} {
		a := attach(kind, "late-"+kind)
		if _, err := a.cni.AddNetworkList(t.Context(), a.list, a.rt); err == nil {
			t.Errorf("%s gives an address of a full range", kind)
		}
	}
	if diff := cmp.Diff(holders, reserved(t)); diff != "" {
		t.Errorf("reservations of a full range (-held +files):\n%s", diff)
	}

	// The network moves to the other plugin: it releases what the first gave.
	other := map[string]string{"bridge": "emerita", "emerita": "bridge", "exec": "bridge"}
	for _, a := range all {
		moved := *a
		for kind, list := range lists {
			if list == a.list {
				moved.list = lists[other[kind]]
			}
		}
		moved.mustDel()
	}
	if diff := cmp.Diff(map[string]string{}, reserved(t)); diff != "" {
		t.Errorf("reservations after DEL (-want +files):\n%s", diff)
	}
	// emerita's record of a container that bridge disconnected is no obstacle.
	again := *all[1]
	again.mustAdd()
	again.mustCheck()
	again.mustDel()
}

// reserved are the holders by address, as the files have them.
func reserved(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("/var/lib/cni/shared/chain/10.*")
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		id, _, _ := strings.Cut(string(text), "\r\n")
		held[filepath.Base(f)] = id
	}
	return held
}
