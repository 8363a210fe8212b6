// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// banned returns packages that must not be linked into the plugin, with the reason:
// each of its milliseconds is paid by every container.
func banned() map[string]string {
	return map[string]string{
		"regexp":                         "compiling expressions costs start-up; the few patterns are loops",
		"net/http":                       "pulls in TLS and 100 packages, and the plugin talks to nobody",
		"text/template":                  "reflection at start-up; texts are built by fmt",
		"html/template":                  "as text/template",
		"testing":                        "belongs to tests",
		"C":                              "the binary is static",
		"github.com/vishvananda":         "not batched: 4.6 ms an ADD against 2.9 ms",
		"github.com/containernetworking": "skel compiles a regexp at import; cniproto is proven equal in its tests",
		"github.com/google/go-cmp":       "belongs to tests",
	}
}

const depsGolden = "testdata/deps.golden"

// TestDeps compares the packages linked into the plugin with a reviewed list.
// After a deliberate change: go test ./cmd/emerita -run TestDeps -update.
func TestDeps(t *testing.T) {
	t.Setenv("CGO_ENABLED", "0")
	t.Setenv("GOOS", "linux")
	t.Setenv("GOARCH", "amd64")
	deps := strings.Fields(testutil.Run(t, "go", "list", "-deps", "."))
	slices.Sort(deps)
	for _, d := range deps {
		for b, why := range banned() {
			if d == b || strings.HasPrefix(d, b+"/") {
				t.Errorf("%s is linked into the plugin: %s", d, why)
			}
		}
	}
	// The standard library's inner packages differ from one Go to the next.
	deps = slices.DeleteFunc(deps, func(d string) bool {
		first, _, _ := strings.Cut(d, "/")
		return !strings.Contains(first, ".") && strings.Contains("/"+d+"/", "/internal/") || first == "vendor"
	})
	got := strings.Join(deps, "\n") + "\n"
	if *update {
		if err := os.WriteFile(depsGolden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(depsGolden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := lineDiff(string(want), got); diff != "" {
		t.Errorf("packages linked into the plugin (- gone, + new; review, then run with -update):\n%s", diff)
	}
}
