// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestGatewayOfFailedADD: ADDs begin at once where there is no emerita0 yet, some of which
// fail when all of theirs is there. What they have made of it goes with them, unless one
// that succeeds relies on it: whoever was first.
func TestGatewayOfFailedADD(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	testutil.Netns(t, "c")
	testutil.Netns(t, "holder")
	plain := h.config
	published := with(plain, web(8080))
	h.config = strings.NewReplacer(`"net"`, `"gate"`, `"ipMasq":true`, `"gatewayInterface":"gate1"`, "10.88.", "10.89.").Replace(published)
	h.must("ADD", "holder")

	for round := range scaled(8) {
		h.begun(map[string]string{"a": published, "b": published, "c": plain})
		h.config = plain
		h.mustCLI("check", "-n", "/run/netns/c", "-c", "c", "-i", "eth0")
		h.ping("c", "10.88.0.1")
		h.must("DEL", "c")
		h.forgetShared()

		h.begun(map[string]string{"a": published, "b": published})
		if out, err := exec.Command("ip", "addr", "show", "dev", "emerita0").CombinedOutput(); err == nil {
			t.Fatalf("round %d: all have failed, and left %s", round, out)
		}
	}
}

// begun starts an ADD of each container with its configuration, and waits for all. Those
// that publish a port fail.
func (h *host) begun(configs map[string]string) {
	h.t.Helper()
	outs := map[string]*strings.Builder{}
	calls := map[string]*exec.Cmd{}
	for id, config := range configs {
		h.config = config
		c := h.command("ADD", id)
		outs[id] = &strings.Builder{}
		c.Stdout = outs[id]
		if err := c.Start(); err != nil {
			h.t.Fatal(err)
		}
		calls[id] = c
	}
	for id, c := range calls {
		err := c.Wait()
		if fails := strings.Contains(configs[id], "portMappings"); fails != (err != nil) || fails && !strings.Contains(outs[id].String(), `"code": 103`) {
			h.t.Fatalf("ADD %s: %v: %s", id, err, outs[id])
		}
	}
}
