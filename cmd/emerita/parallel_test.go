// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// job is a call that runs beside others.
type job struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
}

func (h *host) start(cmd *exec.Cmd) *job {
	h.t.Helper()
	j := &job{cmd: cmd}
	cmd.Stdout = &j.stdout
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	return j
}

// wait returns the code of the error, 0 without one.
func (h *host) wait(j *job) cniproto.Code {
	h.t.Helper()
	err := j.cmd.Wait()
	var object struct {
		Code cniproto.Code `json:"code"`
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && json.Unmarshal(j.stdout.Bytes(), &object) == nil && object.Code != 0 {
		return object.Code
	}
	if err != nil {
		h.t.Fatalf("%q: %v: %s", j.cmd.Args, err, j.stdout.String())
	}
	return 0
}

// all makes one call for each container, so many at a time, which must succeed,
// and returns what they printed.
func (h *host) all(verb string, containers []string, atOnce int) []string {
	h.t.Helper()
	var out []string
	var running []*job
	drain := func(until int) {
		for len(running) > until {
			if code := h.wait(running[0]); code != 0 {
				h.t.Fatalf("%s: %s", verb, running[0].stdout.String())
			}
			out = append(out, running[0].stdout.String())
			running = running[1:]
		}
	}
	for _, id := range containers {
		drain(atOnce - 1)
		running = append(running, h.start(h.command(verb, id)))
	}
	drain(0)
	return out
}

// A hundred containers come at once: everyone has an address of their own, and
// everything goes with them.
func TestParallel(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must("ADD", "a")
	h.must("DEL", "a")
	before := h.snapshot()

	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprintf("pod%d", i))
		testutil.Netns(t, ids[i])
	}
	holder := map[string]string{}
	for i, result := range h.all("ADD", ids, 16) {
		addr := h.address(result)
		if other, ok := holder[addr]; ok {
			t.Fatalf("%s and %s both have %s", other, ids[i], addr)
		}
		holder[addr] = ids[i]
	}
	if held := h.held(); len(held) != len(ids) {
		t.Fatalf("%d addresses are reserved for %d containers", len(held), len(ids))
	}
	for _, id := range ids {
		h.mustCLI("check", "-n", "/run/netns/"+id, "-c", id, "-i", "eth0")
	}
	h.ping("pod0", "192.0.2.2")
	h.ping("pod99", h.address(string(h.recorded("pod50"))))
	h.all("DEL", ids, 16)
	h.nothingLeft(before, "after 100 containers")
}

// recorded is the result of ADD as kept in the record.
func (h *host) recorded(id string) json.RawMessage {
	h.t.Helper()
	var record struct {
		Key struct {
			ContainerID string `json:"containerID"`
		} `json:"key"`
		Result json.RawMessage `json:"result"`
	}
	for _, file := range h.files("/var/lib/cni/emerita") {
		raw, err := os.ReadFile(file)
		if err != nil {
			h.t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n") // the last one counts
		if json.Unmarshal([]byte(lines[len(lines)-1]), &record) == nil && record.Key.ContainerID == id {
			return record.Result
		}
	}
	h.t.Fatalf("no record of %s", id)
	return nil
}

// ADD and DEL of one attachment at the same time: whoever wins, neither hangs,
// and a last DEL leaves nothing.
func TestAddRacesDel(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must("ADD", "a")
	h.must("DEL", "a")
	h.resetContainer("a")
	before := h.snapshot()
	won := map[bool]int{}
	for round := range 60 {
		calls := []*job{h.start(h.command("ADD", "a")), h.start(h.command("DEL", "a"))}
		if round%3 == 0 {
			calls = append(calls, h.start(h.command("ADD", "a")))
		}
		added := 0
		for _, j := range calls {
			switch code := h.wait(j); {
			case code == 0:
				added++
			case code != cniproto.CodeNetlink || !strings.Contains(j.stdout.String(), "attached already"):
				t.Fatalf("round %d: %s", round, j.stdout.String())
			}
		}
		standing := exec.Command("ip", "link", "show", h.hostEnd("a")).Run() == nil
		if held := len(h.held()); (held == 1) != standing || held > 1 {
			t.Fatalf("round %d: interface %v, %d addresses", round, standing, held)
		}
		won[standing]++
		h.must("DEL", "a")
	}
	h.nothingLeft(before, fmt.Sprintf("after races, ADD was last in %d, DEL in %d", won[true], won[false]))
}

// A lock that somebody holds makes a call give up in time, with the code that
// makes a runtime try again, and with nothing done.
func TestLockIsHeld(t *testing.T) {
	const wait = 50 * time.Millisecond
	locks := map[string]func(t *testing.T) (release func()){
		"address lock": func(t *testing.T) func() {
			f := openLock(t, "/var/lib/cni/networks/net/lock")
			if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			return func() { f.Close() }
		},
		"attachment lock": func(t *testing.T) func() {
			f := openLock(t, "/var/lib/cni/emerita/lock")
			whole := unix.Flock_t{Type: unix.F_WRLCK}
			if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole); err != nil {
				t.Fatal(err)
			}
			return func() { f.Close() }
		},
	}
	for name, hold := range locks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.must("ADD", "b")
			h.must("ADD", "a")
			h.must("DEL", "a")
			before, files := h.snapshot(), h.files("/var/lib/cni")
			release := hold(t)
			for _, verb := range []string{"ADD", "DEL"} {
				h.givesUp(verb, wait)
				if diff := lineDiff(before, h.snapshot()); diff != "" {
					t.Errorf("%s: the host differs:\n%s", verb, diff)
				}
				if now := h.files("/var/lib/cni"); !slices.Equal(now, files) {
					t.Errorf("%s: files were %q, are %q", verb, files, now)
				}
			}
			// It may have begun with b, which is not to be kept, but then b's
			// address is still nobody else's.
			h.givesUp("GC", wait)
			if held := h.held(); len(held) != 1 {
				t.Errorf("GC: %q are held, want one address", held)
			}
			release()
			h.must("ADD", "a")
			h.must("DEL", "a")
			h.must("DEL", "b")
		})
	}
}

func openLock(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// givesUp makes a call of container a, or a GC that keeps nothing, with a shorter
// wait for locks than the program's, which it must be seen to take.
func (h *host) givesUp(verb string, wait time.Duration) {
	h.t.Helper()
	values := map[string]string{"CNI_COMMAND": verb, "CNI_CONTAINERID": "a", "CNI_NETNS": "/run/netns/a", "CNI_IFNAME": "eth0", "CNI_PATH": "/opt/cni/bin"}
	config := h.config
	if verb == "GC" {
		config = strings.Replace(config, "{", `{"cni.dev/valid-attachments":[],`, 1)
	}
	e := processEnv()
	var out bytes.Buffer
	e.stdin, e.stdout, e.getenv, e.lockWait = strings.NewReader(config), &out, func(k string) string { return values[k] }, wait
	start := time.Now()
	run(e, nil)
	took := time.Since(start)
	var object struct {
		Code cniproto.Code `json:"code"`
	}
	if err := json.Unmarshal(out.Bytes(), &object); err != nil || object.Code != cniproto.CodeTryAgain || took < wait {
		h.t.Errorf("%s: %v after %v, wants to give up with code %d after %v: %s", verb, err, took, cniproto.CodeTryAgain, wait, out.String())
	}
}
