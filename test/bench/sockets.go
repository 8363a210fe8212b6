// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// A socketRunner measures one plan of sockets in the sandbox.
//
// One program of socket acceleration is a tracepoint: while it is there every socket of
// the machine pays for it, in any cgroup. So the host with acceleration is made anew
// each time that it is measured, and nothing else is meanwhile.
type socketRunner struct {
	ctx      context.Context
	work     string
	progress io.Writer
	res      *pathResults
	cpus     [2]int
	paths    map[string]*path // those without acceleration
	hosts    int              // with acceleration, that there were
}

// runSockets measures what the plan says and returns the results, encoded.
func runSockets(ctx context.Context, work string, encoded []byte, progress io.Writer) ([]byte, error) {
	r := &socketRunner{
		ctx: ctx, work: work, progress: progress, paths: map[string]*path{},
		res: &pathResults{Failures: []string{}, Programs: []string{}},
	}
	if err := json.Unmarshal(encoded, &r.res.Plan); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	if !traffic.HasMPTCP() {
		r.res.Plan.Metrics = slices.DeleteFunc(r.res.Plan.Metrics, func(m metric) bool { return m.MPTCP })
	}
	defer func() {
		for _, p := range r.paths {
			p.close()
		}
	}()
	for _, section := range []func() error{r.setUp, r.measure} {
		if err := section(); err != nil {
			return nil, err
		}
	}
	return r.res.encode()
}

func (r *socketRunner) setUp() (err error) {
	if r.cpus, err = twoCPUs(); err != nil {
		return err
	}
	for _, name := range r.res.Plan.Variants {
		if accelerates(name) {
			continue
		}
		p, err := newPath(r.ctx, r.work, newSocketVariant(name))
		if err != nil {
			return err
		}
		r.paths[name] = p
		r.note(p)
	}
	r.res.Congestion, err = traffic.DefaultCongestion()
	if err != nil {
		return err
	}
	err = r.accelerated(func(map[string]*path) error { return nil })
	if lack := (*lackError)(nil); errors.As(err, &lack) && r.ctx.Err() == nil {
		fmt.Fprintf(r.progress, "sockets: acceleration is left out: %v\n", err)
		r.res.Plan.Variants = slices.DeleteFunc(r.res.Plan.Variants, accelerates)
		err = nil
	}
	if err == nil && len(r.res.Plan.Variants) == 0 {
		return errors.New("the kernel has none of the variants")
	}
	return err
}

// note keeps whether a client's packets pass an eBPF program.
func (r *socketRunner) note(p *path) {
	if p.programs && !slices.Contains(r.res.Programs, p.name) {
		r.res.Programs = append(r.res.Programs, p.name)
	}
}

// measure takes every metric with and without the programs of acceleration, in every other
// round with them first.
func (r *socketRunner) measure() error {
	for round := range r.res.Plan.Rounds {
		for _, m := range r.res.Plan.Metrics {
			fmt.Fprintf(r.progress, "sockets: round %d of %d: %s\n", round+1, r.res.Plan.Rounds, figureText(m))
			parts := []func() error{
				func() error { return r.take(m, r.paths) },
				func() error { return r.accelerated(func(p map[string]*path) error { return r.take(m, p) }) },
			}
			if round%2 == 1 {
				slices.Reverse(parts)
			}
			for _, part := range parts {
				if err := part(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// take takes a sample of a metric with those of its variants that there are.
func (r *socketRunner) take(m metric, paths map[string]*path) error {
	for _, name := range socketVariants(m) {
		if p := paths[name]; p != nil {
			if err := r.res.take(r.ctx, p, m, r.cpus, r.progress); err != nil {
				return err
			}
		}
	}
	return nil
}

// A lackError is why there is no acceleration.
type lackError struct{ error }

// settle is for what the kernel does when a host has come or gone, programs included.
const settle = 200 * time.Millisecond

// accelerated runs f while there is a host with acceleration, if one is asked for: with a
// network that has it and with one that has not.
func (r *socketRunner) accelerated(f func(map[string]*path) error) error {
	if !slices.ContainsFunc(r.res.Plan.Variants, accelerates) {
		return nil
	}
	v := newSocketVariant(socketsAccelerated)
	v.name = fmt.Sprintf("%s-%d", v.name, r.hosts)
	r.hosts++
	h, err := newHost(r.work, v, "eth0")
	if err != nil {
		return err
	}
	defer func() {
		h.close()
		time.Sleep(settle)
	}()
	paths := map[string]*path{}
	for _, on := range []*host{h, h.with(newSocketVariant(socketsBeside))} {
		p, err := on.newPath(r.ctx)
		if err != nil {
			return &lackError{err}
		}
		defer p.leave()
		if on == h {
			p.name = socketsAccelerated
		}
		if slices.Contains(r.res.Plan.Variants, p.name) {
			r.note(p)
			paths[p.name] = p
		}
	}
	time.Sleep(settle)
	return f(paths)
}
