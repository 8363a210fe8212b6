// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/state"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// web is a mapping of one port of the host to port 80.
func web(port int) string {
	return fmt.Sprintf(`[{"hostPort":%d,"containerPort":80}]`, port)
}

// TestPortsOfEarlierAttachment: a container that comes back without DEL, and with other
// ports, has only those.
func TestPortsOfEarlierAttachment(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.add("a", web(8080))
	testutil.Run(t, "ip", "link", "del", p.hostEnd("a"))
	p.serve("a", "tcp", p.add("a", web(9090))+":80", "a")
	p.hears("outside", "tcp", "192.0.2.1:9090", "a hears 192.0.2.2")
	p.hearsNothing("outside", "192.0.2.1:8080")
	p.hearsNothing("host", "127.0.0.1:8080")
	p.serve("b", "tcp", p.add("b", web(8080))+":80", "b")
	p.hears("outside", "tcp", "192.0.2.1:8080", "b hears 192.0.2.2")
}

// TestLateDELAfterReboot: the interface of a record from before a boot has another's index
// by now, whose ports stay.
func TestLateDELAfterReboot(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	testutil.Netns(t, "far")
	p.add("a", web(8080))
	old := p.index(p.hostEnd("a"))
	testutil.Run(t, "ip", "link", "del", p.hostEnd("a"))
	p.serve("b", "tcp", p.add("b", web(9090))+":80", "b")
	config := p.config
	p.config = otherConfig
	p.must("ADD", "far")
	p.config = config
	testutil.Run(t, "sh", "-c", fmt.Sprintf(`sed -i 's/"hostIfIndex":%d,/"hostIfIndex":%d,/' /var/lib/cni/emerita/net@*`, old, p.index(p.hostEnd("b"))))
	p.hears("far", "tcp", "192.0.2.1:9090", "b hears 10.2.0.2")
	p.must("DEL", "a")
	p.hears("far", "tcp", "192.0.2.1:9090", "b hears 10.2.0.2")
	p.checked("b", web(9090), 0)
}

func (p publisher) index(link string) int {
	p.t.Helper()
	i, err := net.InterfaceByName(link)
	if err != nil {
		p.t.Fatal(err)
	}
	return i.Index
}

// oneConfig is a network with one address for containers.
const oneConfig = `{"cniVersion":"1.1.0","name":"net","type":"emerita","ipMasq":true,` +
	`"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":"10.1.0.0/30"}]]}}`

// TestPortsOfDead: the ports of a container that is gone without DEL do not lead to the
// one that gets its address.
func TestPortsOfDead(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.config = oneConfig
	had := p.add("a", web(8080))
	testutil.Run(t, "ip", "link", "del", p.hostEnd("a"))
	if got := p.address(p.must("ADD", "b")); got != had {
		t.Fatalf("b has %s, not a's %s", got, had)
	}
	p.serve("b", "tcp", had+":80", "b")
	p.hearsNothing("outside", "192.0.2.1:8080")
	testutil.Run(t, "nft", "flush", "ruleset")
	p.must("DEL", "b")
	p.must("ADD", "b")
	p.hearsNothing("outside", "192.0.2.1:8080")
}

// TestPortsAfterReboot: records of the time before a boot publish nothing.
func TestPortsAfterReboot(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.config = smallConfig
	p.add("a", web(8080))
	p.reboot([]string{"a"})
	testutil.Run(t, "rm", "-r", "/var/lib/cni/networks") // as where dataDir is in /run
	p.serve("b", "tcp", p.address(p.must("ADD", "b"))+":80", "b")
	p.hearsNothing("outside", "192.0.2.1:8080")
}

// TestKilledBeforeClaim: two ADDs for one port are killed when they have written it down
// and not claimed it yet. The table can be built all the same.
func TestKilledBeforeClaim(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	testutil.Netns(t, "c")
	config := p.config
	p.config = with(config, web(8080))
	p.must("ADD", "a") // so that the directories of all are there
	p.must("DEL", "a")
	for _, id := range []string{"a", "b"} {
		for n := 1; !p.wroteDownPorts(id); n++ {
			if p.must("DEL", id); !killAt(t, p.command("ADD", id), []uint64{unix.SYS_MKDIRAT}, n) {
				t.Fatal("no call makes the directory of claims")
			}
		}
	}
	p.config = strings.Replace(hostConfig, `"net"`, `"other"`, 1)
	p.must("ADD", "c")
	p.config = config
	p.must("DEL", "b")
	p.serve("a", "tcp", p.add("a", web(8080))+":80", "a")
	p.hears("outside", "tcp", "192.0.2.1:8080", "a hears 192.0.2.2")
}

// wroteDownPorts says whether a container's record, if it has one, has ports.
func (p publisher) wroteDownPorts(id string) bool {
	name := state.Key{Network: "net", ContainerID: id, IfName: "eth0"}
	out, _ := exec.Command("sh", "-c", "cat /var/lib/cni/emerita/net@"+name.Hash()+".json").Output()
	return strings.Contains(string(out), `"ports":`)
}
