// SPDX-License-Identifier: MIT OR Apache-2.0

package emerita_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	modulePath = "github.com/emerita-cni/emerita/"
	maxGoLines = 300
)

// files returns the paths of the project's text files that ok accepts. Those
// of tests' data and of other projects are left out.
func files(t *testing.T, ok func(name string) bool) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", ".cache", "bin", "testdata"}, name) || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		// In a worktree .git is a file.
		if d.Type().IsRegular() && name != ".git" && ok(name) {
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("walk the tree: %v", err)
	}
	if len(found) == 0 {
		t.Fatal("no file is subject to this rule")
	}
	return found
}

func withSuffix(suffixes ...string) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
	}
}

func isSource(name string) bool {
	return name == "Makefile" || name == ".ci/run" || withSuffix(".go", ".c", ".h", ".sh", ".yml", ".yaml")(name)
}

func mustRead(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustParse(t *testing.T, name string, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func isGenerated(text string) bool {
	return strings.Contains(text, "\n// Code generated ") || strings.HasPrefix(text, "// Code generated ")
}

func TestPackageDocs(t *testing.T) {
	t.Parallel()
	docs := map[string][]string{}
	for _, name := range files(t, withSuffix(".go")) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		dir := filepath.Dir(name)
		file := mustParse(t, name, parser.PackageClauseOnly|parser.ParseComments)
		if docs[dir] == nil {
			docs[dir] = []string{}
		}
		if file.Doc == nil {
			continue
		}
		docs[dir] = append(docs[dir], filepath.Base(name))
		want := "Package " + file.Name.Name + " "
		if file.Name.Name == "main" {
			want = "Command " + filepath.Base(dir) + " "
		}
		if !strings.HasPrefix(file.Doc.Text(), want) {
			t.Errorf("%s: package doc does not begin with %q", name, want)
		}
	}
	for dir, where := range docs {
		if len(where) != 1 {
			t.Errorf("%s: package doc in %q, want it in one file", dir, where)
		}
	}
}

func TestSPDX(t *testing.T) {
	t.Parallel()
	for _, name := range files(t, isSource) {
		text := mustRead(t, name)
		if isGenerated(text) {
			continue
		}
		want := "SPDX-License-Identifier: MIT OR Apache-2.0\n"
		if strings.HasPrefix(name, "bpf/") && withSuffix(".c", ".h")(name) {
			want = "SPDX-License-Identifier: GPL-2.0-only"
		}
		// A script's first line is its shebang.
		head := strings.SplitAfterN(text, "\n", 3)
		if !strings.Contains(strings.Join(head[:min(2, len(head))], ""), want) {
			t.Errorf("%s: no line %q at its head", name, strings.TrimSpace(want))
		}
	}
}

func TestLicences(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{
		"LICENSE-MIT":    "Permission is hereby granted, free of charge",
		"LICENSE-APACHE": "Version 2.0, January 2004",
		"LICENSE-GPL2":   "Version 2, June 1991",
	} {
		if !strings.Contains(mustRead(t, name), part) {
			t.Errorf("%s: does not contain %q", name, part)
		}
	}
}

func TestGoFileLength(t *testing.T) {
	t.Parallel()
	for _, name := range files(t, withSuffix(".go")) {
		text := mustRead(t, name)
		if lines := strings.Count(text, "\n"); lines > maxGoLines && !strings.HasSuffix(name, "_test.go") && !isGenerated(text) {
			t.Errorf("%s: %d lines, want at most %d: one file, one idea", name, lines, maxGoLines)
		}
	}
}

// TestLayers holds the imports of the code that ships to the drawing in
// ARCHITECTURE.md: a package imports only from layers below its own.
func TestLayers(t *testing.T) {
	t.Parallel()
	layers := map[string]int{
		"internal/cniproto": 0, "internal/state": 0, "internal/netns": 0, "internal/sysctl": 0, "internal/nlmsg": 0,
		"internal/bpfsys": 0,
		"internal/rtnl":   1, "internal/nft": 1, "internal/ipam": 1, "internal/datapath": 1, "internal/conntrack": 1,
		"internal/endpoint": 2,
		"cmd/emerita":       3,
	}
	const testutil = "internal/testutil"
	for _, name := range files(t, withSuffix(".go")) {
		dir := filepath.ToSlash(filepath.Dir(name))
		isTest := strings.HasSuffix(name, "_test.go") || dir == testutil
		if isTest || !strings.HasPrefix(dir, "internal/") && !strings.HasPrefix(dir, "cmd/") {
			continue
		}
		layer, known := layers[dir]
		if !known {
			t.Errorf("%s: the package has no layer: give it one here, in .golangci.yml and in ARCHITECTURE.md", dir)
			continue
		}
		for _, spec := range mustParse(t, name, parser.ImportsOnly).Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			own, isOwn := strings.CutPrefix(imported, modulePath)
			if !isOwn {
				continue
			}
			if below, known := layers[own]; !known || below >= layer {
				t.Errorf("%s: layer %d imports %s, which is not below it", name, layer, own)
			}
		}
	}
}

func TestNoReplace(t *testing.T) {
	t.Parallel()
	replace := regexp.MustCompile(`(?m)^\s*replace\b`)
	for _, name := range files(t, func(name string) bool { return path.Base(name) == "go.mod" }) {
		if replace.MatchString(mustRead(t, name)) {
			t.Errorf("%s: has a replace directive, which go install and importers ignore", name)
		}
	}
}

func TestNothingLeftOver(t *testing.T) {
	t.Parallel()
	// Put together, so that this file does not match itself.
	marks := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)
	places := regexp.MustCompile(`(^|[^\w.*}])/wo` + `rk/|\.\./sha` + `red\b`)
	for _, name := range files(t, func(name string) bool { return !withSuffix(".png", ".sum")(name) }) {
		for i, line := range strings.Split(mustRead(t, name), "\n") {
			if m := marks.FindString(line); m != "" && isSource(name) {
				t.Errorf("%s:%d: %s: do it or open an issue", name, i+1, m)
			}
			if m := places.FindString(line); m != "" {
				t.Errorf("%s:%d: %q is a place on one machine only", name, i+1, m)
			}
		}
	}
}

func TestMakefileHelp(t *testing.T) {
	t.Parallel()
	target := regexp.MustCompile(`(?m)^([a-z][a-z-]*):(?:[^=\n].*)?$`)
	found := target.FindAllStringSubmatch(mustRead(t, "Makefile"), -1)
	if len(found) == 0 {
		t.Fatal("no target found")
	}
	for _, m := range found {
		if !strings.Contains(m[0], " ## ") {
			t.Errorf("Makefile: target %s has no ## help", m[1])
		}
	}
}

func TestReadmeQuickstart(t *testing.T) {
	t.Parallel()
	readme := mustRead(t, "README.md")
	for _, command := range []string{"make demo", "make test"} {
		if !strings.Contains(readme, command) {
			t.Errorf("README.md: does not mention %q", command)
		}
	}
}

// TestGoVersion: who comes to the project reads which Go it takes.
func TestGoVersion(t *testing.T) {
	t.Parallel()
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(mustRead(t, "go.mod"))
	if m == nil {
		t.Fatal("go.mod has no go directive")
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md"} {
		if !strings.Contains(mustRead(t, name), "Go "+m[1]) {
			t.Errorf("%s: does not mention Go %s, which go.mod wants", name, m[1])
		}
	}
}

// TestLinks resolves the relative links of the documents: the file must exist,
// and so must the heading that a fragment names.
func TestLinks(t *testing.T) {
	t.Parallel()
	var (
		fences  = regexp.MustCompile("(?ms)^```.*?^```$")
		code    = regexp.MustCompile("`[^`\n]*`")
		links   = regexp.MustCompile(`\]\(([^)\s]+)\)|(?m)^\[[^\]]+\]:\s*(\S+)|(?:src|href)="([^"]+)"`)
		heading = regexp.MustCompile(`(?m)^#+ +(.*?)\s*$`)
		dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	)
	anchors := func(name string) []string {
		var all []string
		for _, m := range heading.FindAllStringSubmatch(fences.ReplaceAllString(mustRead(t, name), ""), -1) {
			all = append(all, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
		}
		return all
	}
	for _, name := range files(t, withSuffix(".md")) {
		text := code.ReplaceAllString(fences.ReplaceAllString(mustRead(t, name), ""), "")
		for _, m := range links.FindAllStringSubmatch(text, -1) {
			link := m[1] + m[2] + m[3]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			file, fragment, _ := strings.Cut(link, "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: link %q leads nowhere", name, link)
				continue
			}
			if fragment != "" && strings.HasSuffix(to, ".md") && !slices.Contains(anchors(to), fragment) {
				t.Errorf("%s: link %q: no such heading in %s", name, link, to)
			}
		}
	}
}
