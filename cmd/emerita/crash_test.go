// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mutations are the system calls by which a call changes anything. SIGKILL on
// entry to the N-th of one, for all N of all of them, is a kill in every state
// that a call can leave behind.
const mutations = "mkdirat linkat unlinkat renameat write sendto"

// boundaries are those at which it waits for something or enters something.
const boundaries = "flock setns openat clone ioctl"

// maxKills bounds the sweep of one system call.
const maxKills = 80

// killed runs a call that is killed on entry to the n-th given system call of
// any of its threads. It returns false if the call ended before.
func (h *host) killed(verb, id, syscall string, n int) bool {
	h.t.Helper()
	inject := fmt.Sprintf("inject=%s:signal=KILL:when=%d", syscall, n)
	cmd := h.command(verb, id, "strace", "-f", "-o", "/dev/null", "-e", "trace="+syscall, "-e", inject)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case !errors.As(err, &exit):
		h.t.Fatalf("strace: %v", err)
	}
	// strace kills itself by what killed its child, so as to report it.
	if exit.ExitCode() != -1 {
		h.t.Fatalf("%s of %s with %s: %v, not killed: %s", verb, id, inject, err, out.String())
	}
	return true
}

// sweep calls repair after each kill of a verb, and with the call that
// survives. prepare comes before each.
func (h *host) sweep(verb, syscalls string, atLeast int, prepare func(), repair func(when string, killed bool)) {
	h.t.Helper()
	kills := 0
	for _, syscall := range strings.Fields(syscalls) {
		for n := 1; ; n++ {
			if n > maxKills {
				h.t.Fatalf("%s has not ended by %d calls of %s", verb, maxKills, syscall)
			}
			prepare()
			killed := h.killed(verb, "a", syscall, n)
			repair(fmt.Sprintf("%s killed at %s %d", verb, syscall, n), killed)
			if !killed {
				break
			}
			kills++
		}
	}
	h.t.Logf("%d kills", kills)
	if kills < atLeast {
		h.t.Fatalf("only %d kills: the sweep has missed what the call does", kills)
	}
}

// A DEL clears up after an ADD that was killed anywhere, on a host that Emerita
// has never run on.
func TestKilledAddThenDel(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	before := h.snapshot()
	h.sweep("ADD", mutations+" "+boundaries, 50, func() {}, func(when string, _ bool) {
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
	h.sweep("ADD", mutations, 15, func() {}, func(when string, _ bool) {
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
	h.sweep("ADD", mutations, 12, func() {}, func(when string, killed bool) {
		claimed := h.held()
		out, code := h.outcome(h.command("ADD", "a"))
		complete := exec.Command("ip", "link", "show", h.hostEnd("a")).Run() == nil
		switch {
		case code != 0 && (killed || !complete || !strings.Contains(out, "attached already")):
			t.Fatalf("%s: the next ADD fails: %s", when, out)
		case code == 0:
			if now := h.held(); len(now) != 2 || len(claimed) == 2 && !slices.Equal(claimed, now) {
				t.Fatalf("%s: addresses were %q, are %q", when, claimed, now)
			}
			h.ping("a", "192.0.2.2")
		}
		h.must("DEL", "a")
	})
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
	h.sweep("DEL", mutations+" "+boundaries+" wait4 close", 20, func() { h.must("ADD", "a") }, func(when string, _ bool) {
		h.must("DEL", "a")
		h.forgetShared()
		h.nothingLeft(before, when)
	})
}
