// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import "testing"

// TestAcceleratedSaidBeforeConnected: what was said by a call that began before the
// connection goes by TCP, though the connection is enrolled. So does all that follows in its
// direction, or it would come first.
func TestAcceleratedSaidBeforeConnected(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	x := newHalf(newHost(t), 1, true, "a", "b")
	for _, w := range ways() {
		l := x.listen(w, 0)
		caller := x.open(0, l.at.Addr(), 0)
		// Where there is no cookie for Fast Open the call connects, and goes on sending.
		if n, err := x.fastOpen(caller, l.at, []byte("first")); n != 5 || err != nil {
			t.Fatalf("%s: %d bytes are taken, %v", w.name, n, err)
		}
		caller.at = unmap(caller.name())
		a := &scene{t: t, half: x, ends: [2]end{caller, l.accept()}}
		l.close()
		a.must(caller.settle())
		x.takes(conn{a.ends}, "said before connected, "+w.name, idle, idle)
		a.send("second")
		p := make([]byte, len("firstsecond"))
		a.must(a.ends[1].read(p))
		if string(p) != "firstsecond" {
			t.Errorf("%s: %q is heard", w.name, p)
		}
		a.swap(1, []byte("answer"))
		x.takes(conn{a.ends}, "said and answered, "+w.name, byTCP, enrolled)
		conn{a.ends}.close()
	}
}
