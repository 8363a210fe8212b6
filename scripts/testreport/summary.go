// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// summary is what -summary writes: the report in numbers. test/kernels reads it.
type summary struct {
	Packages map[string]count // by import path
	Features map[string]bool  // kernel features: one that tests used, or that they did without
	Failed   []failed
	Skipped  []skipped
}

type count struct{ Passed, Failed, Skipped int }

type failed struct{ Package, Test string } // without a test: outside of any

type skipped struct{ Package, Test, Reason string }

func (r *report) summary() summary {
	s := summary{Packages: map[string]count{}, Features: map[string]bool{}}
	for _, pkg := range r.packages {
		s.Packages[pkg] = count{}
	}
	for pkg, ran := range r.ran {
		c := s.Packages[pkg]
		c.Passed = ran
		s.Packages[pkg] = c
	}
	for _, f := range r.failed {
		pkg, test, _ := strings.Cut(f, " ")
		c := s.Packages[pkg]
		c.Failed++
		if test != "" { // it ran, and did not pass
			c.Passed--
		}
		s.Packages[pkg] = c
		s.Failed = append(s.Failed, failed{pkg, test})
	}
	for _, k := range r.skipped {
		c := s.Packages[k.pkg]
		c.Skipped++
		s.Packages[k.pkg] = c
		reason := "see the test"
		if feature := lacking(k.reason); feature != "" {
			s.Features[feature] = false
			reason = feature
		}
		s.Skipped = append(s.Skipped, skipped{k.pkg, k.test, reason})
	}
	for _, u := range r.used {
		s.Features[u.feature] = true
	}
	slices.SortFunc(s.Skipped, func(a, b skipped) int { return strings.Compare(a.Package+" "+a.Test, b.Package+" "+b.Test) })
	return s
}

func writeSummary(path string, s summary) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}
