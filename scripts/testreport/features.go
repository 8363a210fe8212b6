// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// How testutil.Needs speaks of features.
const (
	lacksFeature  = "kernel lacks feature " // begins the message of a skip
	usesAttribute = "kernel-feature"        // key of the attribute that names one that is there
)

// lacking is the feature for want of which a test was skipped, or none.
func lacking(output string) string {
	_, rest, found := strings.Cut(output, lacksFeature)
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(rest, ":")
	return name
}

// needs are, by feature, what a kernel must have for it: options of its
// configuration ("CONFIG_TLS") and versions ("6.3").
type needs map[string][]string

func parseNeeds(r io.Reader) (needs, error) {
	all := needs{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < 2 {
			return nil, fmt.Errorf("line %d: feature %q needs nothing", n, words[0])
		}
		for _, need := range words[1:] {
			if _, err := parseVersion(need); err != nil && !strings.HasPrefix(need, "CONFIG_") {
				return nil, fmt.Errorf("line %d: %q is neither a version nor an option of the kernel", n, need)
			}
		}
		all[words[0]] = words[1:]
	}
	return all, lines.Err()
}

// errUnknown says that there is no telling, for want of the configuration.
var errUnknown = errors.New("the kernel's configuration is not to be found")

// kernel is what is known of one without trying.
type kernel struct {
	release string
	config  map[string]bool // options that are on; nil: unknown
}

// missing are those of a feature's needs that the kernel does not have.
func (k kernel) missing(all needs, feature string) (missing []string, err error) {
	wanted, known := all[feature]
	if !known {
		return nil, fmt.Errorf("nothing says what feature %q needs", feature)
	}
	for _, need := range wanted {
		if strings.HasPrefix(need, "CONFIG_") {
			if k.config == nil {
				err = errUnknown
			} else if !k.config[need] {
				missing = append(missing, need)
			}
			continue
		}
		older, versionErr := isOlder(k.release, need)
		if versionErr != nil {
			return nil, versionErr
		}
		if older {
			missing = append(missing, "Linux "+need)
		}
	}
	if len(missing) > 0 {
		return missing, nil // one is reason enough
	}
	return nil, err
}

// isOlder compares a release such as "6.1.0-50-cloud-amd64" with a version.
func isOlder(release, version string) (bool, error) {
	is, err := parseVersion(release)
	if err != nil {
		return false, err
	}
	want, err := parseVersion(version)
	if err != nil {
		return false, err
	}
	return is[0] < want[0] || is[0] == want[0] && is[1] < want[1], nil
}

func parseVersion(s string) (v [2]int, err error) {
	if _, err := fmt.Sscanf(s, "%d.%d", &v[0], &v[1]); err != nil {
		return v, fmt.Errorf("read kernel version %q: %w", s, err)
	}
	return v, nil
}
