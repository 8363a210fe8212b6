// SPDX-License-Identifier: MIT OR Apache-2.0

package nft

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/internal/testutil"
)

func network(prefix string, masq bool) Network {
	return Network{Prefix: netip.MustParsePrefix(prefix), Masquerade: masq}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustPresent(t *testing.T, want bool, networks ...Network) {
	t.Helper()
	got, err := Present(networks...)
	must(t, err)
	if got != want {
		t.Errorf("Present(%v) = %v, want %v", networks, got, want)
	}
}

func TestOutermost(t *testing.T) {
	t.Parallel()
	list := []Network{
		network("10.0.0.0/8", true), network("10.1.0.0/16", false), network("192.168.0.0/24", false),
		network("192.168.1.0/24", true), network("fd00::/64", true),
	}
	var got []string
	for _, p := range outermost(list, true, false) {
		got = append(got, p.String())
	}
	slices.Sort(got)
	if d := cmp.Diff([]string{"10.0.0.0/8", "192.168.0.0/24", "192.168.1.0/24"}, got); d != "" {
		t.Error(d)
	}
	if got := outermost(list, true, true); len(got) != 2 {
		t.Errorf("masqueraded: %v", got)
	}
}

func TestMarkersAreOfTheirSize(t *testing.T) {
	t.Parallel()
	a, b := network("10.0.0.0/8", true).marker(), network("10.0.0.0/8", false).marker()
	if len(a) != markerLen || a[markerLen-1] != 0 || slices.Equal(a, b) {
		t.Errorf("%q, %q", a, b)
	}
	n, ok := parseNetwork(network("fd00::/64", true).comment())
	if !ok || n != network("fd00::/64", true) {
		t.Errorf("comment is read back as %v, %v", n, ok)
	}
}

func TestAddMakesATableAnOperatorCanRead(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	a, b, c := network("10.88.0.0/16", true), network("fd00:88::/64", true), network("10.99.0.0/16", false)
	last := network("255.255.0.0/16", false) // the interval ends with the address space
	mustPresent(t, false, a)
	must(t, Add([]Network{a, b}, nil))
	must(t, Add([]Network{c, last}, nil))
	mustPresent(t, true, a, b, c, last)
	mustPresent(t, false, network("10.88.0.0/16", false))
	mustPresent(t, false, network("10.77.0.0/16", true))

	out := testutil.Run(t, "nft", "list", "table", "inet", "emerita")
	for _, want := range []string{
		"type nat hook postrouting priority srcnat; policy accept;",
		"elements = { 10.88.0.0/16 }",
		"elements = { 10.88.0.0/16, 10.99.0.0/16,",
		"ip saddr @masquerade4 ip daddr != @local4 masquerade",
		"ip6 saddr @masquerade6 ip6 daddr != @local6 masquerade",
		"ip daddr 224.0.0.0/4 return", "ip6 daddr ff00::/8 return",
		"ip daddr 169.254.0.0/16 return", "ip6 daddr fe80::/10 return",
		"type nat hook prerouting priority dstnat; policy accept;", "type nat hook output priority -100; policy accept;",
		"fib daddr type local jump ports", "ip daddr 127.0.0.0/8 return", "ip6 daddr ::1 return",
		"dnat ip to meta l4proto . ip daddr . th dport map @hostports4", "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports4",
		"dnat ip6 to meta l4proto . ip6 daddr . th dport map @hostports6", "meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @ports6",
		"ct status dnat ip saddr . ip daddr @same4 masquerade", "ct status dnat ip6 saddr . ip6 daddr @same6 masquerade",
		`comment "10.88.0.0/16 masquerade"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	got, err := List()
	must(t, err)
	if want := normalize([]Network{a, b, c, last}); !slices.Equal(got, want) {
		t.Errorf("List: %v, want %v", got, want)
	}
}

// TestASavedRulesetLoads: distributions save the ruleset and load it at boot.
func TestASavedRulesetLoads(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	networks := []Network{network("10.88.0.0/16", true), network("fd00:88::/64", false)}
	must(t, Add(networks, nil))
	saved := testutil.Run(t, "nft", "list", "ruleset")
	testutil.Run(t, "nft", "flush", "ruleset")
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(saved)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	mustPresent(t, true, networks...)
	if d := cmp.Diff(saved, testutil.Run(t, "nft", "list", "ruleset")); d != "" {
		t.Error(d)
	}
}

func TestDamageIsSeenAndMended(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	a, b := network("10.88.0.0/16", true), network("10.99.0.0/16", false)
	for _, damage := range []string{
		"flush ruleset",
		"flush table inet emerita",
		"delete table inet emerita",
		"flush set inet emerita networks",
		"flush chain inet emerita postrouting; delete chain inet emerita postrouting",
		"insert rule inet emerita postrouting accept",
	} {
		must(t, Add([]Network{a, b}, nil))
		mustPresent(t, true, a, b)
		testutil.Run(t, "nft", damage)
		mustPresent(t, false, a)
		must(t, Add([]Network{a, b}, nil))
		mustPresent(t, true, a, b)
	}
}

// TestAFlushedSetIsSeenAndMended: networks that are within one another or side by side,
// and the last one of all, are found in each set as long as it holds them.
func TestAFlushedSetIsSeenAndMended(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	networks := []Network{
		network("10.88.0.0/16", true), network("10.88.7.0/24", false), network("10.89.0.0/16", true), network("10.87.0.0/16", false),
		network("255.255.0.0/16", true), network("fd00:88::/64", true), network("fd00:88:0:1::/64", true), network("10.3.2.1/32", true),
	}
	mustLack := func(want string) {
		t.Helper()
		if got, err := Lacks(networks...); err != nil || got == "" != (want == "") || !strings.Contains(got, want) {
			t.Errorf("Lacks: %q, %v, want %q", got, err, want)
		}
	}
	mustLack("set local4")
	must(t, Replace(networks, nil))
	mustLack("")
	for _, set := range []string{"local4", "local6", "masquerade4", "masquerade6", "same4", "same6"} {
		testutil.Run(t, "nft", "flush set inet emerita "+set)
		mustPresent(t, true, networks...)
		mustLack("set " + set + " of table inet emerita lacks network ")
		must(t, Replace(networks, nil))
		mustLack("")
	}
	testutil.Run(t, "nft", "delete element inet emerita masquerade4 { 10.89.0.0/16 }")
	mustLack("lacks network 10.89.0.0/16")
}

func TestReplace(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	a, b := network("10.88.0.0/16", true), network("10.99.0.0/16", false)
	must(t, Replace(nil, nil)) // nothing to remove
	must(t, Add([]Network{a, b}, nil))
	must(t, Replace([]Network{a}, nil))
	mustPresent(t, true, a)
	mustPresent(t, false, b)
	testutil.Run(t, "nft", "flush chain inet emerita postrouting")
	must(t, Replace([]Network{a}, nil))
	mustPresent(t, true, a)
	must(t, Replace(nil, nil))
	if out := testutil.Run(t, "nft", "list", "tables"); strings.TrimSpace(out) != "" {
		t.Errorf("left: %s", out)
	}
}

func TestForeignTablesStay(t *testing.T) {
	testutil.Root(t)
	testutil.EnterHost(t)
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(`
table inet foreign {
	set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
	chain postrouting { type nat hook postrouting priority srcnat; ip saddr @s masquerade; }
}
table ip emerita {
	chain c { type filter hook forward priority 0; counter drop; }
}
`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	before := testutil.Run(t, "nft", "list", "ruleset")
	must(t, Add([]Network{network("10.88.0.0/16", true)}, nil))
	must(t, Add([]Network{network("10.99.0.0/16", false)}, nil))
	must(t, Replace(nil, nil))
	if d := cmp.Diff(before, testutil.Run(t, "nft", "list", "ruleset")); d != "" {
		t.Error(d)
	}
}
