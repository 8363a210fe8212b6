// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// longAgo is before any boot.
var longAgo = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// reboot makes every reservation older than the boot.
func (o *office) reboot() {
	o.t.Helper()
	for name := range o.held() {
		must(o.t, os.Chtimes(filepath.Join(o.dir(), name), longAgo, longAgo))
	}
}

// fill adds containers until none of a /29 is left: 10.0.0.2-6.
func (o *office) fill() {
	o.t.Helper()
	for _, who := range []string{"c2", "c3", "c4", "c5", "c6"} {
		o.mustAdd(who, Hooks{})
	}
}

// host-local was killed between creating and writing (plugins#498), or the
// power went.
func TestTornReservationIsFree(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	o.write("10.0.0.2", "")
	wantAddrs(t, o.mustAdd("ann", Hooks{}), "10.0.0.2")
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0"})

	// NULs are looked for only when the range is exhausted, because that
	// takes reading the file.
	o.write("10.0.0.3", "\x00\x00\x00\x00")
	wantAddrs(t, o.mustAdd("bob", Hooks{}), "10.0.0.4")
	o.mustAdd("c5", Hooks{})
	o.mustAdd("c6", Hooks{})
	wantAddrs(t, o.mustAdd("eve", Hooks{}), "10.0.0.3")
}

func TestGarbageIsTaken(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/30")
	o.write("10.0.0.2", "x\x00y")
	_, err := o.manager("ann").Add(t.Context(), Hooks{})
	wantError(t, err, cniproto.CodeIPAM, "no free address")
}

// Killed between link and unlink, the reservation has the temporary file as its
// second name; whoever comes next must neither truncate nor distrust it.
func TestKillBetweenLinkAndUnlink(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"Add of another", "Del", "Del without record", "Check", "GC"} {
		t.Run(next, func(t *testing.T) {
			t.Parallel()
			o := subnet(t, "10.0.0.0/29")
			got := o.mustAdd("ann", Hooks{})
			must(t, os.Link(filepath.Join(o.dir(), "10.0.0.2"), filepath.Join(o.dir(), tempName)))
			ann := o.manager("ann")
			switch next {
			case "Add of another":
				wantAddrs(t, o.mustAdd("bob", Hooks{}), "10.0.0.3")
				o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0", "10.0.0.3": "bob\r\neth0"})
			case "Del":
				must(t, ann.Del(t.Context(), &Claim{Dir: o.dir(), Addrs: got}))
				o.wantHeld(map[string]string{})
			case "Del without record":
				must(t, ann.Del(t.Context(), nil))
				o.wantHeld(map[string]string{})
			case "Check":
				must(t, ann.Check(t.Context(), nil))
				o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0"})
			case "GC":
				must(t, ann.GC(t.Context(), nil))
				o.wantHeld(map[string]string{})
			}
		})
	}
}

func TestStaleTempIsReplaced(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	o.write(tempName, "half a conta")
	wantAddrs(t, o.mustAdd("ann", Hooks{}), "10.0.0.2")
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0"})
}

func TestExhaustion(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	o.fill()
	asked := map[string]int{}
	_, err := o.manager("late").Add(t.Context(), Hooks{Alive: func(id, ifname string) (bool, bool) {
		asked[id+"/"+ifname]++
		return true, true
	}})
	wantError(t, err, cniproto.CodeIPAM, "no free address", `"office"`, "range set 0", "10.0.0.1-10.0.0.6", "GC")
	wantEqual(t, asked, map[string]int{"c2/eth0": 1, "c3/eth0": 1, "c4/eth0": 1, "c5/eth0": 1, "c6/eth0": 1})
	if n := len(o.held()); n != 5 {
		t.Errorf("%d reservations, want 5", n)
	}
	o.mustDel("c4", nil)
	wantAddrs(t, o.mustAdd("late", Hooks{}), "10.0.0.4")
}

func TestSweepReleasesTheDead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		who      string
		rebooted bool
		alive    func(id, ifname string) (alive, known bool)
		want     string // "" is exhausted
		left     int
	}{
		{"all alive", "late", false, func(string, string) (bool, bool) { return true, true }, "", 5},
		{"own and alive across a reboot", "late", true, func(string, string) (bool, bool) { return true, true }, "", 5},
		{"one known to be dead", "late", false, func(id, _ string) (bool, bool) { return id != "c5", true }, "10.0.0.5", 5},
		{"unknown of this boot", "late", false, func(string, string) (bool, bool) { return false, false }, "", 5},
		{"unknown from before the boot", "late", true, func(string, string) (bool, bool) { return false, false }, "10.0.0.2", 1},
		{"nobody to ask, this boot", "late", false, nil, "", 5},
		{"nobody to ask, before the boot", "late", true, nil, "10.0.0.2", 1},
		{"the same key", "c4", false, func(string, string) (bool, bool) { return true, true }, "10.0.0.4", 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := subnet(t, "10.0.0.0/29")
			o.fill()
			if test.rebooted {
				o.reboot()
			}
			result, err := o.manager(test.who).Add(t.Context(), Hooks{Alive: test.alive})
			if test.want == "" {
				wantError(t, err, cniproto.CodeIPAM, "no free address")
			} else {
				must(t, err)
				wantAddrs(t, addrsOf(result), test.want)
			}
			if n := len(o.held()); n != test.left {
				t.Errorf("%d reservations left, want %d", n, test.left)
			}
		})
	}
}

// An address taken again after a reboot is of this boot: the next sweep must
// not take it for dead.
func TestPreferRenewsTheReservation(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/30") // one address
	o.mustAdd("ann", Hooks{})
	o.reboot()
	wantAddrs(t, o.mustAdd("ann", Hooks{Prefer: addrs("10.0.0.2")}), "10.0.0.2")
	_, err := o.manager("bob").Add(t.Context(), Hooks{})
	wantError(t, err, cniproto.CodeIPAM, "no free address")
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0"})
}

// A sweep for the second range set must not lose the choice for the first.
func TestSweepKeepsEarlierChoice(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]any{"ranges": [][]map[string]string{{{"subnet": "10.0.0.0/30"}}, {{"subnet": "10.0.1.0/30"}}}})
	o.write("10.0.0.2", "ann\r\neth0")
	o.write("10.0.1.2", "gone\r\neth0")
	got := o.mustAdd("ann", Hooks{
		Prefer: addrs("10.0.0.2"),
		Alive:  func(string, string) (bool, bool) { return false, true },
	})
	wantAddrs(t, got, "10.0.0.2", "10.0.1.2")
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0", "10.0.1.2": "ann\r\neth0"})
}
