// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"
)

// maxFailures ends a run in which too much goes wrong to be worth the wait.
const maxFailures = 20

// A runner measures one plan in the sandbox.
type runner struct {
	ctx      context.Context
	plan     plan
	work     string
	progress io.Writer
	hosts    []*host
	res      *results
}

// runAddDel measures what the plan says and returns the results, encoded.
func runAddDel(ctx context.Context, work string, encoded []byte, progress io.Writer) ([]byte, error) {
	var p plan
	if err := json.Unmarshal(encoded, &p); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	r := &runner{ctx: ctx, plan: p, work: work, progress: progress, res: &results{Plan: p, Failures: []string{}}}
	if err := r.measure(); err != nil {
		return nil, err
	}
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

// cycle times one ADD and one DEL, and sees to it that the interface is gone the
// moment that DEL returns. It records them unless they only warm up. An error is
// one that ends the run; what a plugin does wrong is noted in the results.
func (r *runner) cycle(h *host, c *container, section string, n int, record bool) error {
	a := h.attachmentOf(c)
	add, err := h.add(r.ctx, a)
	if err != nil {
		return errors.Join(r.fail(h, err), r.abandon(h, a))
	}
	end, err := c.hostEnd()
	if err != nil {
		return errors.Join(r.fail(h, err), r.abandon(h, a))
	}
	late, err := r.quiet()
	if err != nil {
		return err
	}
	add.cpu += late

	del, delErr := h.del(r.ctx, a)
	if delErr == nil {
		delErr = h.gone(c, end)
	}
	if late, err = r.quiet(); err != nil {
		return err
	}
	del.cpu += late
	if delErr != nil {
		return r.fail(h, delErr)
	}
	if record {
		r.res.add(key{section, h.name, opAdd, n}, add)
		r.res.add(key{section, h.name, opDel, n}, del)
	}
	return nil
}

// abandon deletes what a failed ADD may have left, so that the next one is not
// disturbed.
func (r *runner) abandon(h *host, a *attachment) error {
	if _, err := h.del(r.ctx, a); err != nil {
		return r.fail(h, err)
	}
	_, err := r.quiet()
	return err
}

// fail notes what a plugin did wrong, and ends the run if that is too much.
func (r *runner) fail(h *host, err error) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	r.res.Failures = append(r.res.Failures, h.name+": "+err.Error())
	r.say("%s", r.res.Failures[len(r.res.Failures)-1])
	if len(r.res.Failures) >= maxFailures {
		return fmt.Errorf("%d calls went wrong, the last: %w", len(r.res.Failures), err)
	}
	return nil
}

// quiet waits until nothing of the last call runs any more, and returns the CPU
// time of what that call had left running.
func (r *runner) quiet() (time.Duration, error) {
	cpu, err := reap(r.ctx)
	if err != nil {
		return 0, err
	}
	return cpu, r.pause(r.plan.Settle)
}

func (r *runner) pause(d time.Duration) error {
	select {
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (r *runner) say(format string, args ...any) {
	fmt.Fprintf(r.progress, format+"\n", args...)
}
