// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// burst takes many ADDs of one variant, a few at a time, as after a reboot, and
// then the DELs the same way. A sample is the whole burst.
func (r *runner) burst() error {
	pools := make([][]*attachment, len(r.hosts))
	for i, h := range r.hosts {
		for j := range r.plan.BurstSize {
			c, err := h.newContainer(fmt.Sprintf("burst-%02d", j), false)
			if err != nil {
				return err
			}
			pools[i] = append(pools[i], &attachment{container: c})
		}
	}
	for round := range r.plan.Bursts {
		r.say("bursts: round %d of %d", round+1, r.plan.Bursts)
		for i, h := range r.hosts {
			for j, a := range pools[i] {
				pools[i][j] = h.attachmentOf(a.container)
			}
			ok := true
			for _, op := range []struct {
				name string
				call func(context.Context, *attachment) (sample, error)
			}{{opAdd, h.add}, {opDel, h.del}} {
				s, err := r.together(pools[i], op.call)
				if err != nil {
					ok = false
					if err := r.fail(h, fmt.Errorf("burst: %w", err)); err != nil {
						return err
					}
				}
				late, err := r.quiet()
				if err != nil {
					return err
				}
				s.cpu += late
				if ok {
					r.res.add(key{Section: sectionBurst, What: h.name, Op: op.name}, s)
				}
			}
		}
	}
	return nil
}

// together makes one call per attachment, as many at a time as the plan says.
func (r *runner) together(pool []*attachment, call func(context.Context, *attachment) (sample, error)) (sample, error) {
	work := make(chan *attachment, len(pool))
	for _, a := range pool {
		work <- a
	}
	close(work)

	var mu sync.Mutex
	var cpu time.Duration
	var errs []error
	var wg sync.WaitGroup
	begin := time.Now()
	for range r.plan.BurstWorkers {
		wg.Go(func() {
			for a := range work {
				s, err := call(r.ctx, a)
				mu.Lock()
				cpu += s.cpu
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return sample{wall: time.Since(begin), cpu: cpu}, errors.Join(errs...)
}
