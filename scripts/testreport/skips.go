// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// skip is one line of the list of audited skips: package, test and a part of
// the reason that the test gives. A test name that ends in * is a prefix.
type skip struct {
	pkg, test, reason string
}

func parseSkips(r io.Reader) ([]skip, error) {
	var skips []skip
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 3 {
			return nil, fmt.Errorf("line %d: want package, test and reason, have %q", n, line)
		}
		skips = append(skips, skip{pkg: words[0], test: words[1], reason: strings.Join(words[2:], " ")})
	}
	return skips, lines.Err()
}

func (s skip) allows(pkg, test, output string) bool {
	prefix, isPrefix := strings.CutSuffix(s.test, "*")
	return s.pkg == pkg &&
		(s.test == test || isPrefix && strings.HasPrefix(test, prefix)) &&
		strings.Contains(output, s.reason)
}
