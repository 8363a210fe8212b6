// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/testutil"
)

var update = flag.Bool("update", false, "write testdata/verifier.golden anew")

const verifierGolden = "testdata/verifier.golden"

// TestVerifier holds the instructions that the verifier walks, which grow before
// a program is refused, to those of the golden file. Kernels differ: of to_container
// that of 6.12 walks a fifth less than that of 6.18.
func TestVerifier(t *testing.T) {
	t.Parallel()
	testutil.Root(t)
	testutil.EnterHost(t)
	h := mustOpen(t)
	names := []string{pinFrom, pinTo}
	accelerates := testutil.Probe(testutil.SockMapLink) == nil
	if accelerates {
		_, err := h.LoadAcceleration(false)
		must(t, err)
		names = append(names, pinAccelEnrol, pinAccelCgroup, pinAccelVerdict)
	}
	var uts unix.Utsname
	must(t, unix.Uname(&uts))
	got := fmt.Sprintf("# instructions walked by the verifier of Linux %s\n", unix.ByteSliceToString(uts.Release[:]))
	counts := map[string]int{}
	for _, name := range names {
		info, err := mustProgram(t, name).Info()
		must(t, err)
		n, ok := info.VerifiedInstructions()
		if !ok {
			t.Log("the kernel, older than 5.16, does not tell")
			return
		}
		counts[name] = int(n)
		got += fmt.Sprintf("%s %d\n", name, n)
	}
	if *update {
		must(t, os.WriteFile(verifierGolden, []byte(got), 0o644))
	}
	golden, err := os.ReadFile(verifierGolden)
	must(t, err)
	seen := 0
	for line := range strings.Lines(string(golden)) {
		var name string
		var want int
		if strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%s %d", &name, &want); err != nil {
			t.Fatalf("read %q: %v", line, err)
		}
		if !accelerates && strings.HasPrefix(name, "accel") {
			continue
		}
		seen++
		if n := counts[name]; n < want*7/10 || n > want*12/10 {
			t.Errorf("%s: %d instructions, want %d, at most a fifth more or three tenths less: go test ./internal/datapath -update", name, n, want)
		}
	}
	if seen != len(counts) {
		t.Errorf("%s has %d programs, the object %d", verifierGolden, seen, len(counts))
	}
}
