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

	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// socketExample is a run of two rounds in which what is more, or takes longer, is 8 for
// loopback, 9 and 11 for bridge, 6 for emerita and 4 for both of the host with
// acceleration. A stopped reader's writer gets rid of as many KiB and a hundred.
func socketExample(t *testing.T) *pathResults {
	t.Helper()
	p, err := newSocketPlan(options{variants: strings.Join(socketVariantNames(), ","), rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	r := &pathResults{
		Machine: machine{Date: "2026-01-02", Kernel: "6.12.0", CPU: "a CPU", CPUs: 2}, Plan: p,
		Congestion: bbr, Programs: []string{pathEmerita}, Failures: []string{},
	}
	for _, m := range p.Metrics {
		for variant, rounds := range map[string][]float64{
			pathLoopback: {8, 8}, pathBridge: {9, 11}, pathEmerita: {6, 6}, socketsAccelerated: {4, 4}, socketsBeside: {4, 4},
		} {
			for _, v := range rounds {
				if slices.Contains(socketVariants(m), variant) {
					r.add(m, variant, traffic.Result{Rate: v, P50: v, P99: 2 * v, Pushed: v + 100, Direct: max(0, 8-v) / 4})
				}
			}
		}
	}
	return r
}

func TestSocketVerdicts(t *testing.T) {
	t.Parallel()
	r := socketExample(t)
	verdicts := func() map[string][]string {
		got := map[string][]string{}
		for _, row := range socketGoalTable(r).rows {
			got[row[0]+" "+row[1]+" "+row[2]] = row[3:]
		}
		return got
	}
	got := verdicts()
	for goal, want := range map[string][]string{
		"P9 request/response, 1 B each way, same CPU emerita-accelerated":             {pathLoopback, "≤ 0.57x", "0.50x", "0.50x–0.50x", "met"},
		"P12 reader stopped, writes of 1 KiB emerita-accelerated":                     {pathEmerita, "≤ 170 KiB", "104 KiB", "104–104 KiB", "met"},
		"P13 request/response, 1 B each way, cross CPU emerita-beside":                {pathBridge, "≤ 1.00x", "0.40x", "0.36x–0.44x", "met"},
		"P13 stream, writes of 64 B emerita-accelerated":                              {pathBridge, "≥ 1.00x", "0.40x", "0.36x–0.44x", "not met"},
		"P13 stream, dual-stack listener of MPTCP emerita-accelerated":                {pathBridge, "≥ 1.00x", "0.40x", "0.36x–0.44x", "not met"},
		"P13 connections of 64 round trips, cross CPU emerita-accelerated":            {pathBridge, "≥ 1.00x", "0.40x", "0.36x–0.44x", "not met"},
		"P13 request/response, 64 B, answered by 1 KiB, same CPU emerita-accelerated": {pathBridge, "≤ 1.00x", "0.40x", "0.36x–0.44x", "met"},
	} {
		if diff := cmp.Diff(want, got[goal]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", goal, diff)
		}
	}

	r.find(pathKey{"stopped-1k", socketsAccelerated}).Value = []float64{171, 171}
	r.find(pathKey{"turns-same", pathLoopback}).Value = []float64{6}
	got = verdicts()
	for goal, want := range map[string][]string{
		"P9 request/response, 1 B each way, same CPU emerita-accelerated": {pathLoopback, "≤ 0.57x", "0.67x", "–", "not met"},
		"P12 reader stopped, writes of 1 KiB emerita-accelerated":         {pathEmerita, "≤ 170 KiB", "171 KiB", "171–171 KiB", "not met"},
	} {
		if diff := cmp.Diff(want, got[goal]); diff != "" {
			t.Errorf("worse: %s (-want +got):\n%s", goal, diff)
		}
	}

	r.Series = nil
	for goal, row := range verdicts() {
		if row[len(row)-1] != "not measured" {
			t.Errorf("without a sample %s is %q", goal, row)
		}
	}
}

func TestSocketGoalsAreMeasured(t *testing.T) {
	t.Parallel()
	for _, g := range socketGoals() {
		for _, variant := range []string{g.own, g.ref} {
			if !slices.Contains(socketVariants(g.metric), variant) {
				t.Errorf("%s compares %q of %s, which is not measured", g.name, g.metric.Name, variant)
			}
		}
	}
}

func TestSocketMetrics(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range socketMetrics() {
		if seen[m.Name] {
			t.Errorf("two metrics have the name %q", m.Name)
		}
		seen[m.Name] = true
		if localName(m) != m.Name {
			t.Errorf("loopback's %s is %s", m.Name, localName(m))
		}
	}
	for _, name := range besideMetrics() {
		if !seen[name] {
			t.Errorf("beside acceleration %q is to be measured, which there is not", name)
		}
	}
}

func TestSocketVariants(t *testing.T) {
	t.Parallel()
	subnets := map[string]bool{}
	for name, accelerated := range map[string]any{pathBridge: nil, pathEmerita: false, socketsAccelerated: true, socketsBeside: false} {
		v := newSocketVariant(name)
		if v.name != name || v.config["socketAcceleration"] != accelerated {
			t.Errorf("%s: %+v", name, v)
		}
		c := mustConfig(t, v, nil)
		if c.IPMasq {
			t.Errorf("%s has ipMasq", name)
		}
		subnets[c.IPAM.Ranges[0][0].Subnet] = true
	}
	if len(subnets) != 4 {
		t.Errorf("4 variants have %d subnets", len(subnets))
	}
	if v := newSocketVariant(pathLoopback); v.plugin != "" {
		t.Errorf("loopback has plugin %q", v.plugin)
	}
}

func TestNewSocketPlan(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"a variant of another sub-command": {variants: pathPTP, rounds: 1},
		"no rounds":                        {variants: pathBridge},
	} {
		if _, err := newSocketPlan(o); err == nil {
			t.Errorf("newSocketPlan accepted %s", name)
		}
	}
	p := socketExample(t).Plan
	if want := []string{"loopback", "bridge", "emerita", "emerita", "emerita"}; !slices.Equal(p.plugins(), want) {
		t.Errorf("plugins %q, want %q", p.plugins(), want)
	}
}

func TestSocketTablesAreRectangular(t *testing.T) {
	t.Parallel()
	few, err := newSocketPlan(options{variants: socketsAccelerated, rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*pathResults{socketExample(t), {Plan: socketExample(t).Plan}, {Plan: few}} {
		for _, tab := range socketTables(r) {
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

func TestSocketComparisons(t *testing.T) {
	t.Parallel()
	r := socketExample(t)
	if diff := cmp.Diff([]string{"8", "0.67x", "0.67x–0.67x", "0.67x", "0.67x–0.67x"}, paysTable(r).rows[1]); diff != "" {
		t.Errorf("8 round trips (-want +got):\n%s", diff)
	}
	beside := []string{"request/response, 1 B each way, same CPU", "µs", "6.00 (6.00–6.00)", "4.00 (4.00–4.00)", "0.67x", "0.67x–0.67x"}
	if diff := cmp.Diff(beside, besideTable(r).rows[0]); diff != "" {
		t.Errorf("beside (-want +got):\n%s", diff)
	}
	if got, want := directText(r), "loopback 0 %, bridge 0 %, emerita 50 %, emerita-accelerated 100 %, emerita-beside 100 %"; got != want {
		t.Errorf("past TCP: %s, want %s", got, want)
	}
}

func TestWriteSocketReport(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*pathResults{
		"full":  socketExample(t),
		"empty": {Plan: socketExample(t).Plan, Failures: []string{"turns, bridge: boom"}, Series: []*pathSeries{}},
	} {
		dir := filepath.Join(t.TempDir(), name)
		var stdout bytes.Buffer
		if err := writeSocketReport(dir, want, &stdout); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for file, start := range map[string]string{
			"sockets.json": "{\n", "sockets.md": "# Socket acceleration\n", "sockets.svg": "<?xml", "sockets.png": "\x89PNG",
		} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b, []byte(start)) {
				t.Errorf("%s: %s begins with %q, want %q", name, file, b[:min(len(b), 20)], start)
			}
			if file != "sockets.json" {
				continue
			}
			var got pathResults
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, &got, cmp.AllowUnexported(pathSeries{})); diff != "" {
				t.Errorf("%s: decoded (-want +got):\n%s", name, diff)
			}
		}
	}
}
