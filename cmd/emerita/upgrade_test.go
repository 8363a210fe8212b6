// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// pins is where the programs and maps are on a host with a bpffs.
const pins = "/sys/fs/bpf/emerita-v2"

var programID = regexp.MustCompile(`\bid (\d+) `)

// attached are the numbers of the two programs on a container's host end.
func (h *host) attached(id string) (ids [2]string) {
	h.t.Helper()
	for i, hook := range []string{"ingress", "egress"} {
		out := testutil.Run(h.t, "tc", "filter", "show", "dev", h.hostEnd(id), hook)
		all := programID.FindAllStringSubmatch(out, -1)
		if len(all) != 1 {
			h.t.Fatalf("want one program on %s of %s:\n%s", hook, id, out)
		}
		ids[i] = all[0][1]
	}
	return ids
}

// otherBuild makes the programs those of another build of Emerita: each build has
// a directory of its own beside the maps of all.
func otherBuild(t *testing.T) {
	t.Helper()
	dirs, err := filepath.Glob(pins + "/programs-*")
	if err != nil || len(dirs) != 1 {
		t.Fatalf("programs: %q, %v", dirs, err)
	}
	if err := os.Rename(dirs[0], pins+"/programs-0123456789abcdef"); err != nil {
		t.Fatal(err)
	}
}

// While two containers talk, the programs are replaced by those of another build,
// lost, and put back. No connection is reset, no datagram dropped, and no counter
// begins anew but where the maps were lost.
func TestReplacePrograms(t *testing.T) {
	t.Parallel()
	h := joined(t, "a", "b")
	testutil.Netns(t, "c")
	var streams []*stream
	for _, to := range []string{"10.1.0.3", "fd00:1::3"} {
		for _, kind := range []string{"tcp", "udp", "tcp", "udp"} {
			s, err := startStream(kind, "a", "b", to)
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, s)
		}
	}
	goOn := func(when string) {
		t.Helper()
		for i, s := range streams {
			if err := s.awaitFor(20, 6*reachWait); err != nil { // emulated, beside two others
				t.Fatalf("%s: stream %d: %v", when, i, err)
			}
			if n := s.lost.Load(); n > 0 {
				t.Errorf("%s: stream %d: %d datagrams were lost", when, i, n)
				s.lost.Store(0)
			}
		}
		if got := append(h.drops("a"), h.drops("b")...); len(got) > 0 {
			t.Errorf("%s: dropped: %v", when, got)
		}
	}
	goOn("at first")

	for _, way := range []struct {
		name string
		lose func()
		keep bool // the maps
	}{
		{"another build", func() { otherBuild(t) }, true},
		{"pins lost", func() { testutil.Run(t, "rm", "-r", pins) }, false},
	} {
		for _, mend := range []struct {
			name string
			do   func()
		}{
			{"ADD of another", func() { h.must("ADD", "c"); h.must("DEL", "c") }},
			{"repair", func() { h.mustCLI("repair") }},
		} {
			when := way.name + ", " + mend.name
			before, counted := [][2]string{h.attached("a"), h.attached("b")}, h.counted("a").FastPackets
			way.lose()
			goOn(when + " to come")
			mend.do()
			goOn(when)
			for i, id := range []string{"a", "b"} {
				if now := h.attached(id); now[0] == before[i][0] || now[1] == before[i][1] {
					t.Errorf("%s: %s has the old programs: %v", when, id, now)
				}
			}
			now := h.counted("a").FastPackets
			if way.keep && now < counted || now == 0 {
				t.Errorf("%s: counted %d packets, then %d", when, counted, now)
			}
			if out, code := h.check("a"); code != 0 {
				t.Errorf("%s: CHECK: %s", when, out)
			}
			if way.keep {
				testutil.Run(t, "rm", "-r", pins+"/programs-0123456789abcdef")
			}
		}
	}

	// The DEL of a build takes what another has attached.
	otherBuild(t)
	for _, s := range streams {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
	h.must("DEL", "a")
	h.must("DEL", "b")
	h.noEntries("DEL by another build")
}
