// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/netns"
	"github.com/emerita-cni/emerita/internal/testutil"
)

// A half is a network of two containers: the caller (0) and the answerer (1). The
// tests of acceleration have two halves, one without it and one with it, and compare.
type half struct {
	*host
	on     bool
	number int // of the network
	ids    [2]string
	spaces [2]*netns.NS
}

// accelerationConfig is a network of both families.
func accelerationConfig(number int, on bool) string {
	return netConfig(number, fmt.Sprintf(`"socketAcceleration":%t,"isolation":"off"`, on))
}

// needsAcceleration skips a test on a kernel that cannot.
func needsAcceleration(t *testing.T) {
	t.Helper()
	testutil.Needs(t, testutil.SockMapLink, testutil.SockOps, testutil.Cgroup2)
}

// newHalves are on one host, so that both meet the same programs and the same load.
func newHalves(t *testing.T) [2]*half {
	t.Helper()
	needsAcceleration(t)
	h := newHost(t)
	testutil.Netns(t, "c")
	testutil.Netns(t, "d")
	return [2]*half{newHalf(h, 1, false, "a", "b"), newHalf(h, 2, true, "c", "d")}
}

func newHalf(h *host, number int, on bool, ids ...string) *half {
	h.t.Helper()
	x := &half{host: h, on: on, number: number, ids: [2]string(ids)}
	h.config = accelerationConfig(number, on)
	for i, id := range x.ids {
		h.must("ADD", id)
		x.enter(i)
	}
	return x
}

// enter opens the namespace of a container, as goroutines other than the test's cannot.
func (x *half) enter(who int) {
	x.t.Helper()
	ns, err := spaceOf(x.ids[who])
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { ns.Close() })
	x.spaces[who] = ns
}

func (x *half) String() string {
	if x.on {
		return "accelerated"
	}
	return "plain"
}

// A way is how the caller gets to the answerer.
type way struct {
	name                 string
	listen, dial, caller string // addresses, with the network's number
}

func ways() []way {
	return []way{
		{"IPv4", "10.%d.0.3", "10.%d.0.3", "10.%d.0.2"},
		{"IPv6", "fd00:%d::3", "fd00:%d::3", "fd00:%d::2"},
		{"IPv4 to both", "::", "10.%d.0.3", "10.%d.0.2"},
		{"v4-mapped", "::", "::ffff:10.%d.0.3", "::ffff:10.%d.0.2"},
	}
}

// in fills in the number of the network.
func (x *half) in(form string) netip.Addr {
	if strings.Contains(form, "%") {
		form = fmt.Sprintf(form, x.number)
	}
	return netip.MustParseAddr(form)
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Paths of a direction, as `emerita flows` has them.
const (
	bySocket = "socket"
	byTCP    = "tcp"
	idle     = "idle"
	enrolled = "enrolled" // any of the three
	apart    = ""         // the connection is not in the list
)

// takes says that a connection goes these ways, from the caller and from the answerer:
// a test of what is accelerated that is not would prove nothing. Of the plain half none
// is in the list.
func (x *half) takes(c conn, when, caller, answerer string) {
	x.t.Helper()
	want := [2]string{caller, answerer}
	if !x.on {
		want = [2]string{apart, apart}
	}
	got := x.paths(c)
	for i := range want {
		if got[i] != want[i] && (want[i] != enrolled || got[i] == apart) {
			x.t.Errorf("%s, %s: paths %q, want %q", x, when, got, want)
			return
		}
	}
}

func (x *half) paths(c conn) (out [2]string) {
	x.t.Helper()
	for _, f := range x.flows() {
		for i := range out {
			if f.network == "n"+strconv.Itoa(x.number) && f.from == c.ends[i].at.String() && f.to == c.ends[1-i].at.String() {
				out[i] = f.path
			}
		}
	}
	return out
}

// tortureWait is for what must come, while others of these tests keep the machine busy.
const tortureWait = 30 * time.Second

// scaled is less on an emulated machine, which takes some twenty times as long.
func scaled(n int) int {
	if emulated() {
		return max(1, n/10)
	}
	return n
}

func emulated() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(info), "QEMU TCG")
}
