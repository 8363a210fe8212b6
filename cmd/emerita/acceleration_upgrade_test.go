// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	bpflink "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// linked is the program of a pinned link.
func linked(t *testing.T, name string) ebpf.ProgramID {
	t.Helper()
	l, err := bpflink.LoadPinnedLink(filepath.Join(pins, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info.Program
}

// pinned is the program of a pin.
func pinned(t *testing.T, path string) ebpf.ProgramID {
	t.Helper()
	p, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	return id
}

// TestKilledUpgradeAccelerated: the programs of another build are replaced, and who does so
// is killed before any step of it. The next ADD, or a repair, has this build's at work: on
// messages, on sockets, and on what is read. It is not parallel: nobody else's connections
// lose their budget by the replacing of the last.
func TestKilledUpgradeAccelerated(t *testing.T) {
	h := newAcceleratedHost(t)
	testutil.Netns(t, "c")
	k := startTalk(t, "a", "b", "10.1.0.3", "10.1.0.3", false)
	dirs, err := filepath.Glob(pins + "/programs-*")
	if err != nil || len(dirs) != 1 {
		t.Fatalf("programs: %q, %v", dirs, err)
	}
	n := 1
	for killed := true; killed; n++ {
		if n > maxKills {
			t.Fatalf("an upgrade has not ended by %d steps", maxKills)
		}
		reader := linked(t, "accel_read_link")
		otherBuild(t)
		killed = killWhen(t, exec.Command("emerita", "repair"), upgrades, n)
		exchange(t, k.client, 3, 300)
		when := fmt.Sprintf("killed before step %d, then ", n)
		if n%7 == 0 {
			h.mustCLI("repair")
			when += "repair"
		} else { // of somebody else
			h.must("ADD", "c")
			h.must("DEL", "c")
			when += "ADD"
		}
		for _, name := range []string{"accel_verdict", "accel_enrol"} {
			if got, want := linked(t, name+"_link"), pinned(t, filepath.Join(dirs[0], name)); got != want {
				t.Errorf("%s: %s is program %d, want %d", when, name, got, want)
			}
		}
		if linked(t, "accel_read_link") == reader {
			t.Errorf("%s: the program that counts is the old one", when)
		}
		for _, id := range []string{"a", "b"} {
			if out, code := h.check(id); code != 0 {
				t.Errorf("%s: CHECK %s: %s", when, id, out)
			}
		}
		h.renewed(k, when)
		exchange(t, k.client, 3, 300)
		testutil.Run(t, "rm", "-r", pins+"/programs-0123456789abcdef")
	}
	if n < 20 {
		t.Errorf("only %d kills: the sweep has missed what an upgrade does", n-2)
	}
	h.must("DEL", "a")
	h.must("DEL", "b")
	h.noEntries("DEL")
}

// upgrades says whether a call is a step of an upgrade.
func upgrades(e entered) bool {
	return e.number == unix.SYS_MKDIRAT || e.number == unix.SYS_UNLINKAT ||
		e.bpf(unix.BPF_OBJ_PIN, unix.BPF_LINK_CREATE, unix.BPF_LINK_UPDATE)
}

// renewed says that a new connection stays on the short path for longer than one budget,
// which it does where what is read is counted. While somebody elsewhere takes a program off
// the tracepoint it may not be; then the next one tells.
func (h *host) renewed(k *talk, when string) {
	h.t.Helper()
	for late := deadline(tortureWait); ; {
		c := k.dial("a", k.client.RemoteAddr().String())
		exchange(h.t, c, 2*accelerationMessages, 300)
		got := h.paths(c)
		c.Close()
		if got == "socket socket" {
			return
		}
		if late() {
			h.t.Fatalf("%s: new connections are %q, want socket socket", when, got)
		}
	}
}
