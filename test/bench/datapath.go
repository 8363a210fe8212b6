// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// runDataPath measures what the plan says and returns the results, encoded.
func runDataPath(ctx context.Context, work string, encoded []byte, progress io.Writer) ([]byte, error) {
	r := &pathResults{Failures: []string{}, Programs: []string{}}
	if err := json.Unmarshal(encoded, &r.Plan); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	if _, err := exec.LookPath("iperf3"); err != nil {
		r.Plan.Metrics = slices.DeleteFunc(r.Plan.Metrics, func(m metric) bool { return m.Kind == witness })
	}
	cpus, err := twoCPUs()
	if err != nil {
		return nil, err
	}
	paths := map[string]*path{}
	defer func() {
		for _, p := range paths {
			p.close()
		}
	}()
	for _, name := range r.Plan.Variants {
		fmt.Fprintf(progress, "data path: attach two containers: %s\n", name)
		p, err := newPath(ctx, work, newPathVariant(name))
		if err != nil && name == pathEmeritaNetkit {
			fmt.Fprintf(progress, "data path: %s is left out: %v\n", name, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		paths[name] = p
		if p.programs {
			r.Programs = append(r.Programs, name)
		}
	}
	r.Plan.Variants = slices.DeleteFunc(r.Plan.Variants, func(name string) bool { return paths[name] == nil })
	if len(r.Plan.Variants) == 0 {
		return nil, errors.New("the kernel has none of the variants")
	}
	if err := paths[r.Plan.Variants[0]].host.do(func() (err error) {
		r.Congestion, err = traffic.DefaultCongestion()
		return err
	}); err != nil {
		return nil, err
	}
	for round := range r.Plan.Rounds {
		for _, m := range r.Plan.Metrics {
			fmt.Fprintf(progress, "data path: round %d of %d, to the %s: %s\n", round+1, r.Plan.Rounds, m.Scope, m.Text)
			for _, name := range m.variants() {
				if p := paths[name]; p != nil {
					if err := r.take(ctx, p, m, cpus, progress); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return r.encode()
}

// take adds one sample to the results. An error is one that ends the run.
func (r *pathResults) take(ctx context.Context, p *path, m metric, cpus [2]int, progress io.Writer) error {
	s := traffic.Spec{
		Kind: m.Kind, DualStack: m.DualStack, MPTCP: m.MPTCP, Congestion: m.Congestion, Flows: m.Flows,
		Size: m.Size, Response: m.Response, Trips: m.Trips,
		WarmUp: r.Plan.WarmUp, Window: r.Plan.Window,
	}
	if m.Kind == traffic.Stream {
		s.WarmUp, s.Window = r.Plan.StreamWarmUp, r.Plan.StreamWindow
	}
	switch m.CPUs {
	case sameCPU:
		cpus[1] = cpus[0]
	case anyCPU:
		cpus = [2]int{-1, -1}
	}
	res, err := p.sample(ctx, m, s, cpus)
	if err == nil {
		r.add(m, p.name, res)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.Failures = append(r.Failures, fmt.Sprintf("%s, %s: %v", m.Name, p.name, err))
	fmt.Fprintln(progress, r.Failures[len(r.Failures)-1])
	if len(r.Failures) >= maxFailures {
		return fmt.Errorf("%d samples went wrong, the last: %w", len(r.Failures), err)
	}
	return nil
}

// twoCPUs are the first and the last that this process may use, for the client
// and for the server.
func twoCPUs() ([2]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return [2]int{}, fmt.Errorf("ask for the CPUs: %w", err)
	}
	var usable []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			usable = append(usable, cpu)
		}
	}
	if len(usable) == 0 {
		return [2]int{}, errors.New("ask for the CPUs: there is none")
	}
	return [2]int{usable[0], usable[len(usable)-1]}, nil
}
