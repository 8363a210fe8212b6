// SPDX-License-Identifier: MIT OR Apache-2.0

package emerita_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsNameTests: a test that a document names as proof, or as an example, is there.
// Of a subtest ("TestScripts/NAME") that is the test. docs/kernels.md is left out: it is
// of the tests of when it was written, and the next run writes it anew.
func TestDocsNameTests(t *testing.T) {
	t.Parallel()
	var (
		declared = regexp.MustCompile(`(?m)^func (Test[A-Z]\w+)\(`)
		named    = regexp.MustCompile(`\bTest[A-Z]\w+`)
	)
	there := map[string]bool{}
	for _, name := range files(t, withSuffix("_test.go")) {
		for _, m := range declared.FindAllStringSubmatch(mustRead(t, name), -1) {
			there[m[1]] = true
		}
	}
	for _, name := range files(t, withSuffix(".md")) {
		if filepath.ToSlash(name) == "docs/kernels.md" {
			continue
		}
		for i, line := range strings.Split(mustRead(t, name), "\n") {
			for _, test := range named.FindAllString(line, -1) {
				if !there[test] {
					t.Errorf("%s:%d: there is no test %s", name, i+1, test)
				}
			}
		}
	}
}
