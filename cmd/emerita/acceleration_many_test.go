// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
)

// manyFlows has many connections of all ways talk at once.
func manyFlows(x *half, seed uint64) error {
	n := scaled(500)
	conns, talks := make([]conn, n), make([]*dialogue, n)
	all := ways()
	listeners := make([]end, len(all))
	for i, w := range all {
		listeners[i] = x.listen(w, 0)
		defer listeners[i].close()
	}
	for i := range n {
		conns[i] = x.again(listeners[i%len(all)], 0)
		talks[i] = newDialogue(conns[i], seed<<16+uint64(i))
		defer talks[i].close()
	}
	done := make(chan error, n)
	for i, k := range talks {
		go func() {
			err := k.turns(20, upTo(13))
			if i%5 == 0 {
				err = firstError(err, k.both(100_000, upTo(20), upTo(17)))
			}
			done <- named(err, "flow %d", i)
		}()
	}
	var errs []error
	for range n {
		errs = append(errs, <-done)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	x.manyPaths(conns)
	for i, k := range talks {
		if err := k.finish(); err != nil {
			return fmt.Errorf("flow %d: %w", i, err)
		}
	}
	return nil
}

// manyPaths says that all of the connections are enrolled, or none, and that those which
// have talked in turns only are accelerated.
func (x *half) manyPaths(conns []conn) {
	x.t.Helper()
	paths := map[[2]string]string{}
	for _, f := range x.flows() {
		paths[[2]string{f.from, f.to}] = f.path
	}
	for i, c := range conns {
		for who := range c.ends {
			path := paths[[2]string{c.ends[who].at.String(), c.ends[1-who].at.String()}]
			if x.on != (path != apart) || x.on && i%5 != 0 && path != bySocket {
				x.t.Errorf("flow %d of many, %s: path %q from end %d", i, x, path, who)
				return
			}
		}
	}
}
