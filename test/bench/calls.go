// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxFailures ends a run in which too much goes wrong to be worth the wait.
const maxFailures = 20

// A caller calls plugins, one at a time, and notes what they do wrong.
type caller struct {
	ctx      context.Context
	settle   time.Duration // after each call
	progress io.Writer
	failures []string
}

func newCaller(ctx context.Context, settle time.Duration, progress io.Writer) caller {
	return caller{ctx: ctx, settle: settle, progress: progress, failures: []string{}}
}

// cycle times one ADD and one DEL, and sees to it that the interface is gone the
// moment that DEL returns. What verify finds is checked as well, if there is one: with
// true after ADD, with false after DEL. An error is one that ends the run; what a
// plugin does wrong is noted, and the samples are not ok.
func (r *caller) cycle(h *host, a *attachment, verify func(attached bool) error) (add, del sample, ok bool, err error) {
	if verify == nil {
		verify = func(bool) error { return nil }
	}
	add, err = h.add(r.ctx, a)
	if err != nil {
		return add, del, false, errors.Join(r.fail(h, err), r.abandon(h, a))
	}
	end, err := a.hostEnd()
	if err == nil {
		err = verify(true)
	}
	if err != nil {
		return add, del, false, errors.Join(r.fail(h, err), r.abandon(h, a))
	}
	late, err := r.quiet()
	if err != nil {
		return add, del, false, err
	}
	add.cpu += late

	del, delErr := h.del(r.ctx, a)
	if delErr == nil {
		delErr = h.gone(a.container, end)
	}
	if delErr == nil {
		delErr = verify(false)
	}
	if late, err = r.quiet(); err != nil {
		return add, del, false, err
	}
	del.cpu += late
	if delErr != nil {
		return add, del, false, r.fail(h, delErr)
	}
	return add, del, true, nil
}

// abandon deletes what a failed ADD may have left, so that the next one is not
// disturbed.
func (r *caller) abandon(h *host, a *attachment) error {
	if _, err := h.del(r.ctx, a); err != nil {
		return r.fail(h, err)
	}
	_, err := r.quiet()
	return err
}

// fail notes what a plugin did wrong, and ends the run if that is too much.
func (r *caller) fail(h *host, err error) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	r.failures = append(r.failures, h.name+": "+err.Error())
	r.say("%s", r.failures[len(r.failures)-1])
	if len(r.failures) >= maxFailures {
		return fmt.Errorf("%d calls went wrong, the last: %w", len(r.failures), err)
	}
	return nil
}

// quiet waits until nothing of the last call runs any more, and returns the CPU
// time of what that call had left running.
func (r *caller) quiet() (time.Duration, error) {
	cpu, err := reap(r.ctx)
	if err != nil {
		return 0, err
	}
	return cpu, r.pause(r.settle)
}

func (r *caller) pause(d time.Duration) error {
	select {
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (r *caller) say(format string, args ...any) {
	fmt.Fprintf(r.progress, format+"\n", args...)
}
