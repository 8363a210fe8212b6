// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A portsRunner measures one plan of published ports in the sandbox.
type portsRunner struct {
	caller
	work  string
	hosts []*portsHost
	res   *portsResults
}

// runPorts measures what the plan says and returns the results, encoded.
func runPorts(ctx context.Context, work string, encoded []byte, progress io.Writer) ([]byte, error) {
	var p portsPlan
	if err := json.Unmarshal(encoded, &p); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	r := &portsRunner{caller: newCaller(ctx, p.Settle, progress), work: work, res: &portsResults{Plan: p, Skipped: []string{}}}
	defer func() {
		for _, h := range r.hosts {
			h.close()
		}
	}()
	for _, section := range []func() error{r.setUp, r.measureCalls, r.measureConnections} {
		if err := section(); err != nil {
			return nil, err
		}
	}
	r.res.Failures = r.failures
	return r.res.encode()
}

// setUp makes a host for each variant and number of published ports, so that all of
// them can take turns.
func (r *portsRunner) setUp() error {
	for _, variant := range r.res.Plan.Variants {
		for _, published := range r.res.Plan.hosts(variant) {
			begin := time.Now()
			h, err := newPortsHost(r.ctx, r.work, variant, published, r.res.Plan.Each, fmt.Sprintf("eth%d", len(r.hosts)))
			if err != nil {
				return err
			}
			r.hosts = append(r.hosts, h)
			r.say("published ports: %d of %s, set up in %v", published, variant, time.Since(begin).Round(time.Millisecond))
		}
	}
	// Until IPv6 router solicitations have stopped, and nothing of the plugins runs.
	if err := r.pause(2 * time.Second); err != nil {
		return err
	}
	_, err := r.quiet()
	return err
}

// measureCalls times ADD and DEL.
func (r *portsRunner) measureCalls() error {
	p := r.res.Plan
	for round := range p.WarmUp + p.callRounds() {
		for _, c := range p.Calls {
			if round >= p.WarmUp+c.Rounds {
				continue
			}
			r.say("published ports: ADD and DEL with %d beside %d, round %d of %d", c.Ports, c.Published, round+1, p.WarmUp+c.Rounds)
			for _, h := range r.hosts {
				if h.variant == portsDirect || h.published != c.Published {
					continue
				}
				if err := r.cycle(h, c, round >= p.WarmUp); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// cycle takes one ADD and one DEL, and records them unless they only warm up.
func (r *portsRunner) cycle(h *portsHost, c portsCall, record bool) error {
	a := h.attachmentOf(h.calls)
	a.ports = mappings(0, c.Ports)
	add, del, ok, err := r.caller.cycle(h.host, a, h.verify(r.ctx, a))
	if err == nil && ok && record {
		r.res.addCall(opAdd, h.variant, c, add)
		r.res.addCall(opDel, h.variant, c, del)
	}
	return err
}
