// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	bpflink "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// talkerMain is the program "talker listen ADDRESS", which says where it listens and
// echoes, and "talker connect ADDRESS", which says when it has heard its echo. Both end
// with their input.
func talkerMain() {
	if err := talker(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "talker:", err)
		os.Exit(1)
	}
}

func talker(what, addr string) error {
	if what == "listen" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(c, onlyReader{c}) }()
			}
		}()
		fmt.Println(l.Addr())
	} else {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		buf := make([]byte, 5)
		for range 10 {
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				return err
			}
		}
		fmt.Println(c.LocalAddr())
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// onlyReader keeps io.Copy from splicing.
type onlyReader struct{ io.Reader }

// startTalker runs one in a namespace and a cgroup, and returns what it says first.
func startTalker(t *testing.T, space, cgroup, what, addr string) string {
	t.Helper()
	cmd := exec.Command("ip", "netns", "exec", space, "sh", "-c", `echo $$ > "$0/cgroup.procs" && exec talker "$@"`, cgroup, what, addr)
	cmd.Env = append(os.Environ(), "GODEBUG=multipathtcp=0")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("talker %s %s: %v", what, addr, err)
	}
	return strings.TrimSpace(line)
}

// cgroup2 mounts the unified hierarchy for the test and makes a cgroup in it.
func cgroup2(t *testing.T) (path, name string) {
	t.Helper()
	withoutCgroup2(t) // whatever else is mounted: the test has one place
	root := t.TempDir()
	if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	path, err := os.MkdirTemp(root, "emerita-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		testutil.Run(t, "sh", "-c", fmt.Sprintf("rmdir %s/inner; rmdir %s; umount -l %s", path, path, root))
	})
	if err := os.Mkdir(path+"/inner", 0o755); err != nil {
		t.Fatal(err)
	}
	return path, filepath.Base(path)
}

// TestAccelerationByCgroup: processes of the cgroup that the runtime names, and no others,
// also where those of another network are accelerated whatever their cgroup is.
func TestAccelerationByCgroup(t *testing.T) {
	t.Parallel()
	testutil.Needs(t, testutil.SockMapLink, testutil.SockOps, testutil.Cgroup2)
	h := newHost(t)
	path, name := cgroup2(t)
	byCgroup := `"socketAcceleration":"cgroup","runtimeConfig":{"cgroupPath":"/` + name + `/inner"},`
	h.config = acceleratedConfig(1, byCgroup)
	h.must("ADD", "a")
	h.must("ADD", "b")
	if _, err := os.Stat(filepath.Join(pins, "accel_enrol_link")); err == nil {
		t.Error("the program is on the root")
	}
	to := startTalker(t, "b", path+"/inner", "listen", "10.1.0.3:0")
	inside := startTalker(t, "a", path+"/inner", "connect", to)
	outside := startTalker(t, "a", path, "connect", to)
	testutil.Netns(t, "c")
	h.config = accelerationConfig(2, true)
	h.must("ADD", "c")
	beside := startTalker(t, "a", path, "connect", to)
	apart := startTalker(t, "b", path, "listen", "10.1.0.3:0")
	startTalker(t, "a", path, "connect", apart)
	startTalker(t, "a", path+"/inner", "connect", apart)
	var got []string
	for _, f := range h.flows() {
		got = append(got, f.from+" "+f.to+" "+f.path)
	}
	all := strings.Join(got, "\n")
	if !strings.Contains(all, inside+" "+to+" socket") || !strings.Contains(all, to+" "+inside+" socket") ||
		strings.Contains(all, outside) || strings.Contains(all, beside) || strings.Contains(all, apart+" socket") {
		t.Errorf("inside is %s, outside %s, then %s, to %s and, outside, %s:\n%s", inside, outside, beside, to, apart, all)
	}
	h.must("DEL", "c")
	h.config = acceleratedConfig(1, byCgroup)
	if out, code := h.check("a"); code != 0 {
		t.Errorf("CHECK: %s", out)
	}
	h.must("DEL", "a")
	if n := h.onCgroup(path + "/inner"); n != 1 {
		t.Errorf("%d programs on the cgroup that b is in", n)
	}
	h.must("DEL", "b")
	if n := h.onCgroup(path + "/inner"); n != 0 {
		t.Errorf("%d programs on the cgroup after the last DEL", n)
	}
	h.noEntries("DEL")

	// Who is not given one is not accelerated; a path that is none is refused.
	h.config = acceleratedConfig(1, `"socketAcceleration":"cgroup",`)
	h.must("ADD", "a")
	h.must("DEL", "a")
	for _, hostile := range []string{"/", "/..", "/../../etc", name + "/cgroup.procs", "nowhere"} {
		h.config = acceleratedConfig(1, `"socketAcceleration":"cgroup","runtimeConfig":{"cgroupPath":"`+hostile+`"},`)
		if out, code := h.outcome(h.command("ADD", "a")); code == 0 || !strings.Contains(out, "runtimeConfig.cgroupPath") {
			t.Errorf("cgroupPath %q: %s", hostile, out)
		}
	}
	h.noEntries("ADD refused")
}

// onCgroup counts the programs on a cgroup itself.
func (h *host) onCgroup(path string) int {
	h.t.Helper()
	dir, err := os.Open(path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer dir.Close()
	all, err := bpflink.QueryPrograms(bpflink.QueryOptions{Target: int(dir.Fd()), Attach: ebpf.AttachCGroupSockOps})
	if err != nil {
		h.t.Fatal(err)
	}
	return len(all.Programs)
}
