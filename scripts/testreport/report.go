// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is what go test -json writes; see go doc test2json, and go help
// buildjson for the build's own events, which carry ImportPath.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Key, Value string // of an attribute
	Elapsed    float64
}

type testID struct{ pkg, test string }

// use is that of a kernel feature by a test.
type use struct {
	testID
	feature string
}

// report gathers the events of one go test.
type report struct {
	out      io.Writer
	output   map[testID]*strings.Builder
	ran      map[string]int // tests that passed or failed, by package
	packages []string       // that have test files and built
	passed   int
	failed   []string
	skipped  []skip
	used     []use
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[testID]*strings.Builder{}, ran: map[string]int{}}
}

func (r *report) read(stdin io.Reader) error {
	events := json.NewDecoder(stdin)
	for {
		var e event
		err := events.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("decode go test's events: %w", err)
		}
		r.add(e)
	}
}

func (r *report) add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		if r.output[id] == nil {
			r.output[id] = &strings.Builder{}
		}
		r.output[id].WriteString(e.Output)
	case "attr":
		if e.Key == usesAttribute {
			r.used = append(r.used, use{id, e.Value})
		}
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.packageDone(e)
		} else {
			r.testDone(e)
		}
	}
}

func (r *report) testDone(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "pass":
		r.passed++
		r.ran[e.Package]++
	case "fail":
		r.failed = append(r.failed, e.Package+" "+e.Test)
		r.ran[e.Package]++
		r.print(id)
	case "skip":
		r.skipped = append(r.skipped, skip{e.Package, e.Test, r.text(id)})
	}
	delete(r.output, id)
}

func (r *report) packageDone(e event) {
	// go test reports "skip" for a package without test files.
	if e.Action == "skip" {
		return
	}
	r.packages = append(r.packages, e.Package)
	verdict := "ok  "
	if e.Action == "fail" {
		verdict = "FAIL"
		if !slices.ContainsFunc(r.failed, func(f string) bool { return strings.HasPrefix(f, e.Package+" ") }) {
			// The package failed outside of any test: a build, a panic, an exit.
			// Tests that it took down with it never got an event of their own.
			r.failed = append(r.failed, e.Package)
			for id := range r.output {
				if id.pkg == e.Package {
					r.print(id)
				}
			}
		}
	}
	fmt.Fprintf(r.out, "%s %s %d tests %.1fs\n", verdict, e.Package, r.ran[e.Package], e.Elapsed)
}

func (r *report) print(id testID) { fmt.Fprint(r.out, r.text(id)) }

func (r *report) text(id testID) string {
	if b := r.output[id]; b != nil {
		return b.String()
	}
	return ""
}
