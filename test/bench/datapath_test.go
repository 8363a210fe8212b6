// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// pathExample is a run under bbr in which emerita has 5 times what bridge has,
// and bridge half of what loopback has.
func pathExample(t *testing.T) *pathResults {
	t.Helper()
	p, err := newPathPlan(options{variants: strings.Join(pathVariantNames(), ","), rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := &pathResults{
		Machine: machine{Date: "2026-01-02", Kernel: "6.12.0", CPU: "a CPU", CPUs: 2}, Plan: p,
		Congestion: bbr, Programs: []string{pathEmerita}, Failures: []string{},
	}
	for _, m := range p.Metrics {
		if m.Scope != scopeLocal || m.Kind == witness {
			continue
		}
		for variant, v := range map[string]float64{pathLoopback: 2, pathBridge: 1, pathEmerita: 5} {
			if slices.Contains(m.variants(), variant) {
				r.add(m, variant, traffic.Result{Rate: v, P50: v, P99: 2 * v})
			}
		}
	}
	return r
}

func TestPathVerdicts(t *testing.T) {
	t.Parallel()
	verdicts := func(r *pathResults) []string {
		var got []string
		for _, g := range pathGoals()[:16] {
			got = append(got, g.name+" "+g.text()+" "+timesText(g.ratio(r))+" "+g.verdict(r))
		}
		return got
	}
	r := pathExample(t)
	want := []string{
		"P6 ≥ 4.50x 5.00x met", "P6 ≥ 3.00x 2.50x not met",
		"P7 ≥ 1.75x 5.00x met", "P7 ≥ 1.40x 2.50x met",
		"P6 ≥ 4.50x – not measured", "P6 ≥ 3.00x – not measured",
		"P7 ≥ 1.75x – not measured", "P7 ≥ 1.40x – not measured",
		"P8 ≤ 1.03x 2.50x not met",
		"P10 ≥ 1.40x 5.00x met", "P10 ≥ 0.75x 2.50x met",
		"P11 ≥ 1.35x 5.00x met", "P11 ≥ 1.00x 2.50x met",
		"P13 ≥ 1.00x 5.00x met", "P13 ≥ 1.00x – not measured", "P13 ≥ 1.00x – not measured",
	}
	if diff := cmp.Diff(want, verdicts(r)); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	r.Congestion = "cubic"
	if got, want := verdicts(r)[0], "P6 ≥ 4.50x 5.00x only for bbr"; got != want {
		t.Errorf("under cubic: %q, want %q", got, want)
	}
}

func TestPathGoalsAreMeasured(t *testing.T) {
	t.Parallel()
	for _, g := range pathGoals() {
		for _, variant := range []string{g.own, g.ref} {
			if !slices.Contains(g.metric.variants(), variant) {
				t.Errorf("%s compares %q of %s, which is not measured", g.name, g.metric.Name, variant)
			}
		}
	}
}

func TestMetricNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range metrics() {
		if seen[m.Name] {
			t.Errorf("two metrics have the name %q", m.Name)
		}
		seen[m.Name] = true
	}
}

func TestLocalName(t *testing.T) {
	t.Parallel()
	for _, m := range metrics() {
		want := strings.TrimPrefix(m.Name, "host-")
		if m.Scope == scopeOutside {
			want = strings.TrimPrefix(m.Name, "outside-")
		}
		if got := localName(m); got != want {
			t.Errorf("localName(%s) = %q, want %q", m.Name, got, want)
		}
	}
}

func TestPathVariants(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		plugin string
		masq   bool
		fast   any
	}{
		pathBridge: {"bridge", false, nil}, pathBridgeMasq: {"bridge", true, nil}, pathPTP: {"ptp", false, nil},
		pathEmerita: {"emerita", false, "auto"}, pathEmeritaMasq: {"emerita", true, "auto"},
		pathEmeritaOff: {"emerita", false, "off"}, pathEmeritaOffMasq: {"emerita", true, "off"},
		pathEmeritaLocal: {"emerita", false, "auto"}, pathEmeritaBigMasq: {"emerita", true, "auto"},
	} {
		v := newPathVariant(name)
		if v.name != name || v.plugin != want.plugin || v.config["ipMasq"] != want.masq || v.config["fastPath"] != want.fast {
			t.Errorf("%s: %+v, want %+v", name, v, want)
		}
	}
	if v := newPathVariant(pathLoopback); v.plugin != "" {
		t.Errorf("loopback has plugin %q", v.plugin)
	}
}

func TestNewPathPlanRefuses(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"a variant of the other sub-command": {variants: "ptp-masq", rounds: 1},
		"no rounds":                          {variants: pathBridge},
	} {
		if _, err := newPathPlan(o); err == nil {
			t.Errorf("newPathPlan accepted %s", name)
		}
	}
}

func TestPathTablesAreRectangular(t *testing.T) {
	t.Parallel()
	for _, r := range []*pathResults{pathExample(t), {Plan: pathExample(t).Plan}} {
		for _, tab := range pathTables(r) {
			for _, row := range tab.rows {
				if len(row) != len(tab.head) {
					t.Errorf("table %q: row %q has %d cells, the head %d", tab.title, row, len(row), len(tab.head))
				}
			}
		}
	}
}

func TestRatioTableComparesP99WithP99(t *testing.T) {
	t.Parallel()
	r := pathExample(t)
	r.find(pathKey{"turns-same", pathEmerita}).P99 = []float64{6}
	tab := pathRatioTable(r, scopeLocal, "", pathBridge)
	for _, row := range tab.rows {
		if row[0] == "TCP request/response, same CPU, p99" {
			if got := row[slices.Index(tab.head, pathEmerita)]; got != "1.50x / 3.00x" {
				t.Errorf("p99 of emerita = %q, want 1.50x / 3.00x", got)
			}
			return
		}
	}
	t.Error("no row with p99")
}

func TestPathEncodeRoundTrip(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*pathResults{"full": pathExample(t), "empty": {Plan: pathExample(t).Plan, Series: []*pathSeries{}}} {
		b, err := want.encode()
		if err != nil {
			t.Fatal(err)
		}
		var got pathResults
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, b)
		}
		if diff := cmp.Diff(want, &got, cmp.AllowUnexported(pathSeries{})); diff != "" {
			t.Errorf("%s: decoded (-want +got):\n%s", name, diff)
		}
	}
}

func TestWritePathReport(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*pathResults{
		"full":  pathExample(t),
		"empty": {Plan: pathExample(t).Plan, Failures: []string{"udp, bridge: boom"}},
	} {
		dir := filepath.Join(t.TempDir(), name)
		var stdout bytes.Buffer
		if err := writePathReport(dir, r, &stdout); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for file, start := range map[string]string{
			"datapath.json": "{\n", "datapath.md": "# The data path\n", "datapath.svg": "<?xml", "datapath.png": "\x89PNG",
		} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b, []byte(start)) {
				t.Errorf("%s: %s begins with %q, want %q", name, file, b[:min(len(b), 20)], start)
			}
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	address, gateway, err := addresses([]byte(`{"ips":[{"address":"10.1.0.7/16","gateway":"10.1.0.1"}]}`))
	if err != nil || address != netip.MustParseAddr("10.1.0.7") || gateway != netip.MustParseAddr("10.1.0.1") {
		t.Errorf("addresses = %v, %v, %v", address, gateway, err)
	}
	for _, bad := range []string{`{}`, `{"ips":[{"address":"fd00::2/64","gateway":"fd00::1"}]}`, `{"ips":[{"address":"10.1.0.7/16"}]}`, `x`} {
		if _, _, err := addresses([]byte(bad)); err == nil {
			t.Errorf("addresses accepted %s", bad)
		}
	}
}
