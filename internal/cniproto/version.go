// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// Current is the version of the specification that Emerita is written for.
const Current = "1.1.0"

// SupportedVersions lists every version that is spoken, oldest first.
func SupportedVersions() []string {
	return []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", Current}
}

// NormalizeVersion returns the version to speak for the cniVersion of a
// configuration: one without the key is of 0.1.0, the last version that did not
// demand it. One that is not supported is an error with
// CodeIncompatibleVersion.
func NormalizeVersion(v string) (string, error) {
	if v == "" {
		return "0.1.0", nil
	}
	if slices.Contains(SupportedVersions(), v) {
		return v, nil
	}
	return "", Errorf(CodeIncompatibleVersion, "incompatible CNI versions",
		"cniVersion %q: supported are %s", v, strings.Join(SupportedVersions(), ", "))
}

// AtLeast compares two supported versions: whether v is w or later.
func AtLeast(v, w string) bool {
	all := SupportedVersions()
	return slices.Index(all, v) >= slices.Index(all, w)
}

// VersionReply is the answer to VERSION: the version of the input, whether
// supported or not (SPEC section 5, "Version"), and the list. Empty input is
// answered with Current.
func VersionReply(inputVersion string) []byte {
	reply, _ := json.Marshal(struct { // strings always marshal
		CNIVersion        string   `json:"cniVersion"`
		SupportedVersions []string `json:"supportedVersions"`
	}{cmp.Or(inputVersion, Current), SupportedVersions()})
	return append(reply, '\n')
}
