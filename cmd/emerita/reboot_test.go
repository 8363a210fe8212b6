// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// smallConfig has five addresses, 10.88.0.2 to .6.
const smallConfig = `{"cniVersion":"1.1.0","name":"net","type":"emerita","ipMasq":true,` +
	`"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.88.0.0/29"}]]}}`

// reboot takes from the host what no boot leaves: namespaces, links, nftables,
// /run and settings; /var/lib stays, with files from before the boot.
func (h *host) reboot(containers []string) {
	h.t.Helper()
	for _, id := range containers {
		testutil.Run(h.t, "ip", "-n", id, "link", "del", "eth0")
		testutil.Run(h.t, "ip", "netns", "del", id)
		testutil.Netns(h.t, id)
	}
	testutil.Run(h.t, "ip", "link", "del", "emerita0")
	testutil.Run(h.t, "nft", "flush", "ruleset")
	testutil.Run(h.t, "sysctl", "-qw", "net.ipv4.conf.uplink0.forwarding=0")
	fake := h.t.TempDir() + "/boot_id"
	if err := os.WriteFile(fake, []byte("11111111-2222-3333-4444-555555555555\n"), 0o400); err != nil {
		h.t.Fatal(err)
	}
	if err := unix.Mount(fake, "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		h.t.Fatal(err)
	}
	old := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, file := range h.files("/var/lib/cni") {
		if err := os.Chtimes(file, old, old); err != nil {
			h.t.Fatal(err)
		}
	}
}

// After a reboot the network that was full takes everybody again: those who come
// back get their address back, and those who do not come do not keep theirs.
func TestReboot(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.config = smallConfig
	ids := []string{"a", "b", "pod2", "pod3", "pod4"}
	had := map[string]string{}
	for _, id := range ids[2:] {
		testutil.Netns(t, id)
	}
	for _, id := range ids {
		had[id] = h.address(h.must("ADD", id))
	}
	h.reboot(ids)

	// STATUS must not keep the runtime from calling at all.
	h.must("STATUS", "a")
	for i, id := range []string{"pod3", "a", "pod4"} {
		if got := h.address(h.must("ADD", id)); got != had[id] {
			t.Errorf("%s had %s, has %s", id, had[id], got)
		}
		h.ping(id, "192.0.2.2")
		if held := h.held(); len(held) != len(ids) {
			t.Errorf("after %d ADDs: %d addresses are held", i+1, len(held))
		}
	}
	seen := map[string]bool{had["pod3"]: true, had["a"]: true, had["pod4"]: true}
	for i := range 2 {
		id := fmt.Sprintf("new%d", i)
		testutil.Netns(t, id)
		got := h.address(h.must("ADD", id))
		if seen[got] {
			t.Errorf("%s has %s, which is somebody else's", id, got)
		}
		seen[got] = true
		h.ping(id, "192.0.2.2")
	}
	testutil.Netns(t, "late")
	if out, code := h.outcome(h.command("ADD", "late")); code == 0 {
		t.Errorf("a sixth container got an address: %s", out)
	}
	// A DEL of the boot before may still come, and is not the new ones' business.
	h.must("DEL", "b")
	h.must("DEL", "pod2")
	h.ping("new0", "192.0.2.2")
	h.ping("new1", "192.0.2.2")
	if held := h.held(); len(held) != len(ids) {
		t.Errorf("after late DELs: %d addresses are held", len(held))
	}
}

// Reservations that upstream's host-local made before the boot are free as well,
// those of this boot are not.
func TestRebootWithForeignReservations(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.config = smallConfig
	h.must("ADD", "a")
	for i := 3; i <= 6; i++ {
		name := fmt.Sprintf("/var/lib/cni/networks/net/10.88.0.%d", i)
		if err := os.WriteFile(name, fmt.Appendf(nil, "other%d\r\neth0", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := h.outcome(h.command("ADD", "b")); code == 0 {
		t.Fatalf("an address of somebody else's of this boot was taken: %s", out)
	}
	h.reboot([]string{"a"})
	if got := h.address(h.must("ADD", "a")); got != "10.88.0.2" {
		t.Errorf("a has %s", got)
	}
	h.must("ADD", "b")
	h.ping("b", "192.0.2.2")
}
