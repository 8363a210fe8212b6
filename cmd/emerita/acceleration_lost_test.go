// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	bpflink "github.com/cilium/ebpf/link"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestAccelerationStopped: who looks at the network is told of the switch.
func TestAccelerationStopped(t *testing.T) {
	t.Parallel()
	h := newAcceleratedHost(t)
	column := func() (last, told string) {
		out, told := h.says("status")
		all := strings.Fields(out)
		return all[len(all)-1], told
	}
	if last, told := column(); last != "on" || told != "" {
		t.Errorf("at first: %q, %q", last, told)
	}
	h.mustCLI("flows", "--stop")
	if last, told := column(); last != "stopped" || !strings.Contains(told, "emerita flows --start") {
		t.Errorf("stopped: %q, %q", last, told)
	}
	if _, told := h.says("flows"); !strings.Contains(told, "emerita flows --start") {
		t.Errorf("flows, stopped: %q", told)
	}
	h.mustCLI("flows", "--start")
	if last, told := column(); last != "on" || told != "" {
		t.Errorf("started: %q, %q", last, told)
	}
}

// TestAccelerationPinLost: CHECK and STATUS miss each pin, repair puts it back with all
// that its map holds, and connections go on from socket to socket.
func TestAccelerationPinLost(t *testing.T) {
	t.Parallel()
	h := newAcceleratedHost(t)
	k := startTalk(t, "a", "b", "10.1.0.3", "10.1.0.3", false)
	exchange(t, k.client, 100, 100)
	for _, pin := range []string{
		"accel_stop", "accel_flows", "accel_sockhash", "accel_turns", "accel_services", "accel_reader", "accel_sockets", "accel_peers",
		"published", "allowed", "conversations", "interfaces", "endpoints", "counts",
		"accel_enrol_link", "accel_verdict_link", "accel_read_link", "programs-*",
	} {
		testutil.Run(t, "sh", "-c", "rm -r "+filepath.Join(pins, pin))
		h.missing(pin)
		if pin == "accel_stop" {
			if out, code := h.cli("flows", "--stop"); code == 0 || !strings.Contains(out, "emerita repair") {
				t.Errorf("flows --stop without %s: %s", pin, out)
			}
		}
		h.mustCLI("repair")
		h.whole("repair of " + pin)
		exchange(t, k.client, 300, 300) // more than a budget
		if got := h.paths(k.client); got != "socket socket" && !strings.HasSuffix(pin, "_link") && pin != "programs-*" {
			t.Errorf("%s lost, repair: an old connection is %q", pin, got)
		}
		c := k.dial("a", k.client.RemoteAddr().String())
		exchange(t, c, 300, 300)
		if got := h.paths(c); got != "socket socket" {
			t.Errorf("%s lost, repair: a new connection is %q", pin, got)
		}
		c.Close()
	}

	for _, link := range []string{"accel_enrol_link", "accel_verdict_link"} {
		h.detach(link)
		h.missing(link)
		h.mustCLI("repair")
		h.whole("repair of a detached " + link)
		c := k.dial("a", k.client.RemoteAddr().String())
		exchange(t, c, 300, 300)
		if got := h.paths(c); got != "socket socket" {
			t.Errorf("%s detached, repair: a new connection is %q", link, got)
		}
	}

	// All of them: there is something to stop, and then it is.
	testutil.Run(t, "rm", "-r", pins)
	for _, flag := range []string{"--stop", "--start"} {
		if out, code := h.cli("flows", flag); code == 0 || !strings.Contains(out, "emerita repair") {
			t.Errorf("flows %s without pins: %s", flag, out)
		}
	}
	h.mustCLI("repair")
	h.whole("repair of all pins")

	// Stopped it stays, whatever is lost.
	h.mustCLI("flows", "--stop")
	testutil.Run(t, "rm", filepath.Join(pins, "accel_stop"))
	h.mustCLI("repair")
	if _, told := h.says("flows"); !strings.Contains(told, "stopped") {
		t.Errorf("flows after repair: %q", told)
	}
	h.must("DEL", "a")
	h.must("DEL", "b")
	h.noEntries("DEL")
}

// missing has CHECK of a and STATUS name a pin, and say the mend.
func (h *host) missing(pin string) {
	h.t.Helper()
	name := strings.TrimSuffix(pin, "*")
	for verb, run := range map[string]func() (string, cniproto.Code){
		"CHECK":  func() (string, cniproto.Code) { return h.check("a") },
		"STATUS": func() (string, cniproto.Code) { return h.cli("status") },
	} {
		if out, code := run(); code == 0 || !strings.Contains(out, name) || !strings.Contains(out, "emerita repair") {
			h.t.Errorf("%s without %s: %s", verb, pin, out)
		}
	}
}

// whole has CHECK of both and STATUS find nothing.
func (h *host) whole(when string) {
	h.t.Helper()
	for _, id := range []string{"a", "b"} {
		if out, code := h.check(id); code != 0 {
			h.t.Errorf("%s: CHECK %s: %s", when, id, out)
		}
	}
	if out, code := h.cli("status"); code != 0 {
		h.t.Errorf("%s: STATUS: %s", when, out)
	}
}

// TestAccelerationCgroupLost: a cgroup goes while its container is attached, or the
// program on it.
func TestAccelerationCgroupLost(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.SockMapLink, testutil.SockOps, testutil.Cgroup2)
	h := newHost(t)
	path, name := cgroup2(t)
	h.config = acceleratedConfig(1, `"socketAcceleration":"cgroup","runtimeConfig":{"cgroupPath":"/`+name+`/inner"},`)
	h.must("ADD", "a")
	h.must("ADD", "b")
	h.whole("at first")
	h.offCgroup(path + "/inner")
	if out, code := h.check("a"); code == 0 || !strings.Contains(out, "eBPF program is missing on cgroup") || !strings.Contains(out, "emerita repair") {
		t.Errorf("CHECK without the program: %s", out)
	}
	h.mustCLI("repair")
	h.whole("repair")
	if err := os.Remove(path + "/inner"); err != nil {
		t.Fatal(err)
	}
	if out, code := h.check("a"); code == 0 || !strings.Contains(out, "below the root of cgroup v2") || !strings.Contains(out, "connect the container anew") {
		t.Errorf("CHECK without the cgroup: %s", out)
	}
	if out, code := h.cli("status"); code != 0 {
		t.Errorf("STATUS: %s", out)
	}
	if _, told := h.says("repair"); !strings.Contains(told, "connect the container anew") {
		t.Errorf("repair says %q", told)
	}
	if err := os.Mkdir(path+"/inner", 0o755); err != nil {
		t.Fatal(err)
	}
	h.mustCLI("repair")
	h.whole("repair")
}

// offCgroup takes the program off a cgroup.
func (h *host) offCgroup(path string) {
	h.t.Helper()
	dir, err := os.Open(path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer dir.Close()
	program, err := ebpf.LoadPinnedProgram(h.pin("programs-*/accel_cgroup"), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	defer program.Close()
	if err := bpflink.RawDetachProgram(bpflink.RawDetachProgramOptions{Target: int(dir.Fd()), Program: program, Attach: ebpf.AttachCGroupSockOps}); err != nil {
		h.t.Fatal(err)
	}
}

// detach ends a link, of which the pin stays.
func (h *host) detach(name string) {
	h.t.Helper()
	l, err := bpflink.LoadPinnedLink(h.pin(name), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	defer l.Close()
	if err := l.Detach(); err != nil {
		h.t.Fatal(err)
	}
}

// pin is the one that matches a pattern.
func (h *host) pin(pattern string) string {
	h.t.Helper()
	all, err := filepath.Glob(filepath.Join(pins, pattern))
	if err != nil || len(all) != 1 {
		h.t.Fatalf("%s: %q, %v", pattern, all, err)
	}
	return all[0]
}

// TestAccelerationBPFFSLater: the host's bpffs is mounted when containers are attached
// whose programs are pinned on our own. There they stay, until the last one goes.
func TestAccelerationBPFFSLater(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.SockMapLink, testutil.SockOps, testutil.Cgroup2)
	h := newHost(t)
	testutil.Netns(t, "c")
	testutil.Run(t, "umount", "-l", "/sys/fs/bpf")
	h.config = acceleratedConfig(1, accelerated)
	h.must("ADD", "a")
	h.must("ADD", "b")
	k := startTalk(t, "a", "b", "10.1.0.3", "10.1.0.3", false)
	exchange(t, k.client, 100, 100)
	testutil.Run(t, "mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
	late := func(when, want string) {
		t.Helper()
		h.whole(when)
		exchange(t, k.client, 100, 100)
		if got := h.paths(k.client); got != want {
			t.Errorf("%s: an old connection is %q, want %q", when, got, want)
		}
	}
	late("mounted", "socket socket")
	h.mustCLI("repair")
	late("repair", "socket socket")
	h.must("ADD", "c")
	other := k.dial("c", k.client.RemoteAddr().String())
	exchange(t, other, 100, 100)
	if got := h.paths(other); got != "socket socket" {
		t.Errorf("from a later container: %q", got)
	}
	h.mustCLI("flows", "--stop")
	h.mustCLI("repair")
	late("stopped", "tcp tcp")
	for _, id := range []string{"a", "b", "c"} {
		h.must("DEL", id)
	}
	h.mustCLI("gc", "--keep-none")
	for _, left := range []string{"/run/emerita", pins} {
		if _, err := os.Lstat(left); err == nil {
			t.Errorf("%s is there after the last GC", left)
		}
	}
}
