// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// summary is what testreport writes of a run.
type summary struct {
	Packages map[string]count
	Features map[string]bool
	Failed   []failed
	Skipped  []skipped
}

type count struct{ Passed, Failed, Skipped int }

func (c count) String() string { return fmt.Sprintf("%d / %d / %d", c.Passed, c.Failed, c.Skipped) }

type failed struct{ Package, Test string } // without a test: outside of any

type skipped struct{ Package, Test, Reason string }

// judge has testreport read the events that a machine left, and fails as that does.
// A package without an end, for the machine ended before, has failed.
func judge(m *vm, packages []pkg, bin, source string, out io.Writer) (s summary, err error) {
	events, err := os.ReadFile(m.path("events"))
	if err != nil {
		return s, fmt.Errorf("read events: %w", err)
	}
	events = events[:bytes.LastIndexByte(events, '\n')+1] // without a torn line
	events = append(events, missing(events, packages)...)
	report := exec.Command(filepath.Join(bin, "testreport"),
		"-allowed-skips", filepath.Join(source, "scripts/allowed-skips.txt"),
		"-features", filepath.Join(source, "scripts/kernel-features.txt"),
		"-kernel-release", m.kernel.release, "-kernel-config", m.kernel.file("config"),
		"-summary", m.path("summary"))
	report.Stdin = bytes.NewReader(events)
	report.Stdout, report.Stderr = out, out
	err = report.Run()
	raw, readErr := os.ReadFile(m.path("summary"))
	if readErr != nil {
		return s, fmt.Errorf("read summary: %w", readErr)
	}
	if jsonErr := json.Unmarshal(raw, &s); jsonErr != nil {
		return s, fmt.Errorf("read summary: %w", jsonErr)
	}
	if err != nil {
		return s, fmt.Errorf("tests on Linux %s: %w", m.kernel.release, err)
	}
	return s, nil
}

type event struct {
	Action, Package, Test, Output string `json:",omitempty"`
}

// missing are events that say of packages without an end that they failed.
func missing(events []byte, packages []pkg) []byte {
	ended := map[string]bool{}
	for line := range bytes.Lines(events) {
		var e event
		if json.Unmarshal(line, &e) == nil && e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip") {
			ended[e.Package] = true
		}
	}
	var more []byte
	for _, p := range packages {
		if ended[p.Path] {
			continue
		}
		for _, e := range []event{
			{Action: "output", Package: p.Path, Output: p.Path + ": the machine ended before the tests did\n"},
			{Action: "fail", Package: p.Path},
		} {
			raw, _ := json.Marshal(e) // strings: it cannot fail
			more = append(append(more, raw...), '\n')
		}
	}
	return more
}
