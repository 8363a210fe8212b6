// SPDX-License-Identifier: MIT OR Apache-2.0

package testutil

import (
	"errors"
	"strings"
	"testing"
)

// TestFeatures asks for each feature: passed or skipped, make test-kernels makes
// its table from it, and testreport compares the skips with the configuration.
func TestFeatures(t *testing.T) {
	for _, f := range Features() {
		t.Run(string(f), func(t *testing.T) { Needs(t, f) })
	}
	if err := Probe("telepathy"); err == nil || !strings.Contains(err.Error(), "telepathy") {
		t.Errorf("probe of what nobody knows: %v", err)
	}
	if got, want := Lacks(TLS, errors.New("no such file")), "kernel lacks feature tls: no such file"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
}
