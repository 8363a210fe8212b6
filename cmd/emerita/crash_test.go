// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// mutations are the system calls by which a call changes anything. SIGKILL on
// entry to the N-th of them, for all N, is a kill in every state that a call can
// leave behind.
var mutations = []uint64{
	unix.SYS_MKDIRAT, unix.SYS_LINKAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_WRITE, unix.SYS_SENDTO, unix.SYS_SENDMSG,
}

// boundaries are some at which it waits for something or enters something.
var boundaries = []uint64{
	unix.SYS_FLOCK, unix.SYS_SETNS, unix.SYS_OPENAT, unix.SYS_CLONE, unix.SYS_IOCTL, unix.SYS_WAIT4,
}

// maxKills bounds a sweep.
const maxKills = 150

// sweep kills a verb of container a everywhere, and calls repair after each kill
// and after the call that survives; prepare comes before.
func (h *host) sweep(verb string, calls []uint64, atLeast int, prepare func(), repair func(when string)) {
	h.t.Helper()
	for n := 1; ; n++ {
		if n > maxKills {
			h.t.Fatalf("%s has not ended by %d system calls", verb, maxKills)
		}
		prepare()
		killed := killAt(h.t, h.command(verb, "a"), calls, n)
		repair(fmt.Sprintf("%s killed at call %d", verb, n))
		if !killed {
			if n <= atLeast {
				h.t.Fatalf("only %d kills: the sweep has missed what the call does", n-1)
			}
			return
		}
	}
}

// A DEL clears up after an ADD that was killed anywhere, on a host that Emerita
// has never run on.
func TestKilledAddThenDel(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	before := h.snapshot()
	h.sweep("ADD", slices.Concat(mutations, boundaries), 50, func() {}, func(when string) {
		h.must("DEL", "a")
		if out, err := exec.Command("ip", "-n", "a", "link", "show", "eth0").CombinedOutput(); err == nil {
			t.Fatalf("%s: the container has its interface still: %s", when, out)
		}
		h.forgetShared()
		h.nothingLeft(before, when)
	})
}

// So does a GC, which is all that comes when the runtime has forgotten the
// container.
func TestKilledAddThenGC(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	before := h.snapshot()
	h.sweep("ADD", mutations, 20, func() {}, func(when string) {
		h.mustCLI("gc", "--keep-none")
		h.forgetShared()
		h.nothingLeft(before, when)
	})
}

// A second ADD without DEL takes over from a killed one, with the address that
// it had, if it had come so far. One that was complete but for the answer is a
// duplicate.
func TestKilledAddThenAdd(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must("ADD", "b")
	h.sweep("ADD", mutations, 15, func() {}, func(when string) {
		claimed, complete := h.held(), h.ready("a")
		out, code := h.outcome(h.command("ADD", "a"))
		switch {
		case complete && !strings.Contains(out, "attached already"):
			t.Fatalf("%s: a living attachment is added again: %s", when, out)
		case !complete && code != 0:
			t.Fatalf("%s: the next ADD fails: %s", when, out)
		}
		if now := h.held(); len(now) != 2 || len(claimed) == 2 && !slices.Equal(claimed, now) {
			t.Fatalf("%s: addresses were %q, are %q", when, claimed, now)
		}
		h.ping("a", "192.0.2.2")
		h.must("DEL", "a")
	})
}

// ready says whether the record of a container is complete.
func (h *host) ready(id string) bool {
	h.t.Helper()
	for _, file := range h.files("/var/lib/cni/emerita") {
		raw, err := os.ReadFile(file)
		if err != nil {
			h.t.Fatal(err)
		}
		if text := string(raw); strings.HasSuffix(file, ".json") && !strings.Contains(file, "/.") &&
			strings.Contains(text, `"containerID":"`+id+`"`) && strings.Contains(text, `"phase":"ready"`) {
			return true
		}
	}
	return false
}

// A DEL that was killed anywhere is finished by the next, and meanwhile the
// address is nobody else's.
func TestKilledDelThenDel(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must("ADD", "a")
	h.must("DEL", "a")
	h.forgetShared()
	before := h.snapshot()
	h.sweep("DEL", slices.Concat(mutations, boundaries), 20, func() { h.must("ADD", "a") }, func(when string) {
		h.must("DEL", "a")
		h.forgetShared()
		h.nothingLeft(before, when)
	})
}

// So is it by a GC, with an empty list or of the dead, which is all that comes when the
// runtime takes the DEL for done: the uplink's forwarding too is as it was.
func TestKilledDelThenGC(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	testutil.Run(t, "sysctl", "-qw", "net.ipv4.conf.uplink0.forwarding=0")
	h.must("ADD", "a")
	h.must("DEL", "a")
	h.mustCLI("gc", "--keep-none")
	h.forgetShared()
	before := h.snapshot()
	for _, how := range []string{"--keep-none", "--dead"} {
		h.sweep("DEL", mutations, 5, func() { h.must("ADD", "a") }, func(when string) {
			if how == "--dead" && h.stands("a") {
				h.must("DEL", "a") // it was killed too early to be dead
			}
			h.mustCLI("gc", how)
			h.forgetShared()
			h.nothingLeft(before, when+", then gc "+how)
		})
	}
}

// stands says whether the host end of a container's attachment is there.
func (h *host) stands(id string) bool {
	_, err := net.InterfaceByName(h.hostEnd(id))
	return err == nil
}
