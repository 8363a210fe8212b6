// SPDX-License-Identifier: MIT OR Apache-2.0

package testutil

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// requireRoot makes a test that lacks root fail instead of skip, so that a run
// in which everything was skipped cannot pass for a good one.
const requireRoot = "EMERITA_REQUIRE_ROOT"

// TB is what the helpers need of *testing.T, and of testscript's environment.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Root skips a test that needs root and has none.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv(requireRoot) != "" {
		t.Fatal("the test needs root, and " + requireRoot + " is set")
	}
	t.Skip("needs root")
}

// EnterHost moves the calling goroutine for the rest of its life to a host of
// its own: a network namespace with an uplink to a neighbour namespace
// "outside" (192.0.2.1 and 2001:db8::1 for the host, .2 and ::2 there, the
// default routes lead there), and a mount namespace with empty /run,
// /var/lib and bpffs. Processes that it starts are there too. Everything vanishes with
// the goroutine's thread. Subtests run in goroutines of their own. Nobody on the
// uplink has a link-local address: whoever has one solicits routers, for ever.
func EnterHost(t TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread must not serve anybody else
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		t.Fatalf("unshare network and mount namespace: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make mounts private: %v", err)
	}
	for _, dir := range []string{"/run", "/var/lib"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			t.Fatalf("mount tmpfs on %s: %v", dir, err)
		}
	}
	for unix.Unmount("/sys/fs/bpf", unix.MNT_DETACH) == nil { // a test that unmounts ours finds nothing below
	}
	if err := unix.Mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700"); err != nil {
		t.Fatalf("mount bpffs: %v", err)
	}
	Run(t, "ip", "link", "set", "lo", "up")
	Netns(t, "outside")
	for _, line := range []string{
		"link add uplink0 mtu 1450 type veth peer name eth0 mtu 1450 netns outside",
		"addr add 192.0.2.1/24 dev uplink0",
		"addr add 2001:db8::1/64 dev uplink0 nodad",
		"link set uplink0 addrgenmode none", // the kernel's address is tentative for a second, and snapshots show it
		"link set uplink0 up",
		"-n outside addr add 192.0.2.2/24 dev eth0",
		"-n outside addr add 2001:db8::2/64 dev eth0 nodad",
		"-n outside link set eth0 addrgenmode none", // a host that forwards learns of neighbours that solicit
		"-n outside link set eth0 up",
		"-n outside link set lo up",
		"route add default via 192.0.2.2",
		"-6 route add default via 2001:db8::2",
		"link show dev uplink0", // has both ends' carrier seen at once, not up to a second late
		"-n outside link show dev eth0",
	} {
		Run(t, "ip", strings.Fields(line)...)
	}
}

// Netns makes a named network namespace, and returns its path.
func Netns(t TB, name string) string {
	t.Helper()
	Run(t, "ip", "netns", "add", name)
	return "/run/netns/" + name
}

// Run runs a command and returns its output; it must succeed.
func Run(t TB, name string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}
