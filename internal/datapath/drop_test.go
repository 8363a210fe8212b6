// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDropNames compares the names with the header, which the object's BTF does
// not have: numbers go up by one, and none is taken away.
func TestDropNames(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../bpf/lib/drop.h")
	must(t, err)
	_, list, _ := strings.Cut(string(text), "enum drop_reason {\n")
	list, _, _ = strings.Cut(list, "};")
	var names []string
	for line := range strings.Lines(list) {
		var name string
		var number int
		if _, err := fmt.Sscanf(strings.TrimSpace(line), "DROP_%s = %d,", &name, &number); err != nil {
			t.Fatalf("read %q: %v", line, err)
		}
		if name == "REASONS" {
			if number != dropReasons {
				t.Errorf("the header has room for %d, the counters for %d", number, dropReasons)
			}
			continue
		}
		if number != len(names) {
			t.Errorf("%s is %d, want %d", name, number, len(names))
		}
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if name == "nd" {
			name = "neighbour-discovery"
		}
		names = append(names, name)
	}
	for i, want := range names {
		if got := Drop(i).String(); got != want {
			t.Errorf("drop %d is %q, in the header %q", i, got, want)
		}
	}
	for _, d := range []Drop{Drop(len(names)), -1} {
		if got := d.String(); got != "unknown" {
			t.Errorf("drop %d is %q, which the header does not have", int(d), got)
		}
	}
}
