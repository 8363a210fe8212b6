// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"cmp"
	"strings"
)

// Env is the protocol's part of the environment.
type Env struct {
	Command     string // CNI_COMMAND
	ContainerID string // CNI_CONTAINERID
	Netns       string // CNI_NETNS
	IfName      string // CNI_IFNAME
	Args        string // CNI_ARGS
	Path        string // CNI_PATH
}

// EnvFrom reads the variables.
func EnvFrom(getenv func(string) string) Env {
	return Env{
		Command:     getenv("CNI_COMMAND"),
		ContainerID: getenv("CNI_CONTAINERID"),
		Netns:       getenv("CNI_NETNS"),
		IfName:      getenv("CNI_IFNAME"),
		Args:        getenv("CNI_ARGS"),
		Path:        getenv("CNI_PATH"),
	}
}

// Validate checks that what the verb demands is there (SPEC section 2), all of
// it in one error, and that it is well-formed. Variables that the verb does not
// demand are not looked at: libcni fills them with anything. The code is
// CodeInvalidEnv.
func (e Env) Validate() error {
	container, netns, path := false, false, false
	switch e.Command {
	case "ADD", "CHECK":
		container, netns = true, true
	case "DEL":
		container = true
	case "GC":
		path = true
	case "STATUS", "VERSION", "": // the empty one is missing, below
	default:
		return Errorf(CodeInvalidEnv, "unknown CNI_COMMAND", "%q: want ADD, DEL, CHECK, GC, STATUS or VERSION", e.Command)
	}
	var missing []string
	for _, v := range []struct {
		name, value string
		required    bool
	}{
		{"CNI_COMMAND", e.Command, true},
		{"CNI_CONTAINERID", e.ContainerID, container},
		{"CNI_NETNS", e.Netns, netns},
		{"CNI_IFNAME", e.IfName, container},
		{"CNI_PATH", e.Path, path},
	} {
		if v.required && v.value == "" {
			missing = append(missing, v.name)
		}
	}
	if len(missing) > 0 {
		return Errorf(CodeInvalidEnv, "required environment variables are missing",
			"%s: set them for %s", strings.Join(missing, ", "), cmp.Or(e.Command, "every verb"))
	}
	if !container {
		return nil
	}
	if err := ValidateContainerID(e.ContainerID); err != nil {
		return err
	}
	if strings.ContainsRune(e.Netns, 0) { // a flag of the command line can hold one
		return Errorf(CodeInvalidEnv, "invalid network namespace", "CNI_NETNS %q: NUL in a path", e.Netns)
	}
	return ValidateIfName(e.IfName)
}
