// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"errors"
	"os"
	"testing"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

func TestDel(t *testing.T) {
	t.Parallel()
	before := map[string]string{
		"10.0.0.2": "ann\r\neth0", "10.0.0.3": "ann\r\neth1", "10.0.0.4": "bob\r\neth0",
		"10.0.0.5": "ann", "10.0.0.6": "",
	}
	for _, test := range []struct {
		name  string
		who   string
		known *Claim
		gone  []string
	}{
		{"known", "ann", &Claim{Addrs: addrs("10.0.0.2")}, []string{"10.0.0.2"}},
		{"known, other's", "ann", &Claim{Addrs: addrs("10.0.0.3", "10.0.0.4")}, nil},
		{"known, gone", "ann", &Claim{Addrs: addrs("10.0.0.9")}, nil},
		{"known, old form", "ann", &Claim{Addrs: addrs("10.0.0.5")}, []string{"10.0.0.5"}},
		{"known, nothing", "ann", &Claim{}, nil},
		{"search", "ann", nil, []string{"10.0.0.2"}},
		{"search, stranger", "carl", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := subnet(t, "10.0.0.0/29")
			want := map[string]string{}
			for name, content := range before {
				o.write(name, content)
				want[name] = content
			}
			for _, name := range test.gone {
				delete(want, name)
			}
			o.mustDel(test.who, test.known)
			o.wantHeld(want)
			if test.known != nil { // DEL may come twice
				o.mustDel(test.who, test.known)
			}
			o.wantHeld(want)
		})
	}
}

// As in host-local, a reservation without interface name is the container's
// when there is no other.
func TestDelFindsOldForm(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	o.write("10.0.0.2", " ann \n")
	must(t, o.manager("ann").Check(t.Context(), nil))
	o.mustDel("ann", nil)
	o.wantHeld(map[string]string{})
}

// The configuration's dataDir was changed since the ADD.
func TestDelGoesWhereTheClaimIs(t *testing.T) {
	t.Parallel()
	old := subnet(t, "10.0.0.0/29")
	got := old.mustAdd("ann", Hooks{})
	now := subnet(t, "10.0.0.0/29")
	claim := &Claim{Dir: old.dir(), Addrs: got}
	must(t, now.manager("ann").Check(t.Context(), claim))
	now.mustDel("ann", claim)
	old.wantHeld(map[string]string{})
}

// The configuration names another IPAM, or none, since the ADD.
func TestReleaseWithoutManager(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	claim := Claim{Dir: o.dir(), Addrs: o.mustAdd("ann", Hooks{})}
	o.mustAdd("bob", Hooks{})
	claim.Addrs = append(claim.Addrs, addrs("10.0.0.3", "10.0.0.9")...) // bob's, and nobody's
	for range 2 {
		must(t, Release(t.Context(), claim, o.request("ann").Key, defaultLockTimeout))
		o.wantHeld(map[string]string{"10.0.0.3": "bob\r\neth0"})
	}
}

func TestMissingDirectoryIsNotMade(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	m := o.manager("ann")
	must(t, m.Del(t.Context(), nil))
	must(t, m.Del(t.Context(), &Claim{Dir: o.dir(), Addrs: addrs("10.0.0.2")}))
	must(t, m.GC(t.Context(), nil))
	must(t, m.Status(t.Context()))
	wantError(t, m.Check(t.Context(), nil), cniproto.CodeIPAM, "no reservation")
	wantError(t, m.Check(t.Context(), &Claim{Addrs: addrs("10.0.0.2")}), cniproto.CodeIPAM, "no reservation")
	if _, err := os.Stat(o.dataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dataDir was made: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	got := o.mustAdd("ann", Hooks{})
	o.write("10.0.0.5", "bob\r\neth0")
	m := o.manager("ann")
	must(t, m.Check(t.Context(), nil))
	must(t, m.Check(t.Context(), &Claim{Dir: o.dir(), Addrs: got}))
	wantError(t, m.Check(t.Context(), &Claim{Addrs: append(got, addrs("10.0.0.5")...)}), cniproto.CodeIPAM, "10.0.0.5", "ann")
	wantError(t, m.Check(t.Context(), &Claim{Addrs: addrs("10.0.0.6")}), cniproto.CodeIPAM, "10.0.0.6")
	wantError(t, o.manager("carl").Check(t.Context(), nil), cniproto.CodeIPAM, "carl")
}

func TestGC(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/24")
	for name, content := range map[string]string{
		"10.0.0.2": "ann\r\neth0", "10.0.0.3": "ann\r\neth1", "10.0.0.4": "bob\r\neth0",
		"10.0.0.5": "ann", "10.0.0.6": "bob", "10.0.0.7": "", "10.0.0.8": "\x00\x00", "10.0.0.9": "gar\x00bage",
	} {
		o.write(name, content)
	}
	o.write("README", "not an address")
	must(t, o.manager("").GC(t.Context(), []cniproto.Attachment{{ContainerID: "ann", IfName: "eth0"}, {ContainerID: "carl", IfName: "eth0"}}))
	o.wantHeld(map[string]string{"10.0.0.2": "ann\r\neth0", "10.0.0.5": "ann"})
	for _, name := range []string{"README", lockName} {
		if _, err := os.Stat(o.dir() + "/" + name); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	m := o.manager("")
	must(t, m.Status(t.Context()))
	o.fill()
	wantError(t, m.Status(t.Context()), cniproto.CodeNotAvailable, `"office"`, "range set 0", "10.0.0.1-10.0.0.6")
	o.mustDel("c3", nil)
	must(t, m.Status(t.Context()))

	// An ADD would sweep what a crash or a reboot left.
	o.write("10.0.0.3", "")
	must(t, m.Status(t.Context()))
	o.write("10.0.0.3", "c3\r\neth0")
	o.reboot()
	must(t, m.Status(t.Context()))
}

func TestStatusCountsPerSet(t *testing.T) {
	t.Parallel()
	o := newOffice(t, map[string]any{"ranges": [][]map[string]string{{{"subnet": "fd00::/64"}}, {{"subnet": "10.0.0.0/30"}}}})
	m := o.manager("")
	must(t, m.Status(t.Context()))
	o.mustAdd("ann", Hooks{})
	wantError(t, m.Status(t.Context()), cniproto.CodeNotAvailable, "range set 1")
}

func TestStatusOfImpossibleDirectory(t *testing.T) {
	t.Parallel()
	o := subnet(t, "10.0.0.0/29")
	must(t, os.WriteFile(o.dataDir, nil, 0o600))
	wantError(t, o.manager("").Status(t.Context()), cniproto.CodeNotAvailable, o.dataDir)
}
