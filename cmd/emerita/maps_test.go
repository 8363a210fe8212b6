// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// entries counts what the pinned maps know of containers.
func (h *host) entries() map[string]int {
	h.t.Helper()
	out := map[string]int{}
	for _, name := range []string{"interfaces", "endpoints", "allowed", "counts", "sockets", "published", "loopback", "accel_sockets", "accel_peers", "accel_flows"} {
		m, err := ebpf.LoadPinnedMap(filepath.Join(pins, name), nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if n := countKeys(h.t, m); n > 0 {
			out[name] = n
		}
		m.Close()
	}
	return out
}

// noEntries fails the test if the maps know a container.
func (h *host) noEntries(when string) {
	h.t.Helper()
	if left := h.entries(); len(left) > 0 {
		h.t.Fatalf("%s: left in the eBPF maps: %v", when, left)
	}
}

// drops are the reasons for which something of a container was dropped.
func (h *host) drops(id string) (out []string) {
	h.t.Helper()
	for reason, n := range h.reasons(id) {
		out = append(out, id+": "+reason+" "+n)
	}
	return out
}

// check is CHECK of a container by the command line, which knows the result.
func (h *host) check(id string) (string, cniproto.Code) {
	h.t.Helper()
	cmd := exec.Command("emerita", "check", "-n", "/run/netns/"+id, "-c", id, "-i", "eth0")
	cmd.Stdin = strings.NewReader(h.config)
	return h.outcome(cmd)
}
