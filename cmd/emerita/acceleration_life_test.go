// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestAccelerationBudget: who asks and answers stays on the short path, who only talks
// does not.
func TestAccelerationBudget(t *testing.T) {
	t.Parallel()
	h := newAcceleratedHost(t)
	k := startTalk(t, "a", "b", "10.1.0.3", "10.1.0.3", false)
	exchange(t, k.client, 1000, 1000)
	if got := h.paths(k.client); got != "socket socket" {
		t.Errorf("after 1000 questions and answers: %q", got)
	}
	sent, got := pattern(1<<20), make([]byte, 1<<20)
	go func() { _, _ = k.client.Write(sent) }()
	if _, err := io.ReadFull(k.client, got); err != nil || string(got) != string(sent) {
		t.Fatalf("1 MiB came back as another, %v", err)
	}
	if got := h.paths(k.client); got != "tcp tcp" {
		t.Errorf("after 1 MiB at once: %q", got)
	}
	exchange(t, k.client, 1000, 1000)
	if got := h.paths(k.client); got != "tcp tcp" {
		t.Errorf("what went over to TCP is %q", got)
	}
}

// TestAccelerationSwitch stops it and lets it go on, while a connection is at work.
func TestAccelerationSwitch(t *testing.T) {
	t.Parallel()
	h := newAcceleratedHost(t)
	k := startTalk(t, "a", "b", "fd00:1::3", "fd00:1::3", false)
	exchange(t, k.client, 10, 100)
	h.mustCLI("flows", "--stop")
	if got := h.paths(k.client); got != "socket socket" {
		t.Errorf("before the next message: %q", got)
	}
	exchange(t, k.client, 10, 100)
	if got := h.paths(k.client); got != "tcp tcp" {
		t.Errorf("stopped: %q", got)
	}
	to := k.client.RemoteAddr().String()
	late := k.dial("a", to)
	exchange(t, late, 10, 100)
	if got := h.paths(late); got != "" {
		t.Errorf("connected while it was stopped: %q", got)
	}
	h.mustCLI("repair") // does not start it again
	again := k.dial("a", to)
	exchange(t, again, 10, 100)
	if got := h.paths(again); got != "" {
		t.Errorf("after repair: %q", got)
	}
	h.mustCLI("flows", "--start")
	last := k.dial("a", to)
	exchange(t, last, 10, 100)
	if got := h.paths(last); got != "socket socket" {
		t.Errorf("started again: %q", got)
	}
	exchange(t, k.client, 10, 100)
	if got := h.paths(k.client); got != "tcp tcp" {
		t.Errorf("the first one: %q", got)
	}
}

// TestAccelerationReplaced: connections go on while the programs are replaced by another
// build's, lost, and put back.
func TestAccelerationReplaced(t *testing.T) {
	t.Parallel()
	h := newAcceleratedHost(t)
	k := startTalk(t, "a", "b", "10.1.0.3", "10.1.0.3", false)
	to := k.client.RemoteAddr().String()
	goOn := func(when, want string) {
		t.Helper()
		exchange(t, k.client, 300, 300)
		c := k.dial("a", to)
		defer c.Close()
		exchange(t, c, 300, 300)
		if got := h.paths(c); got != want {
			t.Errorf("%s: a new connection is %q, want %q", when, got, want)
		}
		for _, id := range []string{"a", "b"} {
			if out, code := h.check(id); code != 0 {
				t.Errorf("%s: CHECK %s: %s", when, id, out)
			}
		}
	}
	goOn("at first", "socket socket")
	h.mustCLI("repair") // has nothing to do, and takes nobody's budget
	goOn("repair", "socket socket")
	if got := h.paths(k.client); got != "socket socket" {
		t.Errorf("after a repair of what is whole: %q", got)
	}
	otherBuild(t)
	exchange(t, k.client, 300, 300)
	h.mustCLI("repair")
	goOn("another build, repair", "socket socket")
	testutil.Run(t, "rm", "-r", pins+"/programs-0123456789abcdef")
	for _, link := range []string{"accel_enrol_link", "accel_verdict_link", "accel_read_link"} {
		testutil.Run(t, "rm", filepath.Join(pins, link))
		if out, code := h.check("a"); code == 0 {
			t.Errorf("CHECK does not miss %s: %s", link, out)
		}
		h.mustCLI("repair")
		goOn(link+" lost, repair", "socket socket")
	}
	testutil.Run(t, "rm", "-r", pins)
	exchange(t, k.client, 300, 300)
	h.mustCLI("repair")
	goOn("pins lost, repair", "socket socket")
	h.must("DEL", "a") // though it is connected
	h.must("DEL", "b")
	h.noEntries("DEL")
}

// TestAccelerationBrief: where connections are brief they are left alone, until one is
// not.
func TestAccelerationBrief(t *testing.T) {
	t.Parallel()
	h := newAcceleratedHost(t)
	k := startTalk(t, "a", "b", "10.1.0.3", "10.1.0.3", false)
	to := k.client.RemoteAddr().String()
	connect := func(messages int) string {
		t.Helper()
		c := k.dial("a", to)
		defer c.Close()
		exchange(t, c, messages, 10)
		return h.paths(c)
	}
	for i := range 16 {
		if got := connect(2); got != "socket socket" {
			t.Errorf("brief connection %d: %q", i, got)
		}
	}
	// The last one may not be closed to the kernel yet.
	late := time.Now().Add(reachWait)
	for connect(2) != "" {
		if time.Now().After(late) {
			t.Fatal("brief connections are enrolled for ever")
		}
	}
	if got := connect(20); got != "" {
		t.Errorf("a longer one after them: %q", got)
	}
	if got := connect(2); got != "socket socket" {
		t.Errorf("the next one: %q", got)
	}
	if got := h.paths(k.client); got != "" && got != "idle idle" {
		t.Errorf("one that has said nothing: %q", got)
	}
}
