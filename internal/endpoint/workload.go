// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"strings"
	"unicode"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// workloadLabels are what the runtime says of the workload: in CNI_ARGS, and over that
// in args.cni.
func workloadLabels(c *cniproto.Config, args cniproto.Args) map[string]string {
	labels := args.Labels
	for _, l := range c.Args.CNI.Labels {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[l.Key] = l.Value
	}
	return labels
}

// maxHostName is the longest name of DNS (RFC 1035, section 2.3.4), bytes.
const maxHostName = 253

// wantedAliases are the names that the capability aliases asks for. Emerita has no name
// server: they are recorded for one.
func wantedAliases(c *cniproto.Config) ([]string, error) {
	const what = "parse aliases"
	raw := c.RuntimeConfig.Aliases
	if raw == nil {
		return nil, nil
	}
	var out []string
	if err := cniproto.UnmarshalAt("runtimeConfig.aliases", raw, &out); err != nil {
		return nil, err
	}
	for i, a := range out {
		if a == "" || len(a) > maxHostName || strings.ContainsFunc(a, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' || r == ',' }) {
			return nil, cniproto.Errorf(cniproto.CodeInvalidConfig, what, "entry %d, %.300q: want a host name of at most %d bytes", i, a, maxHostName)
		}
	}
	return out, nil
}
