// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// example is a run in which every goal about DEL is missed, every other one about
// plain emerita met, and nothing with ipMasq but DEL and bridge was measured.
func example(t *testing.T) *results {
	t.Helper()
	p, err := newPlan(options{variants: strings.Join(variantNames(), ","), rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := &results{
		Machine:  machine{Date: "2026-01-02", Kernel: "6.12.0", CPU: "a CPU", CPUs: 2, Go: "go1.26.0", Plugins: "v1.9.1", Filesystem: "ext4"},
		Plan:     p,
		Failures: []string{},
	}
	add := func(section, what, op string, n int, ms float64) {
		wall := time.Duration(ms * float64(time.Millisecond))
		r.add(key{section, what, op, n}, sample{wall: wall, cpu: wall / 2})
	}
	add(sectionSingle, programTrue, opRun, 0, 1)
	add(sectionSingle, programEmpty, opRun, 0, 1.5)
	for _, ms := range []float64{2, 3, 4} {
		add(sectionSingle, "emerita", opAdd, 0, ms)
	}
	add(sectionSingle, "bridge", opAdd, 0, 9)
	add(sectionSingle, "bridge-masq", opAdd, 0, 24)
	add(sectionSingle, "emerita", opDel, 0, 10)
	add(sectionSingle, "bridge", opDel, 0, 20)
	add(sectionSingle, "emerita-masq", opDel, 0, 10)
	add(sectionSingle, "bridge-masq", opDel, 0, 100)
	add(sectionGrowth, "emerita", opAdd, 0, 3)
	add(sectionGrowth, "emerita", opAdd, 1000, 4)
	add(sectionGrowth, "bridge", opAdd, 1000, 40)
	add(sectionBurst, "emerita", opAdd, 0, 30)
	add(sectionBurst, "bridge", opAdd, 0, 160)
	return r
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	r := example(t)
	var got []string
	for _, g := range goals() {
		got = append(got, g.name+" "+ratioText(g.ratio(r))+" "+g.verdict(r))
	}
	want := []string{
		"P1 1/3 met", "P2 – not measured",
		"P3 1.33x met", "P3 – not measured", "P3 1/10 met", "P3 – not measured",
		"P4 1/2 not met", "P4 1/10 not met",
		"P5 1/5.33 met", "P5 – not measured",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

func TestRatioText(t *testing.T) {
	t.Parallel()
	for ratio, want := range map[float64]string{1. / 8: "1/8", 1 / 3.5: "1/3.5", 1: "1x", 1.4: "1.4x", 0.99: "1/1.01"} {
		if got := ratioText(ratio); got != want {
			t.Errorf("ratioText(%v) = %q, want %q", ratio, got, want)
		}
	}
	if got := ratioText(math.NaN()); got != "–" {
		t.Errorf("ratioText(NaN) = %q", got)
	}
}

func TestExplainIsCumulative(t *testing.T) {
	t.Parallel()
	var got []string
	for _, row := range explainTable(example(t)).rows {
		got = append(got, row[1])
	}
	if diff := cmp.Diff([]string{"1.00", "0.50", "1.50"}, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestTablesAreRectangular(t *testing.T) {
	t.Parallel()
	for _, r := range []*results{example(t), {Plan: example(t).Plan}} {
		for _, tab := range tables(r) {
			for _, row := range tab.rows {
				if len(row) != len(tab.head) {
					t.Errorf("table %q: row %q has %d cells, the head %d", tab.title, row, len(row), len(tab.head))
				}
			}
		}
	}
}

func TestEncodeRoundTrip(t *testing.T) {
	t.Parallel()
	want := example(t)
	b, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	var got results
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	if diff := cmp.Diff(want, &got, cmp.AllowUnexported(series{})); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestWriteReport(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*results{
		"full":  example(t),
		"empty": {Plan: example(t).Plan, Failures: []string{"bridge: ADD \"x\":\n  boom"}},
	} {
		dir := filepath.Join(t.TempDir(), name)
		var stdout bytes.Buffer
		if err := writeReport(dir, r, &stdout); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for file, start := range map[string]string{
			"adddel.json": "{\n", "adddel.md": "# ADD and DEL\n", "adddel.svg": "<?xml", "adddel.png": "\x89PNG",
		} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(b, []byte(start)) {
				t.Errorf("%s: %s begins with %q, want %q", name, file, b[:min(len(b), 20)], start)
			}
		}
		if !strings.HasPrefix(stdout.String(), "\nGoals\n") {
			t.Errorf("%s: stdout begins with %.40q", name, stdout.String())
		}
	}
}

func TestMarkdownListsFailures(t *testing.T) {
	t.Parallel()
	got := markdown(&results{Failures: []string{"bridge: ADD \"x\":\n  boom"}})
	if want := "\n## Failures\n\n* bridge: ADD \"x\": boom\n"; !strings.HasSuffix(got, want) {
		t.Errorf("report ends with %q, want %q", got[max(0, len(got)-80):], want)
	}
}
