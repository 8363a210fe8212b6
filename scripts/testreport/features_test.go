// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/emerita-cni/emerita/internal/testutil"
)

func mustWrite(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFeatureSkips(t *testing.T) {
	t.Parallel()
	const (
		others  = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
		lacks   = `{"Action":"output","Package":"p","Test":"TestB","Output":"b.go:1: kernel lacks feature FEATURE: no such file\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestB"}` + "\n"
		uses    = `{"Action":"attr","Package":"p","Test":"TestC","Key":"kernel-feature","Value":"FEATURE"}` + "\n" + `{"Action":"pass","Package":"p","Test":"TestC"}` + "\n"
		good    = `{"Action":"pass","Package":"p"}` + "\n"
		has     = "# CONFIG_TLS is not set\nCONFIG_NETKIT=y\nCONFIG_DUMMY=m\nCONFIG_HZ=250\n"
		hasNone = "# CONFIG_NETKIT is not set\nCONFIG_X=y\n"
	)
	tests := []struct {
		name, events, feature, release, config string
		err                                    string // part of
	}{
		{name: "not in the configuration", events: lacks, feature: "netkit", release: "6.18.1", config: hasNone},
		{name: "built in", events: lacks, feature: "netkit", release: "6.18.1", config: has, err: `wrong skip p TestB: Linux 6.18.1 has feature "netkit"`},
		{name: "a module", events: lacks, feature: "dummy", release: "6.18.1", config: has, err: "wrong skip"},
		{name: "too old", events: lacks, feature: "big", release: "6.1.0-50-cloud-amd64", config: has},
		{name: "not too old", events: lacks, feature: "big", release: "6.3.0", config: has, err: "wrong skip"},
		{name: "much newer", events: lacks, feature: "big", release: "7.0-rc1", config: has, err: "wrong skip"},
		{name: "new, but not configured", events: lacks, feature: "both", release: "6.18.1", config: has},
		{name: "unknown feature", events: lacks, feature: "telepathy", release: "6.18.1", config: has, err: `unaudited skip p TestB: b.go:1: kernel lacks feature telepathy: no such file: nothing says what feature "telepathy" needs`},
		{name: "used", events: uses, feature: "netkit", release: "6.18.1", config: has},
		{name: "used and not configured", events: uses, feature: "netkit", release: "6.18.1", config: hasNone, err: `p TestC: found feature "netkit" on a kernel without CONFIG_NETKIT`},
		{name: "used on a kernel with backports", events: uses, feature: "big", release: "5.14", config: has},
		{name: "used and unknown", events: uses, feature: "telepathy", release: "6.18.1", config: has, err: "nothing says"},
		{name: "odd release", events: lacks, feature: "big", release: "next", config: has, err: `read kernel version "next"`},
		{name: "empty configuration", events: lacks, feature: "big", release: "6.1", config: "\n", err: "has no option that is on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			needs := mustWrite(t, "# what\nnetkit CONFIG_NETKIT\ndummy CONFIG_DUMMY\nbig 6.3\nboth 6.3 CONFIG_TLS\n")
			events := strings.ReplaceAll(others+tt.events+good, "FEATURE", tt.feature)
			err := run([]string{"-features", needs, "-kernel-release", tt.release, "-kernel-config", mustWrite(t, tt.config)},
				strings.NewReader(events), &strings.Builder{})
			switch {
			case err == nil && tt.err != "":
				t.Errorf("no error, want %q", tt.err)
			case err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %q, want %q", err, tt.err)
			}
		})
	}
}

// TestUnknownConfiguration leaves the decision to the list of allowed skips.
func TestUnknownConfiguration(t *testing.T) {
	t.Parallel()
	a := audit{needs: needs{"netkit": {"CONFIG_NETKIT"}, "big": {"6.3", "CONFIG_NET"}}, kernel: kernel{release: "6.1"}}
	netkit := skip{"p", "TestA", "a.go:1: kernel lacks feature netkit: unknown"}
	if err := a.skip(netkit); err == nil || !strings.Contains(err.Error(), errUnknown.Error()) {
		t.Errorf("skip: %v, want %q", err, errUnknown)
	}
	if err := a.skip(skip{"p", "TestA", "kernel lacks feature big: unknown"}); err != nil {
		t.Errorf("skip on a kernel that is too old in any case: %v", err)
	}
	a.allowed = []skip{{"p", "TestA", "kernel lacks feature netkit"}}
	if err := a.skip(netkit); err != nil {
		t.Errorf("allowed skip: %v", err)
	}
}

func TestParseNeeds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"netkit\n":             `line 1: feature "netkit" needs nothing`,
		"# x\nnetkit NETKIT\n": `line 2: "NETKIT" is neither`,
	} {
		if _, err := parseNeeds(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestEveryFeature holds the list beside the features that tests can ask for.
func TestEveryFeature(t *testing.T) {
	t.Parallel()
	all, err := parseFile("../kernel-features.txt", parseNeeds)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range testutil.Features() {
		if all[string(f)] == nil {
			t.Errorf("kernel-features.txt lacks %q", f)
		}
		delete(all, string(f))
	}
	for name := range all {
		t.Errorf("kernel-features.txt has %q, which no test can ask for", name)
	}
	if got := lacking("x_test.go:7: " + testutil.Lacks(testutil.TLS, os.ErrNotExist)); got != string(testutil.TLS) {
		t.Errorf("a skip of testutil's is read as for want of %q", got)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	const events = `
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"attr","Package":"p","Test":"TestB","Key":"kernel-feature","Value":"netkit"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"c.go:1: kernel lacks feature tls: no such file"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p"}
{"Action":"fail","Package":"q"}`
	path := filepath.Join(t.TempDir(), "summary")
	config := mustWrite(t, "CONFIG_NETKIT=y\n")
	if err := run([]string{"-summary", path, "-kernel-release", "6.18", "-kernel-config", config}, strings.NewReader(events), &strings.Builder{}); err == nil {
		t.Error("no error although tests failed")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got summary
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := summary{
		Packages: map[string]count{"p": {Passed: 1, Failed: 1, Skipped: 1}, "q": {Failed: 1}},
		Features: map[string]bool{"netkit": true, "tls": false},
		Failed:   []failed{{"p", "TestB"}, {"q", ""}},
		Skipped:  []skipped{{"p", "TestC", "tls"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}
