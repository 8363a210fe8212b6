// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// A running talk goes on until it is told to end.
type running struct {
	*dialogue
	conn
	rounds atomic.Int64
	over   atomic.Bool
	done   chan error
}

func (x *half) run(seed uint64) *running {
	x.t.Helper()
	c := x.connect(ways()[0])
	r := &running{dialogue: newDialogue(c, seed), conn: c, done: make(chan error, 1)}
	go func() {
		for !r.over.Load() {
			if err := r.turns(1, upTo(12)); err != nil {
				r.done <- err
				return
			}
			r.rounds.Add(1)
		}
		r.done <- r.finish()
	}()
	return r
}

// goesOn waits for more rounds.
func (r *running) goesOn(x *half, when string) {
	x.t.Helper()
	want := r.rounds.Load() + 3 // of the first two some may have been on their way
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := deadline(tortureWait); r.rounds.Load() < want; <-tick.C {
		select {
		case err := <-r.done:
			x.t.Fatalf("%s: the talk has ended: %v", when, err)
		default:
		}
		if late() {
			x.t.Fatalf("%s: the talk does not go on", when)
		}
	}
}

func (r *running) end(x *half, name string) {
	x.t.Helper()
	r.over.Store(true)
	if err := <-r.done; err != nil {
		x.t.Errorf("%s: %v", name, err)
	}
}

// attach replaces both containers' attachments, by such as have it or not. Their
// addresses stay: the network has no others.
func (x *half) attach(on bool) {
	x.t.Helper()
	for _, id := range x.ids {
		if x.config != "" {
			x.must("DEL", id)
		}
		x.config = strings.NewReplacer(
			`"10.1.0.0/24"`, `"10.1.0.0/24","rangeEnd":"10.1.0.3"`, `"fd00:1::/64"`, `"fd00:1::/64","rangeEnd":"fd00:1::3"`,
		).Replace(accelerationConfig(1, on))
		x.must("ADD", id)
	}
	x.on = on
}

// TestAcceleratedMidStream changes what there is to a connection while it talks. Not a
// byte is lost or comes out of order; and what has gone by TCP once stays there.
func TestAcceleratedMidStream(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	x := &half{host: newHost(t), number: 1, ids: [2]string{"a", "b"}}
	x.host.config = ""
	x.attachFirst()

	before := x.run(*tortureSeed)
	before.goesOn(x, "without acceleration")
	x.attach(true)
	before.goesOn(x, "attached with acceleration")
	x.takes(before.conn, "a connection of before", apart, apart)
	during := x.run(*tortureSeed + 1)
	during.goesOn(x, "with acceleration")
	x.takes(during.conn, "a new connection", bySocket, bySocket)

	x.attach(true)
	during.goesOn(x, "attached anew")
	x.attach(false)
	during.goesOn(x, "attached without acceleration")
	after := x.run(*tortureSeed + 2)
	after.goesOn(x, "without acceleration again")
	x.takes(after.conn, "a connection of after", apart, apart)
	x.attach(true)
	for i, r := range []*running{before, during, after} {
		r.goesOn(x, fmt.Sprintf("talk %d of three", i))
		r.end(x, fmt.Sprintf("talk %d of three", i))
	}

	old := x.run(*tortureSeed + 3)
	old.goesOn(x, "before the stop")
	x.takes(old.conn, "before the stop", bySocket, bySocket)
	x.mustCLI("flows", "--stop")
	old.goesOn(x, "stopped")
	x.takes(old.conn, "stopped", byTCP, byTCP)
	young := x.run(*tortureSeed + 4)
	young.goesOn(x, "new while stopped")
	x.takes(young.conn, "new while stopped", apart, apart)
	x.mustCLI("flows", "--start")
	for _, r := range []*running{old, young} {
		r.goesOn(x, "started")
	}
	x.takes(old.conn, "started again", byTCP, byTCP)
	again := x.run(*tortureSeed + 5)
	again.goesOn(x, "new after the start")
	x.takes(again.conn, "new after the start", bySocket, bySocket)

	otherBuild(t)
	x.mustCLI("install")
	again.goesOn(x, "another build")
	newer := x.run(*tortureSeed + 6)
	newer.goesOn(x, "new of another build")
	x.takes(newer.conn, "new of another build", bySocket, bySocket)

	// The pins are its life, and not that of what is under way.
	testutil.Run(t, "rm", "-r", pins)
	newer.goesOn(x, "without pins")
	x.mustCLI("repair")
	for i, r := range []*running{old, young, again, newer} {
		r.goesOn(x, "repaired")
		r.end(x, fmt.Sprintf("talk %d of four", i))
	}
	last := x.run(*tortureSeed + 7)
	last.goesOn(x, "after the repair")
	x.takes(last.conn, "after the repair", bySocket, bySocket)
	last.end(x, "the last talk")
	if _, err := os.Stat(pins); err != nil {
		t.Error(err)
	}
}

// attachFirst attaches the containers for the first time, without.
func (x *half) attachFirst() {
	x.t.Helper()
	x.attach(false)
	for who := range x.ids {
		x.enter(who)
	}
}
