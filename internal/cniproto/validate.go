// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"fmt"
	"strings"
)

// maxName bounds container ids and network names, bytes. The specification has
// no limit; file names made of them (255) do.
const maxName = 200

// ValidateContainerID checks CNI_CONTAINERID: letters, digits, '_', '.', '-',
// the first one a letter or digit.
func ValidateContainerID(id string) error {
	if id == "" {
		return Errorf(CodeUnknownContainer, "invalid container id", "CNI_CONTAINERID is empty")
	}
	if err := validName(id); err != nil {
		return Errorf(CodeInvalidEnv, "invalid container id", "CNI_CONTAINERID %q: %w", id, err)
	}
	return nil
}

// ValidateNetworkName checks the name of a network, which has the alphabet of
// container ids.
func ValidateNetworkName(name string) error {
	if name == "" {
		return Errorf(CodeInvalidConfig, "invalid network name", "missing network name")
	}
	if err := validName(name); err != nil {
		return Errorf(CodeInvalidConfig, "invalid network name", "name %q: %w", name, err)
	}
	return nil
}

func validName(s string) error {
	if len(s) > maxName {
		return fmt.Errorf("longer than %d characters", maxName)
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '.' && c != '-') {
			return fmt.Errorf("character %d: want a letter or digit first, then letters, digits, '_', '.' and '-'", i+1)
		}
	}
	return nil
}

// maxIfName is IFNAMSIZ less the final NUL.
const maxIfName = 15

// ValidateIfName checks an interface name as the kernel does (dev_valid_name in
// net/core/dev.c).
func ValidateIfName(name string) error {
	var why string
	switch {
	case name == "":
		why = "empty"
	case len(name) > maxIfName:
		why = fmt.Sprintf("longer than %d characters", maxIfName)
	case name == "." || name == "..":
		why = "a directory name"
	case strings.ContainsFunc(name, func(c rune) bool {
		return c == '/' || c == ':' || c <= ' ' || c == 0x7f || c > 0x7e
	}):
		why = "'/', ':', white space and characters beyond ASCII are not allowed"
	default:
		return nil
	}
	return Errorf(CodeInvalidEnv, "invalid interface name", "CNI_IFNAME %q: %s", name, why)
}
