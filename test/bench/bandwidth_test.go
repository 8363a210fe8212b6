// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bandwidthExample is a run in which the limits are kept, but not by emerita with several
// streams; the p99 of upstream is 9 ms beside one stream and 30 beside several, that of
// emerita 4 and 3; and the first case was not measured.
func bandwidthExample(t *testing.T) *bandwidthResults {
	t.Helper()
	p, err := newBandwidthPlan(options{variants: strings.Join(bandwidthVariantNames(), ","), rounds: 5})
	if err != nil {
		t.Fatal(err)
	}
	r := &bandwidthResults{
		Machine: machine{Date: "2026-01-02", Kernel: "6.12.0", CPU: "a CPU", CPUs: 2}, Plan: p, Failures: []string{},
	}
	for _, c := range p.Cases[1:] {
		rate := map[string]float64{limitEmerita: 95.6, limitUpstream: 95.6}
		p99 := map[string]float64{limitEmerita: 4, limitUpstream: 9}
		if c.Streams > 1 {
			rate[limitEmerita] = 110.1
			p99 = map[string]float64{limitEmerita: 3, limitUpstream: 30}
		}
		for _, v := range p.Variants {
			r.add(bandwidthKey{figureRate, v, c}, rate[v])
			if !c.Exact {
				r.add(bandwidthKey{figureP99, v, c}, p99[v])
			}
		}
	}
	return r
}

func TestBandwidthVerdicts(t *testing.T) {
	t.Parallel()
	r := bandwidthExample(t)
	got := map[string]string{}
	for _, g := range bandwidthGoals() {
		row := g.row(r)
		got[row[0]] = strings.Join(row[1:], ", ")
	}
	if len(got) != 28 {
		t.Errorf("%d goals, want a rate for each of 16 cases and a latency for 12", len(got))
	}
	for figure, want := range map[string]string{
		"rate: 100 Mbit/s, 1 stream to another container":   "90–110 % of the limit, –, not measured",
		"p99: 100 Mbit/s, 1 stream to another container":    "≤ 1/3 of upstream's, –, not measured",
		"rate: 100 Mbit/s, 1 stream from another container": "90–110 % of the limit, 95.6 %, met",
		"p99: 100 Mbit/s, 1 stream from another container":  "≤ 1/3 of upstream's, 1/2.25, not met",
		"rate: 100 Mbit/s, 8 streams to the host":           "90–110 % of the limit, 110 %, not met",
		"p99: 100 Mbit/s, 8 streams from the outside":       "≤ 1/3 of upstream's, 1/10, met",
		"rate: 1,000 Mbit/s, 1 stream to the outside":       "90–110 % of the limit, 95.6 %, met",
	} {
		if got[figure] != want {
			t.Errorf("%s: %q, want %q", figure, got[figure], want)
		}
	}
}

func TestBandwidthGoesToTheCapable(t *testing.T) {
	t.Parallel()
	p := bandwidthExample(t).Plan
	a := attachment{limit: p.limitOf(10)}
	for name, want := range map[string][]string{limitEmerita: {"emerita 10000000"}, limitUpstream: {"bridge 0", "bandwidth 10000000"}} {
		var got []string
		for _, l := range newBandwidthVariant(name).chain() {
			b, err := l.stdin(nil, a.asked())
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				Type          string
				RuntimeConfig struct{ Bandwidth limit }
			}
			if err := json.Unmarshal(b, &c); err != nil {
				t.Fatal(err)
			}
			has := c.RuntimeConfig.Bandwidth
			if has.IngressRate != has.EgressRate || has.IngressRate > 0 && (has.IngressBurst != 1e6 || has.EgressBurst != 1e6) {
				t.Errorf("%s gets %+v, want the same for both directions", c.Type, has)
			}
			got = append(got, fmt.Sprintf("%s %d", c.Type, has.IngressRate))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNewBandwidthPlan(t *testing.T) {
	t.Parallel()
	p := bandwidthExample(t).Plan
	if diff := cmp.Diff([]int{10, loaded, 1000}, p.rates()); diff != "" {
		t.Errorf("rates (-want +got):\n%s", diff)
	}
	if p.Window <= slack {
		t.Errorf("requests last %v less than the streams, which last %v", slack, p.Window)
	}
	for i, c := range p.Cases {
		if c.Exact == (c.Mbit == loaded) {
			t.Errorf("%s: latency is measured with the other rates", c)
		}
		if slices.Index(p.Cases, c) != i {
			t.Errorf("%s is measured twice", c)
		}
	}
	for name, o := range map[string]options{
		"a variant of another sub-command": {variants: "bridge", rounds: 1},
		"no rounds":                        {variants: limitEmerita},
		"no rounds of a quick run":         {variants: limitEmerita, quick: true},
	} {
		if _, err := newBandwidthPlan(o); err == nil {
			t.Errorf("newBandwidthPlan accepted %s", name)
		}
	}
}

func TestBandwidthTablesAreRectangular(t *testing.T) {
	t.Parallel()
	for _, r := range []*bandwidthResults{bandwidthExample(t), {Plan: bandwidthExample(t).Plan}} {
		for _, tab := range bandwidthTables(r) {
			if len(tab.rows) == 0 {
				t.Errorf("table %q has no rows", tab.title)
			}
			for _, row := range tab.rows {
				if len(row) != len(tab.head) {
					t.Errorf("table %q: row %q has %d cells, the head %d", tab.title, row, len(row), len(tab.head))
				}
			}
		}
	}
}

func TestWriteBandwidthReport(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*bandwidthResults{
		"full":  bandwidthExample(t),
		"empty": {Plan: bandwidthExample(t).Plan, Failures: []string{"emerita-100: boom"}, Series: []*bandwidthSeries{}},
	} {
		dir := filepath.Join(t.TempDir(), name)
		var stdout bytes.Buffer
		if err := writeBandwidthReport(dir, want, &stdout); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for file, start := range map[string]string{
			"bandwidth.json": "{\n", "bandwidth.md": "# Bandwidth\n", "bandwidth.svg": "<?xml", "bandwidth.png": "\x89PNG",
		} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b, []byte(start)) {
				t.Errorf("%s: %s begins with %q, want %q", name, file, b[:min(len(b), 20)], start)
			}
		}
		b, err := os.ReadFile(filepath.Join(dir, "bandwidth.json"))
		if err != nil {
			t.Fatal(err)
		}
		var got bandwidthResults
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, &got, cmp.AllowUnexported(bandwidthSeries{}, bandwidthKey{})); diff != "" {
			t.Errorf("%s: decoded (-want +got):\n%s", name, diff)
		}
	}
}
