// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// portsExample is a run in which emerita's ADD takes 2 ms, that of iptables 50 and that
// of nftables 10; emerita's connections take 40 µs, those of iptables 50 and those of
// nftables 30, however many ports are published; and nothing was reached from the host.
func portsExample(t *testing.T) *portsResults {
	t.Helper()
	p, err := newPortsPlan(options{variants: strings.Join(portsVariantNames(), ","), rounds: 11})
	if err != nil {
		t.Fatal(err)
	}
	r := &portsResults{
		Machine: machine{Date: "2026-01-02", Kernel: "6.12.0", CPU: "a CPU", CPUs: 2}, Plan: p,
		Skipped: []string{"emerita-1, connections from the host: refused"}, Failures: []string{},
	}
	for _, c := range p.Calls {
		for v, ms := range map[string]int{portsEmerita: 2, portsIPTables: 50, portsNFTables: 10} {
			wall := time.Duration(ms) * time.Millisecond
			r.addCall(opAdd, v, c, sample{wall: wall, cpu: wall / 2})
			r.addCall(opDel, v, c, sample{wall: wall, cpu: wall / 2})
		}
	}
	for _, part := range connParts() {
		for v, us := range map[string]float64{portsEmerita: 40, portsIPTables: 50, portsNFTables: 30, portsDirect: 20} {
			published := p.Published
			if v == portsDirect {
				published = []int{0}
			}
			for _, n := range published {
				res := traffic.Result{Rate: us, P50: us, P99: us, Connect50: us, Connect99: us}
				r.add(portsKey{connMetric{fromOutside, sameCPU}.figure(part), v, 0, n}, part.of(res))
			}
		}
	}
	return r
}

func TestPortsVerdicts(t *testing.T) {
	t.Parallel()
	r := portsExample(t)
	var got []string
	for _, g := range portsGoals()[:8] {
		_, whose := g.best(r)
		got = append(got, whose+" "+g.text()+" "+g.ratioText(g.ratio(r))+" "+g.verdict(r))
	}
	latency, rate := "portmap-nftables ≤ 1.00x 1.33x not met", "portmap-iptables ≥ 1.00x 0.80x not met"
	want := []string{
		"portmap-iptables ≤ 1/10 1/25 met", "portmap-nftables ≤ 1/10 1/5 not met", "emerita ≤ 1.20x 1.00x met",
		latency, latency, latency, latency, rate,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if got := portsGoals()[8].verdict(r); got != "not measured" {
		t.Errorf("cross CPU, which the run lacks, is %q", got)
	}
}

func TestPortsGoalsAreMeasured(t *testing.T) {
	t.Parallel()
	p := portsExample(t).Plan
	for _, g := range portsGoals() {
		for _, k := range append([]portsKey{g.own}, g.refs...) {
			timed := slices.ContainsFunc(p.Calls, func(c portsCall) bool { return c.Ports == k.Ports && c.Published == k.Published })
			if k.Ports > 0 && !timed || k.Ports == 0 && !p.connects(k.Variant, k.Published, fromOutside) {
				t.Errorf("%s compares %+v, which is not measured", g.what, k)
			}
		}
	}
}

func TestPortsHosts(t *testing.T) {
	t.Parallel()
	p := portsExample(t).Plan
	for variant, want := range map[string][]int{portsEmerita: {0, 1, 1000}, portsNFTables: {0, 1, 1000}, portsDirect: {0}} {
		if diff := cmp.Diff(want, p.hosts(variant)); diff != "" {
			t.Errorf("hosts of %s (-want +got):\n%s", variant, diff)
		}
	}
	taken := map[int]bool{}
	for _, c := range p.Calls {
		for _, m := range mappings(0, c.Ports) {
			taken[m.HostPort] = true
		}
	}
	groups := groupsOf(1000, p.Each)
	if len(groups) != 5 {
		t.Errorf("1,000 ports are in %d containers, want 5", len(groups))
	}
	for _, m := range slices.Concat(groups...) {
		if taken[m.HostPort] {
			t.Errorf("port %d is of two", m.HostPort)
		}
		taken[m.HostPort] = true
	}
	if got := groupsOf(0, p.Each); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("no ports are %v, want one container without", got)
	}
}

func TestPortMappingsGoToTheCapable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		portsEmerita: {"emerita with 2"}, portsDirect: {"bridge with 0"},
		portsIPTables: {"bridge with 0", "portmap with 2 by iptables"}, portsNFTables: {"bridge with 0", "portmap with 2 by nftables"},
	} {
		var got []string
		for _, l := range newPortsVariant(name).chain() {
			b, err := l.stdin(nil, map[string]any{"portMappings": mappings(0, 2), "bandwidth": 1})
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				Type, Backend string
				IPMasq        bool
				RuntimeConfig struct {
					PortMappings []portMapping
					Bandwidth    int
				}
			}
			if err := json.Unmarshal(b, &c); err != nil {
				t.Fatal(err)
			}
			if c.RuntimeConfig.Bandwidth != 0 {
				t.Errorf("%s gets a capability that it does not have", name)
			}
			if c.IPMasq {
				t.Errorf("%s has ipMasq", name)
			}
			text := c.Type + " with " + thousands(len(c.RuntimeConfig.PortMappings))
			if c.Backend != "" {
				text += " by " + c.Backend
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNewPortsPlanRefuses(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"a variant of another sub-command": {variants: "bridge-masq", rounds: 1},
		"no rounds":                        {variants: portsEmerita},
		"no rounds of a quick run":         {variants: portsEmerita, quick: true},
	} {
		if _, err := newPortsPlan(o); err == nil {
			t.Errorf("newPortsPlan accepted %s", name)
		}
	}
}

func TestMentions(t *testing.T) {
	t.Parallel()
	const rules = "tcp . 20000 : 10.1.0.2 . 8000, dnat to 10.1.0.2:8000, 10.1.0.21:80, 210.1.0.2, 1.10.1.0.2\nip saddr 10.1.0.2"
	if got := mentions(rules, "10.1.0.2"); got != 3 {
		t.Errorf("mentions = %d, want 3", got)
	}
}

func TestPortsTablesAreRectangular(t *testing.T) {
	t.Parallel()
	for _, r := range []*portsResults{portsExample(t), {Plan: portsExample(t).Plan}} {
		for _, tab := range portsTables(r) {
			if len(tab.head) == 0 {
				t.Errorf("table %q has no head", tab.title)
			}
			for _, row := range tab.rows {
				if len(row) != len(tab.head) {
					t.Errorf("table %q: row %q has %d cells, the head %d", tab.title, row, len(row), len(tab.head))
				}
			}
		}
	}
}

func TestDirectIsShownBesideAll(t *testing.T) {
	t.Parallel()
	tab := portsConnTable(portsExample(t), fromOutside, "")
	for _, row := range tab.rows[:2] {
		if got := row[slices.Index(tab.head, portsDirect)]; got != "20.0 (20.0–20.0)" {
			t.Errorf("direct beside %s ports = %q", row[1], got)
		}
	}
}

func TestWritePortsReport(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*portsResults{
		"full":  portsExample(t),
		"empty": {Plan: portsExample(t).Plan, Failures: []string{"emerita-1: boom"}, Series: []*portsSeries{}},
	} {
		dir := filepath.Join(t.TempDir(), name)
		var stdout bytes.Buffer
		if err := writePortsReport(dir, want, &stdout); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files := map[string][]byte{}
		for file, start := range map[string]string{
			"ports.json": "{\n", "ports.md": "# Published ports\n", "ports.svg": "<?xml", "ports.png": "\x89PNG",
		} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b, []byte(start)) {
				t.Errorf("%s: %s begins with %q, want %q", name, file, b[:min(len(b), 20)], start)
			}
			files[file] = b
		}
		if got := bytes.Contains(files["ports.md"], []byte("\n## Skipped\n\n* emerita-1, ")); got != (name == "full") {
			t.Errorf("%s: skipped is told: %v", name, got)
		}
		var got portsResults
		if err := json.Unmarshal(files["ports.json"], &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, &got, cmp.AllowUnexported(portsSeries{})); diff != "" {
			t.Errorf("%s: decoded (-want +got):\n%s", name, diff)
		}
	}
}
