// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	ebpflink "github.com/cilium/ebpf/link"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// counting is a classifier of somebody else's: it counts, and lets others decide.
func counting(t *testing.T) (*ebpf.Program, *ebpf.Map) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "foreign", Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, -1).WithSymbol("out"), // TC_ACT_UNSPEC, TCX_NEXT
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, m
}

func runs(t *testing.T, m *ebpf.Map) (n uint64) {
	t.Helper()
	if err := m.Lookup(uint32(0), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// hits are what tc counts by itself.
var hits = regexp.MustCompile(`(?m)^.*(Sent|backlog|used|rule hit).*\n|\(rule hit.*\)|installed .*sec`)

// foreign is everything on a host end but what Emerita has attached.
func (h *host) foreign(id string) string {
	h.t.Helper()
	var out strings.Builder
	for _, hook := range []string{"ingress", "egress"} {
		text := testutil.Run(h.t, "tc", "filter", "show", "dev", h.hostEnd(id), hook)
		for l := range strings.Lines(hits.ReplaceAllString(text, "")) {
			if !strings.Contains(l, "pref 58593") { // Emerita's
				out.WriteString(hook + " " + l)
			}
		}
	}
	out.WriteString(testutil.Run(h.t, "tc", "qdisc", "show", "dev", h.hostEnd(id)))
	return out.String()
}

// Filters of others on the same hook, and tcx and XDP programs on the same device,
// stay and run, whatever Emerita does.
func TestCoexist(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.TCX)
	h := joined(t, "a", "b")
	end := h.hostEnd("a")
	index, err := net.InterfaceByName(end)
	if err != nil {
		t.Fatal(err)
	}
	program, classified := counting(t)
	pin := "/sys/fs/bpf/foreign"
	if err := program.Pin(pin); err != nil {
		t.Fatal(err)
	}
	for _, hook := range []string{"ingress", "egress"} {
		// After ours, so that ours must let go of the packet.
		testutil.Run(t, "tc", "filter", "add", "dev", end, hook, "pref", "60000", "bpf", "da", "pinned", pin)
		// Before ours.
		testutil.Run(t, "tc", "filter", "add", "dev", end, hook, "pref", "7", "protocol", "ip", "u32", "match", "ip", "dst", "198.51.100.9/32", "flowid", "1:7")
	}
	tcxProgram, tcxRuns := counting(t)
	tcx, err := ebpflink.AttachTCX(ebpflink.TCXOptions{Interface: index.Index, Program: tcxProgram, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		t.Fatal(err)
	}
	defer tcx.Close()
	want := h.foreign("a")
	mustContain(t, want, "foreign", "match c6336409/ffffffff", "clsact")

	same := func(when string) {
		t.Helper()
		mustSame(t, when+": filters of others", want, h.foreign("a"))
		before, beforeTCX := runs(t, classified), runs(t, tcxRuns)
		h.ping("a", "192.0.2.2")
		// Out and back: both hooks of both.
		if now := runs(t, classified); now < before+2 {
			t.Errorf("%s: the other's filter ran %d times", when, now-before)
		}
		if now := runs(t, tcxRuns); now == beforeTCX {
			t.Errorf("%s: the other's tcx program did not run", when)
		}
		h.ping("a", "10.1.0.3")
		for _, id := range []string{"a", "b"} {
			if out, code := h.check(id); code != 0 {
				t.Errorf("%s: CHECK %s: %s", when, id, out)
			}
		}
	}
	same("at first")
	testutil.Netns(t, "c")
	h.must("ADD", "c")
	same("ADD of another")
	otherBuild(t)
	h.must("DEL", "c")
	h.must("ADD", "c")
	same("another build")
	h.mustCLI("repair")
	same("repair")
	for _, hook := range []string{"ingress", "egress"} {
		testutil.Run(t, "tc", "filter", "del", "dev", end, hook, "pref", "58593")
	}
	if out, code := h.check("a"); code == 0 || !strings.Contains(out, "eBPF program is missing") {
		t.Errorf("CHECK without the filters: %d %s", code, out)
	}
	h.mustCLI("repair")
	same("filters put back")
	h.mustCLI("gc", "--keep", "a/eth0", "--keep", "b/eth0")
	same("GC")
	for _, id := range []string{"a", "b"} {
		h.must("DEL", id)
	}
	h.mustCLI("gc", "--keep-none")
	if left, _ := filepath.Glob("/sys/fs/bpf/[ef]*"); len(left) != 1 || left[0] != pin {
		t.Errorf("of Emerita and others there is on the bpffs: %q", left)
	}
}

// The programs of a device whose clsact or ingress qdisc is somebody else's.
func TestForeignQdisc(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	end := h.hostEnd("a")
	testutil.Run(t, "tc", "qdisc", "del", "dev", end, "clsact")
	h.ping("a", "10.1.0.3")
	testutil.Run(t, "tc", "qdisc", "add", "dev", end, "ingress")
	if out, code := h.check("a"); code == 0 {
		t.Errorf("CHECK: %s", out)
	}
	cmd := exec.Command("emerita", "repair")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), end) {
		t.Errorf("repair behind an ingress qdisc does not name %s: %v: %s", end, err, out)
	}
	h.ping("a", "10.1.0.3")
	if out := testutil.Run(t, "tc", "qdisc", "show", "dev", end); !strings.Contains(out, "ingress") {
		t.Errorf("somebody's qdisc is gone: %s", out)
	}
	testutil.Run(t, "tc", "qdisc", "del", "dev", end, "ingress")
	testutil.Run(t, "tc", "qdisc", "add", "dev", end, "clsact")
	h.mustCLI("repair")
	if out, code := h.check("a"); code != 0 {
		t.Errorf("CHECK after repair: %s", out)
	}
	h.ping("a", "10.1.0.3")
}
