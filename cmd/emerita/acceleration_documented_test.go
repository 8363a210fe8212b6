// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"
)

// Every difference that the tests accept is one that users can read about.
func TestDifferencesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/socket-acceleration.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range documented() {
		if !strings.Contains(string(text), "| "+name+" |") {
			t.Errorf("no row of a table in docs/socket-acceleration.md is of %q", name)
		}
	}
}
