// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// TestAcceleratedKernelSockets: a container mounts a file system (CIFS) from another. The
// socket is the kernel's, which may give it data and callbacks of its own when it is
// connected: it is left alone.
func TestAcceleratedKernelSockets(t *testing.T) {
	t.Parallel()
	needsAcceleration(t)
	testutil.Needs(t, testutil.CIFS)
	x := newHalf(newHost(t), 1, true, "a", "b")
	w := ways()[0]
	l := x.listen(w, 0)
	defer l.close()
	app := x.again(l, 0)
	defer app.close()
	x.takes(app, "an application's", idle, idle)

	server := l.at.Addr()
	options := fmt.Sprintf("ip=%s,port=%d,user=u,pass=p", server, l.at.Port())
	mount := exec.Command("ip", "netns", "exec", x.ids[0], "mount", "-i", "-t", "cifs", "-o", options, fmt.Sprintf("//%s/share", server), t.TempDir())
	if err := mount.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mount.Process.Kill(); _ = mount.Wait() }()
	answerer := l.accept()
	defer answerer.close()
	if err := answerer.read(make([]byte, 4)); err != nil { // it asks for a version
		t.Fatal(err)
	}
	for _, f := range x.flows() {
		if f.from != app.ends[0].at.String() && f.to != app.ends[0].at.String() {
			t.Errorf("from %s to %s: %q", f.from, f.to, f.path)
		}
	}
}
