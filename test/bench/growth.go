// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"sync"
)

// growth takes ADD and DEL beside ever more attached containers. Every variant
// has as many as the others, on its own host, so that they can take turns.
func (r *runner) growth() error {
	var hosts []*host
	var containers []*container
	for _, h := range r.hosts {
		if !grows(h.name) {
			continue
		}
		c, err := h.newContainer("growth", true)
		if err != nil {
			return err
		}
		hosts, containers = append(hosts, h), append(containers, c)
	}
	attached := 0
	for _, n := range r.plan.Levels {
		if n > attached {
			r.say("growth: attach containers up to %d", n)
			if err := r.fillAll(hosts, attached, n); err != nil {
				return err
			}
			attached = n
			if err := r.pause(r.plan.LevelSettle); err != nil {
				return err
			}
		}
		for round := range r.plan.LevelWarmUp + r.plan.LevelRounds {
			r.say("growth: %d containers, round %d of %d", n, round+1, r.plan.LevelWarmUp+r.plan.LevelRounds)
			for i, h := range hosts {
				if err := r.cycle(h, containers[i], sectionGrowth, n, round >= r.plan.LevelWarmUp); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// fillAll attaches containers on all hosts at once; nothing is timed.
func (r *runner) fillAll(hosts []*host, from, to int) error {
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() { errs[i] = r.fill(h, from, to) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err := r.quiet()
	return err
}

func (r *runner) fill(h *host, from, to int) error {
	for i := from; i < to; i++ {
		c, err := h.newContainer(fmt.Sprintf("fill-%04d", i), false)
		if err != nil {
			return err
		}
		if _, err := h.add(r.ctx, h.attachmentOf(c)); err != nil {
			return fmt.Errorf("attach container %d of %s: %w", i, h.name, err)
		}
	}
	return nil
}
