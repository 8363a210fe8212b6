// SPDX-License-Identifier: MIT OR Apache-2.0

package state

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// lackFile notes that a feature cannot be had. It is no record, and hidden from
// whoever lists those.
func lackFile(feature string) string { return "lacks " + feature }

// attempt begins the file: an attempt counts in the boot and for the version in which
// it was made. The reason follows.
func attempt(version string) (string, error) {
	boot, err := BootID()
	return boot + " " + version + "\n", err
}

// Lacks says whether a feature could not be had in this boot with a version, and why.
func (s *Store) Lacks(feature, version string) (why string, lacks bool) {
	raw, err := s.readFile(lackFile(feature))
	if err != nil || raw == nil {
		return "", false
	}
	now, err := attempt(version)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(string(raw), now)
}

// NoteLack remembers that a feature could not be had.
func (s *Store) NoteLack(feature, version, why string) error {
	now, err := attempt(version)
	if err != nil {
		return err
	}
	return s.writeFile(lackFile(feature), []byte(now+why))
}

// ForgetLack lets a feature be tried again.
func (s *Store) ForgetLack(feature string) error {
	if err := unix.Unlinkat(s.fd, lackFile(feature), 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("forget that the host lacks %s: %w", feature, err)
	}
	return nil
}
