// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// A runner measures one plan in the sandbox.
type runner struct {
	caller
	plan  plan
	work  string
	hosts []*host
	res   *results
}

// runAddDel measures what the plan says and returns the results, encoded.
func runAddDel(ctx context.Context, work string, encoded []byte, progress io.Writer) ([]byte, error) {
	var p plan
	if err := json.Unmarshal(encoded, &p); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	r := &runner{caller: newCaller(ctx, p.Settle, progress), plan: p, work: work, res: &results{Plan: p}}
	if err := r.measure(); err != nil {
		return nil, err
	}
	r.res.Failures = r.failures
	return r.res.encode()
}

// measure runs the sections on the same hosts, the one that leaves the most for
// the kernel to tear down last.
func (r *runner) measure() error {
	defer func() {
		for _, h := range r.hosts {
			h.close()
		}
	}()
	for i, name := range r.plan.Variants {
		h, err := newHost(r.work, newVariant(name), fmt.Sprintf("eth%d", i))
		if err != nil {
			return err
		}
		r.hosts = append(r.hosts, h)
	}
	for _, section := range []func() error{r.single, r.burst, r.growth} {
		if err := section(); err != nil {
			return err
		}
	}
	return nil
}

// single takes ADD and DEL of every variant in turn, and the programs that show
// what starting a process costs.
func (r *runner) single() error {
	programs := r.programs()
	containers := make([]*container, len(r.hosts))
	for i, h := range r.hosts {
		c, err := h.newContainer("single", true)
		if err != nil {
			return err
		}
		containers[i] = c
	}
	for round := range r.plan.WarmUp + r.plan.Rounds {
		warm := round >= r.plan.WarmUp
		r.say("single calls: round %d of %d", round+1, r.plan.WarmUp+r.plan.Rounds)
		for _, p := range programs {
			s, _, err := r.hosts[0].start(r.ctx, p.path, []byte(`{"cniVersion":"1.0.0"}`), "CNI_COMMAND=VERSION")
			if err != nil {
				return err
			}
			if _, err := r.quiet(); err != nil {
				return err
			}
			if warm {
				r.res.add(key{Section: sectionSingle, What: p.name, Op: opRun}, s)
			}
		}
		for i, h := range r.hosts {
			if err := r.cycle(h, containers[i], sectionSingle, 0, warm); err != nil {
				return err
			}
		}
	}
	return nil
}

// A program is started and awaited, nothing else.
type program struct{ name, path string }

// The names of the programs, as the report shows them.
const (
	programTrue    = "/bin/true"
	programEmpty   = "empty Go program"
	programEmerita = "emerita VERSION"
	programBridge  = "bridge VERSION"
)

func (r *runner) programs() []program {
	bin := filepath.Join(r.work, "bin")
	programs := []program{
		{programTrue, "/bin/true"},
		{programEmpty, filepath.Join(bin, "empty")},
		{programBridge, filepath.Join(bin, "bridge")},
	}
	if slices.ContainsFunc(r.hosts, func(h *host) bool { return h.plugin == "emerita" }) {
		programs = append(programs, program{programEmerita, filepath.Join(bin, "emerita")})
	}
	return programs
}

// cycle takes one ADD and one DEL, and records them unless they only warm up.
func (r *runner) cycle(h *host, c *container, section string, n int, record bool) error {
	add, del, ok, err := r.caller.cycle(h, h.attachmentOf(c), nil)
	if err == nil && ok && record {
		r.res.add(key{section, h.name, opAdd, n}, add)
		r.res.add(key{section, h.name, opDel, n}, del)
	}
	return err
}
