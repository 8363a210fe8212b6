// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds container ids and network names, bytes. The specification has
// no limit; names of files and directories made of them (255) do.
const maxName = 200

// ValidateContainerID checks a container id: letters, digits, '_', '.', '-',
// the first one a letter or digit, at most 200 bytes. The code is
// CodeUnknownContainer for an empty one, as in the reference skeleton, else
// CodeInvalidEnv.
func ValidateContainerID(id string) error {
	if id == "" {
		return Errorf(CodeUnknownContainer, "invalid container id", "CNI_CONTAINERID is empty")
	}
	if err := validName(id); err != nil {
		return Errorf(CodeInvalidEnv, "invalid container id", "CNI_CONTAINERID %q: %w", id, err)
	}
	return nil
}

// ValidateNetworkName checks the name of a network, which has the alphabet and
// the length of container ids. The code is CodeInvalidConfig.
func ValidateNetworkName(name string) error {
	if name == "" {
		return Errorf(CodeInvalidConfig, "invalid network name", `missing network name: set "name"`)
	}
	if err := validName(name); err != nil {
		return Errorf(CodeInvalidConfig, "invalid network name", "name %q: %w", name, err)
	}
	return nil
}

func validName(s string) error {
	if s == "" {
		return errors.New("empty")
	}
	if len(s) > maxName {
		return fmt.Errorf("longer than %d bytes, and file names are made of it", maxName)
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '.' && c != '-') {
			return fmt.Errorf("byte %d: want a letter or digit first, then letters, digits, '_', '.' and '-'", i+1)
		}
	}
	return nil
}

// maxIfName is IFNAMSIZ less the final NUL.
const maxIfName = 15

// ValidateIfName checks an interface name by the rules of the reference
// skeleton, and refuses besides what the kernel refuses or changes. The code is
// CodeInvalidEnv.
func ValidateIfName(name string) error {
	if why := badIfName(name); why != "" {
		return Errorf(CodeInvalidEnv, "invalid interface name", "CNI_IFNAME %q: %s", name, why)
	}
	return nil
}

// CheckIfName is ValidateIfName for a name that another key has, which the caller's error
// says.
func CheckIfName(name string) error {
	if why := badIfName(name); why != "" {
		return errors.New(why)
	}
	return nil
}

func badIfName(name string) string {
	switch {
	case name == "":
		return "empty"
	case len(name) > maxIfName:
		return fmt.Sprintf("longer than %d bytes", maxIfName)
	case name == "." || name == "..":
		return "a directory name"
	case name == "all" || name == "default": // sysctl_dev_name_is_allowed
		return "the kernel keeps it for itself under /proc/sys/net"
	case strings.Contains(name, "%"): // dev_alloc_name makes eth0 of eth%d
		return "'%' makes the kernel choose a name of its own"
	case strings.ContainsAny(name, "/:") || strings.ContainsFunc(name, unicode.IsSpace):
		return "'/', ':' and white space are not allowed"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "a result cannot hold invalid UTF-8 or control characters"
	case strings.Contains(name, "\xa0"): // dev_valid_name calls isspace on bytes, of Latin-1
		return "the kernel takes a byte of it for white space"
	}
	return ""
}
