// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// host is a test's own host, and what a container runtime on it would do.
// Processes are on the host only if the test's own goroutine starts them.
type host struct {
	t      *testing.T
	config string
}

// hostConfig is what most tests need: masquerade, and a small network.
const hostConfig = `{"cniVersion":"1.1.0","name":"net","type":"emerita","ipMasq":true,` +
	`"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.88.0.0/24"}]]}}`

// newHost puts the test on a host of its own. Containers a and b are there.
func newHost(t *testing.T) *host {
	t.Helper()
	testutil.Root(t)
	testutil.EnterHost(t)
	testutil.Netns(t, "a")
	testutil.Netns(t, "b")
	return &host{t: t, config: hostConfig}
}

// command prepares a call as a runtime makes it; the namespace is the one named
// as the container.
func (h *host) command(verb, id string, wrapper ...string) *exec.Cmd {
	return h.commandIn(verb, id, "/run/netns/"+id, wrapper...)
}

func (h *host) commandIn(verb, id, netns string, wrapper ...string) *exec.Cmd {
	args := append(wrapper, "emerita")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(h.config)
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+verb, "CNI_CONTAINERID="+id, "CNI_NETNS="+netns,
		"CNI_IFNAME=eth0", "CNI_PATH=/opt/cni/bin", "CNI_ARGS=")
	return cmd
}

// outcome runs a prepared call and returns what it printed, and the CNI error
// if it failed. Anything else than one of both fails the test.
func (h *host) outcome(cmd *exec.Cmd) (out string, code cniproto.Code) {
	h.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.String(), 0
	}
	var object struct {
		Code cniproto.Code `json:"code"`
		Msg  string        `json:"msg"`
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || json.Unmarshal(stdout.Bytes(), &object) != nil || object.Code == 0 || object.Msg == "" {
		h.t.Fatalf("%q: %v, and no CNI error on stdout: %q, stderr %q", cmd.Args, err, stdout.String(), stderr.String())
	}
	return stdout.String(), object.Code
}

// must runs a call that has to succeed, and returns what it printed.
func (h *host) must(verb, id string) string {
	h.t.Helper()
	out, code := h.outcome(h.command(verb, id))
	if code != 0 {
		h.t.Fatalf("%s %s: %s", verb, id, out)
	}
	return out
}

// mustCLI runs the command line, with the configuration on stdin.
func (h *host) mustCLI(args ...string) {
	h.t.Helper()
	if out, code := h.cli(args...); code != 0 {
		h.t.Fatalf("emerita %q: %s", args, out)
	}
}

// cli runs the command line, with the configuration on stdin.
func (h *host) cli(args ...string) (out string, code cniproto.Code) {
	h.t.Helper()
	cmd := exec.Command("emerita", args...)
	cmd.Stdin = strings.NewReader(h.config)
	return h.outcome(cmd)
}

// says runs a command line that has to succeed, and returns what it prints.
func (h *host) says(args ...string) (stdout, stderr string) {
	h.t.Helper()
	cmd := exec.Command("emerita", args...)
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(h.config), &out, &log
	if err := cmd.Run(); err != nil {
		h.t.Fatalf("emerita %q: %v, %s%s", args, err, &out, &log)
	}
	return out.String(), log.String()
}

// refused runs a call that has to fail with a code, and returns the error.
func (h *host) refused(cmd *exec.Cmd, want cniproto.Code) string {
	h.t.Helper()
	out, code := h.outcome(cmd)
	if code != want {
		h.t.Fatalf("%q: code %d, want %d: %s", cmd.Args, code, want, out)
	}
	return out
}

// address is the first address in a result.
func (h *host) address(result string) string {
	h.t.Helper()
	var r struct {
		IPs []struct {
			Address string `json:"address"`
		} `json:"ips"`
	}
	if err := json.Unmarshal([]byte(result), &r); err != nil || len(r.IPs) == 0 {
		h.t.Fatalf("no address in %q (%v)", result, err)
	}
	addr, _, _ := strings.Cut(r.IPs[0].Address, "/")
	return addr
}

// hostEnd is the name of the host end of a container's attachment.
func (h *host) hostEnd(id string) string {
	return state.Key{Network: "net", ContainerID: id, IfName: "eth0"}.HostIfName()
}

// ping must reach an address from a container ("" is the host).
func (h *host) ping(from, to string) {
	h.t.Helper()
	args := []string{"ping", "-c", "1", "-W", "2", to}
	if from != "" {
		args = append([]string{"ip", "netns", "exec", from}, args...)
	}
	testutil.Run(h.t, args[0], args[1:]...)
}

// files are all files of Emerita's under the directories, but locks and the
// addresses given last, which stay by design. None of the directories need be.
func (h *host) files(dirs ...string) []string {
	h.t.Helper()
	var all []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !d.IsDir() && d.Name() != "lock" && !strings.HasPrefix(d.Name(), "last_reserved_ip.") {
				all = append(all, path)
			}
			return err
		})
		if err != nil {
			h.t.Fatalf("list files: %v", err)
		}
	}
	slices.Sort(all)
	return all
}

// held are the files of the addresses that are reserved in the network.
func (h *host) held() []string {
	h.t.Helper()
	return slices.DeleteFunc(h.files("/var/lib/cni/networks/net"), func(path string) bool {
		_, err := netip.ParseAddr(filepath.Base(path))
		return err != nil
	})
}

// snapshot is the host without the files that come and go with attachments.
func (h *host) snapshot() string {
	h.t.Helper()
	return testutil.Snapshot(h.t, "/run/netns", "/var/lib/cni")
}

// nothingLeft compares the host with an earlier snapshot, and looks for files.
func (h *host) nothingLeft(before, when string) {
	h.t.Helper()
	if diff := lineDiff(before, h.snapshot()); diff != "" {
		h.t.Fatalf("%s: the host differs:\n%s", when, diff)
	}
	if left := h.files("/var/lib/cni"); len(left) > 0 {
		h.t.Fatalf("%s: left: %s", when, strings.Join(left, " "))
	}
}

// forgetShared removes what stays by design when the last container is gone,
// as the operator would.
func (h *host) forgetShared() {
	h.t.Helper()
	testutil.Run(h.t, "sh", "-c", "ip link del emerita0 2>/dev/null; nft delete table inet emerita 2>/dev/null; true")
}

// resetContainer brings a container back to how it was made: lo is down.
func (h *host) resetContainer(name string) {
	h.t.Helper()
	testutil.Run(h.t, "ip", "-n", name, "link", "set", "lo", "down")
}
