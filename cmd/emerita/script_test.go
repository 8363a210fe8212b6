// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/emerita-cni/emerita/internal/testutil"
)

var update = flag.Bool("update", false, "rewrite golden files and the expected output in scripts")

// binaryVariable names the program that the tests call as emerita, if it is not to be
// the test binary, which takes three times as long to start.
const binaryVariable = "EMERITA_TEST_BINARY"

func TestMain(m *testing.M) {
	testscript.Main(onBinary{m}, map[string]func(){"emerita": main, "without": withoutCalls, "talker": talkerMain})
}

// onBinary runs the tests with the program of binaryVariable, if it is set.
type onBinary struct{ *testing.M }

func (m onBinary) Run() int {
	if binary := os.Getenv(binaryVariable); binary != "" {
		// By testscript.Main the first directory is its own.
		link := filepath.Join(filepath.SplitList(os.Getenv("PATH"))[0], "emerita")
		if err := errors.Join(os.Remove(link), os.Symlink(binary, link)); err != nil {
			fmt.Fprintln(os.Stderr, "put", binary, "in place:", err)
			return 1
		}
	}
	return m.M.Run()
}

// TestScripts runs testdata/script/*.txt, which specify the program as its users
// see it. Each script has a host of its own (testutil.EnterHost).
func TestScripts(t *testing.T) {
	testutil.Root(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			testutil.EnterHost(e.T().(testutil.TB))
			e.Values[scriptT{}] = e.T()
			e.Setenv("PATH", e.Getenv("PATH")+":/usr/sbin:/sbin")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"snapshot": cmdSnapshot,
			"netns":    cmdNetns,
			"needs":    cmdNeeds,
			"reach":    cmdReach,
		},
	})
}

// cmdSnapshot is "snapshot save" and "snapshot compare": nothing on the host
// may differ between the two but the (empty) directories and locks that every
// later call uses again.
func cmdSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || args[0] != "save" && args[0] != "compare" {
		ts.Fatalf("usage: snapshot save|compare")
	}
	now := testutil.Snapshot(scriptTB{ts}, "/run/netns", "/var/lib/cni")
	file := ts.MkAbs(".snapshot")
	if args[0] == "save" {
		ts.Check(os.WriteFile(file, []byte(now), 0o600))
		return
	}
	before, err := os.ReadFile(file)
	ts.Check(err)
	if diff := lineDiff(string(before), now); diff != "" {
		ts.Fatalf("the host differs:\n%s", diff)
	}
}

// cmdNetns makes network namespaces.
func cmdNetns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: netns NAME …")
	}
	for _, name := range args {
		testutil.Netns(scriptTB{ts}, name)
	}
}

// scriptT is the key of a script's testscript.T.
type scriptT struct{}

// cmdNeeds is "needs FEATURE …": the script is skipped on a kernel without one of
// the features of testutil.
func cmdNeeds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: needs FEATURE …")
	}
	t := ts.Value(scriptT{}).(interface {
		testscript.T
		Attr(key, value string)
	})
	for _, name := range args {
		if err := testutil.Probe(testutil.Feature(name)); err != nil {
			t.Skip(testutil.Lacks(testutil.Feature(name), err))
		}
		t.Attr(testutil.Uses, name)
	}
}

// scriptTB lets testutil fail a script.
type scriptTB struct{ ts *testscript.TestScript }

func (s scriptTB) Helper() {}

func (s scriptTB) Fatalf(format string, args ...any) { s.ts.Fatalf(format, args...) }

// lineDiff lists the lines that only one of two texts has.
func lineDiff(a, b string) string {
	count := map[string]int{}
	for l := range strings.Lines(a) {
		count[l]++
	}
	for l := range strings.Lines(b) {
		count[l]--
	}
	var out strings.Builder
	for _, text := range []string{a, b} {
		for l := range strings.Lines(text) {
			switch n := count[l]; {
			case n > 0:
				fmt.Fprintf(&out, "- %s", l)
			case n < 0:
				fmt.Fprintf(&out, "+ %s", l)
			}
			count[l] = 0
		}
	}
	return out.String()
}
