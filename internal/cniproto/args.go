// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxArgs bounds CNI_ARGS, bytes; maxNamed the keys that one error names.
const (
	maxArgs  = 64 << 10
	maxNamed = 8
)

// Args are the pairs of CNI_ARGS. The texts of addresses are as received: what
// is allowed there depends on the address manager.
type Args struct {
	IgnoreUnknown bool
	IP            []string // addresses or prefixes; static takes several, separated by commas
	Gateway       []string // likewise
	MAC           string
	Labels        map[string]string // what names the workload: K8S_POD_NAME and others
}

// labelKeys are the keys by which Kubernetes, Nomad and nerdctl name the workload.
func labelKeys() []string {
	return []string{
		"K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID",
		"NOMAD_REGION", "NOMAD_NAMESPACE", "NOMAD_JOB_ID", "NOMAD_GROUP_NAME", "NOMAD_ALLOC_ID",
		"NERDCTL_CNI_DHCP_HOSTNAME",
	}
}

// isLabel says whether a key is of one of these families: those that came with a newer
// runtime are as good a label, if it lets them be ignored.
func isLabel(key string) bool {
	return strings.HasPrefix(key, "K8S_") || strings.HasPrefix(key, "NOMAD_") || strings.HasPrefix(key, "NERDCTL_")
}

// ParseArgs reads CNI_ARGS ("K=V;K=V") as types.LoadArgs of the reference
// library does: an empty pair, or a second '=' in one, is an error, the last of
// equal keys counts, and a key that is not known is an error unless
// IgnoreUnknown is true. The code is CodeInvalidEnv.
func ParseArgs(s string) (Args, error) {
	var a Args
	if s == "" {
		return a, nil
	}
	if len(s) > maxArgs {
		return Args{}, badArgs("longer than %d bytes", maxArgs)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		return Args{}, badArgs("control character at byte %d", i+1)
	}
	if !utf8.ValidString(s) {
		return Args{}, badArgs("invalid UTF-8")
	}
	var unknown []string
	for pair := range strings.SplitSeq(s, ";") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || strings.Contains(value, "=") {
			return Args{}, badArgs("%.100q is not of the form KEY=VALUE", pair)
		}
		switch key {
		case "IgnoreUnknown":
			switch strings.ToLower(value) {
			case "1", "true":
				a.IgnoreUnknown = true
			case "0", "false":
				a.IgnoreUnknown = false
			default:
				return Args{}, badArgs("IgnoreUnknown=%.100q: want 1, true, 0 or false", value)
			}
		case "IP":
			a.IP = list(value)
		case "GATEWAY":
			a.Gateway = list(value)
		case "MAC":
			a.MAC = value
		default:
			if isLabel(key) {
				if a.Labels == nil {
					a.Labels = map[string]string{}
				}
				a.Labels[key] = value
			}
			if !slices.Contains(labelKeys(), key) {
				unknown = append(unknown, key)
			}
		}
	}
	if len(unknown) > 0 && !a.IgnoreUnknown {
		return Args{}, badArgs("unknown keys %.100q: remove them or add IgnoreUnknown=1", unknown[:min(len(unknown), maxNamed)])
	}
	return a, nil
}

func badArgs(format string, args ...any) error {
	return Errorf(CodeInvalidEnv, "invalid CNI_ARGS", format, args...)
}

// list keeps an empty element, so that the parser of addresses rejects it.
func list(value string) []string {
	if value == "" {
		return nil
	}
	items := strings.Split(value, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
