// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// archiveKeyring is where Debian's package of that name puts it.
const archiveKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt is apt with lists, caches and sources of its own: those of the machine, and
// what it does after an update, stay out of it. Its proxies and credentials serve.
type apt struct {
	dir string // absolute
}

const aptConf = `Dir::Etc::sourcelist "%[1]s/debian.sources";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::State::lists "%[1]s/lists";
Dir::Cache "%[1]s/cache";
APT::Sandbox::User "root";
APT::Architectures { "amd64"; };
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
`

// newApt fetches the lists of the suites.
func newApt(dir string, suites ...string) (*apt, error) {
	mirror := os.Getenv(mirrorVariable)
	if mirror == "" {
		var err error
		if mirror, err = findMirror("/etc/apt"); err != nil {
			return nil, err
		}
	}
	for _, sub := range []string{"lists/partial", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	a := &apt{dir: dir}
	if err := os.WriteFile(a.path("apt.conf"), fmt.Appendf(nil, aptConf, dir), 0o644); err != nil {
		return nil, err
	}
	err := a.update(mirror, archiveKeyring, suites)
	if err == nil {
		return a, nil
	}
	// The keyring may be older than the newest suite's key. A newer one comes from
	// the machine's own suites, which it trusts.
	keyring, keyErr := a.newerKeyring()
	if keyErr != nil {
		return nil, errors.Join(err, keyErr)
	}
	return a, a.update(mirror, keyring, suites)
}

func (a *apt) path(name string) string { return filepath.Join(a.dir, name) }

func (a *apt) update(mirror, keyring string, suites []string) error {
	sources := fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: amd64\nSigned-By: %s\n",
		mirror, strings.Join(suites, " "), keyring)
	if err := os.WriteFile(a.path("debian.sources"), []byte(sources), 0o644); err != nil {
		return err
	}
	_, err := output(a.dir, "apt-get", "-c", a.path("apt.conf"), "-qq", "--error-on=any", "update")
	return err
}

func (a *apt) newerKeyring() (string, error) {
	const name = "debian-archive-keyring"
	if _, err := output(a.path("debs"), "apt-get", "-qq", "download", name); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(a.path("debs/" + name + "_*.deb"))
	if err != nil || len(debs) == 0 {
		return "", fmt.Errorf("find the package %s: %w", name, errors.Join(err, fs.ErrNotExist))
	}
	root := a.path("keyring")
	_, err = output(a.dir, "dpkg-deb", "-x", debs[len(debs)-1], root)
	return root + archiveKeyring, err
}

// candidate is a version of a package in a suite.
type candidate struct{ version, suite string }

// versions are those of a package, the newest first.
func (a *apt) versions(name string) ([]candidate, error) {
	out, err := output(a.dir, "apt-cache", "-c", a.path("apt.conf"), "madison", name)
	if err != nil {
		return nil, err
	}
	var all []candidate
	for line := range strings.Lines(out) {
		// linux-image | 6.1-1 | URI SUITE/main amd64 Packages
		columns := strings.Split(line, "|")
		if len(columns) != 3 {
			continue
		}
		where := strings.Fields(columns[2])
		if len(where) < 2 {
			continue
		}
		suite, _, _ := strings.Cut(where[1], "/")
		all = append(all, candidate{strings.TrimSpace(columns[1]), suite})
	}
	return all, nil
}

// newest is the newest version, of a list in that order, that is in one of the suites.
func newest(versions []candidate, suites []string) (candidate, error) {
	for _, c := range versions {
		if slices.Contains(suites, c.suite) {
			return c, nil
		}
	}
	return candidate{}, fmt.Errorf("no kernel in %q", suites)
}

// kernelPart matches the packages of one kernel among dependencies: one package up
// to 6.x, later four.
var kernelPart = regexp.MustCompile(`\b(linux-(?:image|binary|modules|base)-\d\S*) \(= ([^)]+)\)`)

// download fetches the packages that a version of the package of that name stands
// for, and returns their files.
func (a *apt) download(name, version string) (debs []string, err error) {
	seen := map[string]bool{}
	for todo := []string{name + "=" + version}; len(todo) > 0; todo = todo[1:] {
		shown, err := output(a.dir, "apt-cache", "-c", a.path("apt.conf"), "show", todo[0])
		if err != nil {
			return nil, err
		}
		for _, m := range kernelPart.FindAllStringSubmatch(shown, -1) {
			part := m[1] + "=" + m[2]
			if seen[part] {
				continue
			}
			seen[part] = true
			todo = append(todo, part)
			deb, err := a.fetch(m[1], m[2])
			if err != nil {
				return nil, err
			}
			debs = append(debs, deb)
		}
	}
	if len(debs) == 0 {
		return nil, fmt.Errorf("package %s %s names no kernel", name, version)
	}
	return debs, nil
}

func (a *apt) fetch(name, version string) (string, error) {
	// As apt-get names it.
	file := a.path(fmt.Sprintf("debs/%s_%s_amd64.deb", name, strings.ReplaceAll(version, ":", "%3a")))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	_, err := output(a.path("debs"), "apt-get", "-c", a.path("apt.conf"), "-qq", "download", name+"="+version)
	return file, err
}

// output runs a command in a directory and returns what it printed.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}
