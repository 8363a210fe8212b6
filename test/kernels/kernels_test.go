// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFindMirror(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, text, want string }{
		{"one line", "sources.list", "# deb http://x.test/debian old main\ndeb http://a.test/debian bookworm main\n", "http://a.test/debian"},
		{"one line with options", "sources.list.d/a.list", "deb [signed-by=/k arch=amd64] https://a.test/mirror/debian/ trixie main\n", "https://a.test/mirror/debian/"},
		{"deb822", "sources.list.d/a.sources", "Types: deb\nURIs: http://b.test/debian-security http://b.test/debian\nSuites: trixie\n", "http://b.test/debian"},
		{"others only", "sources.list", "deb http://c.test/ubuntu noble main\ndeb http://c.test/debian-security bookworm-security main\n", ""},
		{"none", "trusted.gpg", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			etc := t.TempDir()
			mustWrite(t, filepath.Join(etc, tt.file), tt.text)
			got, err := findMirror(etc)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("mirror %q, %v, want %q", got, err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), mirrorVariable) {
				t.Errorf("error %q does not name %s", err, mirrorVariable)
			}
		})
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	versions := []candidate{{"7.3", "backports"}, {"7.2", "testing"}, {"6.12", "trixie"}}
	if c, err := newest(versions, []string{"testing", "backports"}); err != nil || c.version != "7.3" {
		t.Errorf("newest is %v, %v, want 7.3", c, err)
	}
	if _, err := newest(versions, []string{"sid"}); err == nil {
		t.Error("a suite without a kernel has one")
	}
}

func TestKernelParts(t *testing.T) {
	t.Parallel()
	const shown = "Package: linux-image-cloud-amd64\nDepends: linux-base-cloud-amd64 (= 7.3.4-1), linux-image-7.3.4-cloud-amd64 (= 7.3.4-1), linux-base (>= 4.3)\n"
	found := kernelPart.FindAllStringSubmatch(shown, -1)
	if len(found) != 1 || found[0][1] != "linux-image-7.3.4-cloud-amd64" || found[0][2] != "7.3.4-1" {
		t.Errorf("parts are %q", found)
	}
}

func TestLoadOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "modules.dep"),
		"a/virtio_pci.ko.xz: a/modern-dev.ko.xz a/virtio.ko.xz\na/virtio.ko.xz:\na/modern-dev.ko.xz: a/virtio.ko.xz\na/virtio-fs.ko.xz: a/virtio.ko.xz\n")
	got, err := loadOrder(dir, []string{"virtio_pci", "built_in", "virtio_fs"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a/virtio.ko.xz", "a/modern-dev.ko.xz", "a/virtio_pci.ko.xz", "a/virtio-fs.ko.xz"}
	if !slices.Equal(got, want) {
		t.Errorf("order is %q, want %q", got, want)
	}
}

func TestCPIO(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	cpio(&b, "ab", 0o100644, []byte("hello"))
	want := "070701" + "00000000" + "000081a4" + "00000000" + "00000000" + "00000001" + "00000000" + "00000005" +
		strings.Repeat("00000000", 4) + "00000003" + "00000000" + "ab\x00" + "\x00\x00\x00" + "hello" + "\x00\x00\x00"
	if b.String() != want || len(want)%4 != 0 {
		t.Errorf("entry is %q, want %q", b.String(), want)
	}
}

// TestMissing has a machine end within a test of q, and before r.
func TestMissing(t *testing.T) {
	t.Parallel()
	const events = `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}
{"Action":"pass","Package":"q","Test":"TestA"}
`
	got := string(missing([]byte(events), []pkg{{Path: "p"}, {Path: "q"}, {Path: "r"}}))
	for _, want := range []string{`{"Action":"fail","Package":"q"}`, `{"Action":"fail","Package":"r"}`, "the machine ended"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in:\n%s", want, got)
		}
	}
	if strings.Contains(got, `"p"`) {
		t.Errorf("p ended, and has failed:\n%s", got)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	const p = modulePath + "internal/rtnl"
	text := document([]result{
		{&kernel{title: "old", version: "6.1-1", suite: "bookworm"}, summary{
			Packages: map[string]count{p: {3, 1, 1}},
			Failed:   []failed{{p, "TestAddr"}, {modulePath + "internal/nft", ""}},
			Features: map[string]bool{"tls": true, "netkit": false},
			Skipped:  []skipped{{p, "TestNetkit", "netkit"}, {modulePath + "internal/testutil", "TestFeatures/netkit", "netkit"}},
		}},
		{&kernel{title: "new", version: "7.3-1", suite: "testing"}, summary{
			Packages: map[string]count{p: {5, 2, 0}},
			Features: map[string]bool{"tls": true, "netkit": true},
			Failed:   []failed{{p, "TestTBF/twice"}, {p, "TestAddr"}},
		}},
	}, time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC))
	_, tables, _ := strings.Cut(text, "## Features")
	var rows []string
	for line := range strings.Lines(tables) {
		if strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "| cmd/") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	want := []string{
		"|  | old | new |", "| --- | --- | --- |", "| kernel | 6.1-1 (bookworm) | 7.3-1 (testing) |",
		"| netkit | no | yes |", "| tls | yes | yes |",
		"|  | old | new |", "| --- | --- | --- |", "| internal/rtnl | 3 / 1 / 1 | 5 / 2 / 0 |",
		"| test | on |", "| --- | --- |", "| internal/nft (outside of any test) | old |", "| internal/rtnl TestAddr | old, new |", "| internal/rtnl TestTBF/twice | new |",
		"| test | for want of | on |", "| --- | --- | --- |", "| internal/rtnl TestNetkit | netkit | old |",
		"| package | tests | why |", "| --- | --- | --- |",
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if !strings.Contains(text, "on 2026-11-25.") {
		t.Error("the document has no date")
	}
	if text := document(nil, time.Now()); strings.Contains(text, "## Failed") {
		t.Error("nothing has failed, and there is a section for it")
	}
}
