// SPDX-License-Identifier: MIT OR Apache-2.0

package testutil

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// volatile is what differs between two looks at an unchanged host. The carrier of a
// bridge without ports, as emerita0 may be, is seen up to a second late.
var volatile = regexp.MustCompile(`(valid_lft|preferred_lft) \S+|expires \S+sec|# handle \d+|counter packets \d+ bytes \d+|@if\d+|link-netnsid \d+|^\d+: |NO-CARRIER,| state (UP|DOWN|UNKNOWN)`)

// Snapshot is everything on the host that the plugin could leave behind, in
// comparable form: links, addresses, routes, rules, neighbours, nftables,
// sysctls of interfaces, and the files under /run and /var/lib. Index numbers
// and handles are left out. ignore lists file path prefixes that a test
// expects to change.
func Snapshot(t TB, ignore ...string) string {
	t.Helper()
	var b strings.Builder
	for _, line := range []string{
		"ip -o link", "ip -o addr", "ip -4 route show table all", "ip -6 route show table all",
		"ip rule", "ip -6 rule", "ip neigh show nud permanent", "nft list ruleset",
	} {
		f := strings.Fields(line)
		lines := strings.Split(Run(t, f[0], f[1:]...), "\n")
		for i, l := range lines {
			lines[i] = strings.TrimSpace(volatile.ReplaceAllString(l, ""))
		}
		sort.Strings(lines)
		fmt.Fprintf(&b, "== %s\n%s\n", line, strings.Join(lines, "\n"))
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		readSettings(t, &b, "/proc/sys/net/"+family+"/conf")
	}
	for _, dir := range []string{"/run", "/var/lib"} {
		listFiles(t, &b, dir, ignore)
	}
	return b.String()
}

func readSettings(t TB, b *strings.Builder, dir string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*/*")
	if err != nil {
		t.Fatalf("list settings: %v", err)
	}
	for _, f := range files {
		if raw, err := os.ReadFile(f); err == nil && filepath.Base(f) != "stable_secret" {
			fmt.Fprintf(b, "%s = %s\n", f, strings.TrimSpace(string(raw)))
		}
	}
}

func listFiles(t TB, b *strings.Builder, dir string, ignore []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, p := range ignore {
			if strings.HasPrefix(path, p) {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "%s %s\n", info.Mode(), path)
		return nil
	})
	if err != nil {
		t.Fatalf("list files: %v", err)
	}
}
