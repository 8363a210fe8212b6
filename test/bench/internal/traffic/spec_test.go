// SPDX-License-Identifier: MIT OR Apache-2.0

package traffic

import (
	"testing"
	"time"
)

func TestTurnsOf(t *testing.T) {
	t.Parallel()
	var d []time.Duration
	for i := 101; i > 0; i-- {
		d = append(d, time.Duration(i)*time.Microsecond)
	}
	got, err := turnsOf(d)
	if err != nil || got.P50 != 51 || got.P99 != 100 {
		t.Errorf("turnsOf(101..1 µs) = %+v, %v, want p50 51 and p99 100", got, err)
	}
	if _, err := turnsOf(nil); err == nil {
		t.Error("turnsOf accepted no turn")
	}
}

// Of four requests, one has no answer: it is no latency of zero.
func TestPacedOf(t *testing.T) {
	t.Parallel()
	got, err := pacedOf([]time.Duration{3 * time.Microsecond, 0, 2 * time.Microsecond, time.Microsecond})
	if want := (Result{P50: 2, P99: 2, Lost: 0.25}); err != nil || got != want {
		t.Errorf("pacedOf = %+v, %v, want %+v", got, err, want)
	}
	if _, err := pacedOf(make([]time.Duration, 4)); err == nil {
		t.Error("pacedOf accepted no answer")
	}
}

func TestResent(t *testing.T) {
	t.Parallel()
	if got := resent([]segments{{all: 30, again: 3}, {all: 70, again: 17}}); got != 0.2 {
		t.Errorf("resent = %v, want 0.2", got)
	}
	if got := resent(nil); got != 0 {
		t.Errorf("resent of nothing = %v", got)
	}
}

// A window of 2 s after 1 s, with 10 every half second: what comes in until the
// first count is warm-up.
func TestWindow(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	w := newWindow(Spec{WarmUp: time.Second, Window: 2 * time.Second}, start)
	var now time.Time
	steps := 0
	for now = start; !w.add(10, now); now = now.Add(500 * time.Millisecond) {
		if steps++; steps > 10 {
			t.Fatal("the window does not end")
		}
	}
	if took := now.Sub(start); took != 3*time.Second {
		t.Errorf("the window ended after %v, want 3 s", took)
	}
	if w.count != 40 || w.perSecond(now) != 20 {
		t.Errorf("counted %d, %v a second, want 40 and 20", w.count, w.perSecond(now))
	}
}

// A sample in which nothing comes in for longer than the window still counts
// from the first that does.
func TestWindowAfterASilence(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	w := newWindow(Spec{WarmUp: time.Second, Window: time.Second}, start)
	if w.add(7, start.Add(5*time.Second)) {
		t.Error("the window ended with the first count")
	}
	if end := start.Add(6 * time.Second); !w.add(7, end) || w.perSecond(end) != 7 {
		t.Errorf("counted %d, want 7 in one second", w.count)
	}
}
