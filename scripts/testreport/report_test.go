// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	const (
		pass   = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
		fail   = `{"Action":"output","Package":"p","Test":"TestB","Output":"b.go:1: boom\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n"
		skip   = `{"Action":"output","Package":"p","Test":"TestC/sub","Output":"c.go:1: no vrf here\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestC/sub"}` + "\n"
		panics = `{"Action":"output","Package":"p","Test":"TestD","Output":"panic: boom\n"}` + "\n"
		good   = `{"Action":"pass","Package":"p","Elapsed":0.5}` + "\n"
		bad    = `{"Action":"fail","Package":"p"}` + "\n"
		none   = `{"Action":"skip","Package":"q"}` + "\n"
	)
	tests := []struct {
		name, events, allowed string
		out, err              string // parts of
	}{
		{name: "pass", events: pass + good, out: "1 passed, 0 failed, 0 skipped in 1 packages"},
		{name: "package without test files", events: none + pass + good, out: "in 1 packages"},
		{name: "fail", events: pass + fail + bad, out: "b.go:1: boom", err: "test p TestB"},
		{name: "panic outside a test's end", events: pass + panics + bad, out: "panic: boom", err: "test p"},
		{name: "build fails", events: `{"Action":"build-output","ImportPath":"p","Output":"x.go:1: undefined\n"}` + "\n" + bad, out: "x.go:1: undefined", err: "test p"},
		{name: "unaudited skip", events: pass + skip + good, err: "unaudited skip p TestC/sub: c.go:1: no vrf here"},
		{name: "audited skip", events: pass + skip + good, allowed: "# why\np TestC/sub no vrf", out: "1 skipped"},
		{name: "audited by prefix", events: pass + skip + good, allowed: "p TestC/* no vrf", out: "1 skipped"},
		{name: "audited for another reason", events: pass + skip + good, allowed: "p TestC/sub not root", err: "unaudited skip"},
		{name: "audited in another package", events: pass + skip + good, allowed: "q TestC/sub no vrf", err: "unaudited skip"},
		{name: "all skipped", events: skip + good, allowed: "p TestC/sub no vrf", err: "package p: no test ran"},
		{name: "no test", events: good, err: "package p: no test ran"},
		{name: "no package", events: none, err: "no package has tests"},
		{name: "nothing", events: "", err: "no package has tests"},
		{name: "not events", events: "hello", err: "decode go test's events"},
		{name: "bad list", events: pass + good, allowed: "p TestC", err: "line 1: want package, test and reason"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			list := filepath.Join(t.TempDir(), "allowed")
			if err := os.WriteFile(list, []byte(tt.allowed), 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			err := run([]string{"-allowed-skips", list}, strings.NewReader(tt.events), &out)
			if !strings.Contains(out.String(), tt.out) {
				t.Errorf("output %q, want it to contain %q", out.String(), tt.out)
			}
			switch {
			case err == nil && tt.err != "":
				t.Errorf("no error, want %q", tt.err)
			case err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %q, want %q", err, tt.err)
			}
		})
	}
}
