// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// Ids as long as they may be, alike but for the last character, are two
// attachments.
func TestLongIDs(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ids := []string{strings.Repeat("x", 199) + "a", strings.Repeat("x", 199) + "b"}
	var got []string
	for i, id := range ids {
		out, code := h.outcome(h.commandIn("ADD", id, "/run/netns/"+"ab"[i:i+1]))
		if code != 0 {
			t.Fatalf("ADD: %s", out)
		}
		got = append(got, h.address(out))
	}
	if got[0] == got[1] || h.hostEnd(ids[0]) == h.hostEnd(ids[1]) {
		t.Fatalf("both have %s on %s", got[0], h.hostEnd(ids[0]))
	}
	h.ping("a", got[1])
	h.must("DEL", ids[0])
	h.ping("b", "192.0.2.2")
	h.ping("", got[1])
	h.must("DEL", ids[1])
	if left := h.files("/var/lib/cni"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	h.refused(h.commandIn("ADD", ids[0]+"c", "/run/netns/a"), cniproto.CodeInvalidEnv)
}

// Somebody else's interface has the very name that the host's end is to get.
func TestForeignLinkOfDerivedName(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must("ADD", "b")
	h.must("DEL", "b")
	name := h.hostEnd("a")
	testutil.Run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", "theirs")
	testutil.Run(t, "ip", "addr", "add", "198.51.100.1/24", "dev", name)
	testutil.Run(t, "ip", "link", "set", name, "alias", "emerita:net/a/eth0")
	before := h.snapshot()

	if out := h.refused(h.command("ADD", "a"), cniproto.CodeNetlink); !strings.Contains(out, name) {
		t.Errorf("the error does not name %s: %s", name, out)
	}
	h.nothingLeft(before, "ADD")
	h.must("DEL", "a")
	h.nothingLeft(before, "DEL")
	h.mustCLI("gc", "--keep-none")
	h.mustCLI("gc", "--dead")
	testutil.Run(t, "ip", "link", "show", name)

	testutil.Run(t, "ip", "link", "del", name)
	h.must("ADD", "a")
	h.ping("a", "192.0.2.2")
}

// Whatever the caller's umask, state is for root only.
func TestModes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must("VERSION", "a") // the directories must be made by the call below
	out, code := h.outcome(h.command("ADD", "a", "sh", "-c", `umask 0; exec "$0"`))
	if code != 0 {
		t.Fatal(out)
	}
	seen := 0
	err := filepath.WalkDir("/var/lib/cni", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700 | fs.ModeDir
		}
		if st := info.Sys().(*syscall.Stat_t); info.Mode() != want || st.Uid != 0 {
			t.Errorf("%s: mode %v of %d, want %v of root", path, info.Mode(), st.Uid, want)
		}
		seen++
		return nil
	})
	if err != nil || seen < 7 {
		t.Errorf("%d files, %v", seen, err)
	}
	var entries []string
	for _, dir := range []string{"/run", "/var/lib"} {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			entries = append(entries, dir+"/"+e.Name())
		}
	}
	if got := strings.Join(entries, " "); got != "/run/netns /var/lib/cni" {
		t.Errorf("made: %s", got)
	}
}

// A dataDir that is no plain path to a disk is refused before anything is done.
func TestOddDataDir(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	before := testutil.Snapshot(t)
	for _, dir := range []string{"networks", "./networks", "/var/lib/cni/../../../run/x", "/var/lib/cni/networks/", "/", "/proc/self/cwd", "/sys/fs", "/dev/shm/x"} {
		h.config = fmt.Sprintf(`{"cniVersion":"1.1.0","name":"net","type":"emerita","ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":"10.88.0.0/24"}]]}}`, dir)
		for _, verb := range []string{"ADD", "DEL", "STATUS"} {
			if out := h.refused(h.command(verb, "a"), cniproto.CodeInvalidConfig); !strings.Contains(out, "dataDir") {
				t.Errorf("dataDir %q: %s", dir, out)
			}
		}
	}
	for _, name := range []string{"../net", "..", ".", "a/b", "-x", ""} {
		h.config = fmt.Sprintf(`{"cniVersion":"1.1.0","name":%q,"type":"emerita","ipam":{"type":"host-local","ranges":[[{"subnet":"10.88.0.0/24"}]]}}`, name)
		h.refused(h.command("ADD", "a"), cniproto.CodeInvalidConfig)
	}
	if diff := lineDiff(before, testutil.Snapshot(t)); diff != "" {
		t.Errorf("the host differs:\n%s", diff)
	}
}

// What a power cut or a vandal left of the state keeps nobody from working.
func TestTornState(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.must("ADD", "b")
	for name, content := range map[string]string{
		"empty": "", "nul": strings.Repeat("\x00", 800), "half": `{"version":1,"key":{"net`, "other": `{"version":1,"key":{"network":"net","containerID":"z","ifname":"eth0"},"phase":"ready"}`,
		"newer": `{"version":99}`, "list": `[]`, "null": `null`,
	} {
		h.must("ADD", "a")
		for _, file := range h.files("/var/lib/cni/emerita") {
			if raw, err := os.ReadFile(file); err != nil {
				t.Fatal(err)
			} else if strings.Contains(string(raw), `"containerID":"a"`) || strings.HasSuffix(file, "sysctls.json") && name != "other" {
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		// It is attached, as far as anybody can tell by the interface.
		h.refused(h.command("ADD", "a"), cniproto.CodeNetlink)
		h.must("STATUS", "a")
		h.must("DEL", "a")
		if held := h.held(); len(held) != 1 {
			t.Errorf("record %s: %q are held after DEL", name, held)
		}
		if exec.Command("ip", "link", "show", h.hostEnd("a")).Run() == nil {
			t.Errorf("record %s: the interface is there after DEL", name)
		}
		h.ping("b", "192.0.2.2")
	}
}

// A router advertisement from a container is nothing to the host, even to one
// that listens to them by default (CVE-2020-10749).
func TestRouterAdvertisementFromContainer(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	testutil.Run(t, "sysctl", "-qw", "net.ipv6.conf.default.accept_ra=2", "net.ipv6.conf.all.accept_ra=2")
	h.config = strings.Replace(hostConfig, `[[{`, `[[{"subnet":"2001:db8:8888::/64"}],[{`, 1)
	h.must("ADD", "a")
	h.must("ADD", "b")
	before := h.snapshot()
	ns, err := netns.Open("/run/netns/a")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if err := ns.Do(advertise); err != nil {
		t.Fatal(err)
	}
	h.ping("a", "2001:db8:8888::1") // by now the host has read what came before
	if diff := lineDiff(before, h.snapshot()); diff != "" {
		t.Errorf("the host differs:\n%s", diff)
	}
	if routes := testutil.Run(t, "ip", "-n", "b", "-6", "route"); strings.Contains(routes, "proto ra") {
		t.Errorf("another container listens: %s", routes)
	}
}

// advertise sends to all nodes, from eth0, that this is a router for an hour,
// with the prefix 2001:db8:bad::/64 on the link (RFC 4861, 4.2 and 4.6.2).
func advertise() error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	if err := unix.BindToDevice(fd, "eth0"); err != nil {
		return err
	}
	msg := []byte{134, 0, 0, 0, 64, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0}
	msg = append(msg, 3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0)
	msg = append(msg, 0x20, 0x01, 0x0d, 0xb8, 0x0b, 0xad, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	allNodes := &unix.SockaddrInet6{Addr: [16]byte{0: 0xff, 1: 2, 15: 1}}
	return unix.Sendto(fd, msg, 0, allNodes)
}
