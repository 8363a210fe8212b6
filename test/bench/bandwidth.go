// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// A bandwidthRunner measures one plan of limits in the sandbox.
type bandwidthRunner struct {
	caller
	work  string
	hosts []*bandwidthHost
	res   *bandwidthResults
}

// runBandwidth measures what the plan says and returns the results, encoded.
func runBandwidth(ctx context.Context, work string, encoded []byte, progress io.Writer) ([]byte, error) {
	var p bandwidthPlan
	if err := json.Unmarshal(encoded, &p); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	r := &bandwidthRunner{caller: newCaller(ctx, 0, progress), work: work, res: &bandwidthResults{Plan: p}}
	defer func() {
		for _, h := range r.hosts {
			h.close()
		}
	}()
	for _, section := range []func() error{r.setUp, r.measure} {
		if err := section(); err != nil {
			return nil, err
		}
	}
	r.res.Failures = r.failures
	return r.res.encode()
}

// setUp makes a host for each variant and rate, so that all of them can take turns.
func (r *bandwidthRunner) setUp() error {
	for _, variant := range r.res.Plan.Variants {
		for _, mbit := range r.res.Plan.rates() {
			h, err := newBandwidthHost(r.ctx, r.work, variant, r.res.Plan, mbit)
			if err != nil {
				return err
			}
			r.hosts = append(r.hosts, h)
		}
	}
	err := r.hosts[0].do(func() (err error) {
		r.res.Congestion, err = traffic.DefaultCongestion()
		return err
	})
	if err != nil {
		return err
	}
	// Until IPv6 router solicitations have stopped, and nothing of the plugins runs.
	if err := r.pause(2 * time.Second); err != nil {
		return err
	}
	_, err = r.quiet()
	return err
}

// measure takes all samples, each round beginning with another variant.
func (r *bandwidthRunner) measure() error {
	for round := range r.res.Plan.Rounds {
		for _, c := range r.res.Plan.Cases {
			r.say("bandwidth: %s, round %d of %d", c, round+1, r.res.Plan.Rounds)
			for i := range r.hosts {
				h := r.hosts[(round*len(r.res.Plan.rates())+i)%len(r.hosts)]
				if h.mbit != c.Mbit {
					continue
				}
				if err := r.sample(h, c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *bandwidthRunner) sample(h *bandwidthHost, c bandwidthCase) error {
	streams, requests, err := h.sample(r.ctx, r.res.Plan, c)
	if err != nil {
		return r.fail(h.host, fmt.Errorf("%s: %w", c, err))
	}
	key := func(figure string) bandwidthKey { return bandwidthKey{figure, h.variant, c} }
	r.res.add(key(figureRate), streams.Rate*1e3/float64(c.Mbit)*100)
	r.res.add(key(figureResent), streams.Resent*100)
	if !c.Exact {
		r.res.add(key(figureP50), requests.P50/1e3)
		r.res.add(key(figureP99), requests.P99/1e3)
		r.res.add(key(figureLost), requests.Lost*100)
	}
	return nil
}
