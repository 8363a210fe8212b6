// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// writeVersion answers VERSION. Its input is {"cniVersion": …} at most, and
// must not be more.
func writeVersion(e env, raw []byte) error {
	var in struct {
		CNIVersion string `json:"cniVersion"`
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &in); err != nil {
			return cniproto.Errorf(cniproto.CodeDecode, "parse input of VERSION", "%w", err)
		}
	}
	_, err := e.stdout.Write(cniproto.VersionReply(in.CNIVersion))
	return cniproto.Wrap(cniproto.CodeIO, "write answer", err)
}

func versionCommand(e env, _ *flags) error {
	_, err := fmt.Fprintf(e.stdout, "emerita %s\nCNI %s\n", version, strings.Join(cniproto.SupportedVersions(), " "))
	return err
}
