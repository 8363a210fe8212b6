// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// blindly runs a command on a kernel that takes no tracing programs, as one that is locked
// down: each that is loaded becomes one of a type that nobody knows. It returns what was
// printed.
func blindly(t *testing.T, cmd *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	const tracing, unknown = 26, 1 << 30 // BPF_PROG_TYPE_TRACING; the type comes first in union bpf_attr
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	refused := 0
	trace(t, cmd, func(pid int, e entered) {
		if !e.bpf(unix.BPF_PROG_LOAD) {
			return
		}
		var typ [4]byte
		if _, err := unix.PtracePeekData(pid, uintptr(e.args[1]), typ[:]); err != nil {
			t.Errorf("read what is loaded: %v", err)
		}
		if binary.NativeEndian.Uint32(typ[:]) != tracing {
			return
		}
		refused++
		if _, err := unix.PtracePokeData(pid, uintptr(e.args[1]), binary.NativeEndian.AppendUint32(nil, unknown)); err != nil {
			t.Errorf("refuse to load: %v", err)
		}
	})
	if refused == 0 {
		t.Fatalf("%q has loaded no tracing program: %s%s", cmd.Args, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// TestAccelerationBlind: where nobody can count what is read a direction is accelerated for
// two budgets, and TCP from then on, without a byte lost, in the map until it is closed; and
// that counts as whole until a repair finds that it can be had.
func TestAccelerationBlind(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	x := &half{host: newHost(t), on: true, number: 1, ids: [2]string{"a", "b"}}
	x.config = accelerationConfig(1, true)
	out, errs := blindly(t, x.command("ADD", "a"))
	if strings.Contains(out, `"code"`) || !strings.Contains(errs, "end at their first budget") {
		t.Fatalf("ADD on a kernel without: %s%s", out, errs)
	}
	x.must("ADD", "b") // which does not try again
	for who := range x.ids {
		x.enter(who)
	}
	whole := func(when string) {
		t.Helper()
		for _, id := range x.ids {
			if out, code := x.check(id); code != 0 {
				t.Errorf("%s: CHECK %s: %s", when, id, out)
			}
		}
	}
	whole("blind")

	k := startTalk(t, "a", "b", "10.1.0.3", "10.1.0.3", false)
	exchange(t, k.client, accelerationMessages, 300)
	if got := x.host.paths(k.client); got != "socket socket" {
		t.Errorf("after one budget: %q", got)
	}
	exchange(t, k.client, 2*accelerationMessages, 300)
	if got := x.host.paths(k.client); got != "tcp tcp" {
		t.Errorf("after three budgets: %q", got)
	}
	for _, f := range x.flows() {
		// Twice where the talkers, in Go, have written by several threads.
		const budget = accelerationMessages * 300
		if n, err := strconv.Atoi(f.bytes); err != nil || n < budget || n > 2*budget {
			t.Errorf("from %s to %s %s bytes went by the socket, want %d or up to twice that", f.from, f.to, f.bytes, budget)
		}
	}
	for i := range uint64(10) { // some unread when it goes over
		w := newWalker(x.connect(ways()[0]), *tortureSeed+i)
		if err := firstError(w.walk(200), w.drain()); err != nil {
			t.Errorf("walk %d: %v", i, err)
		}
		w.close()
	}
	a := x.meet()
	a.goesOver(0)
	for range 5 {
		a.byTCP(0)
	}
	if !x.inMap(conn{a.ends}, 0) {
		t.Error("an end has left the map, and nobody can know what it has read")
	}
	conn{a.ends}.close()
	whole("after the connections")

	x.mustCLI("repair")
	whole("repaired")
	x.renewed(k, "repaired")
	exchange(t, k.client, 3, 300)
	if got := x.host.paths(k.client); got != "tcp tcp" {
		t.Errorf("repaired: one that is TCP already: %q", got)
	}
	testutil.Run(t, "rm", filepath.Join(pins, "accel_read_link"))
	if out, code := x.check("a"); code == 0 {
		t.Errorf("repaired: CHECK does not miss what counts: %s", out)
	}
}
