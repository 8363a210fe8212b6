// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DefaultPlugin is the type that Select looks for.
const DefaultPlugin = "emerita"

// Select returns the configuration of one plugin: raw itself if it is one, and
// of a list (conflist) the first of type plugin (DefaultPlugin if empty), with
// the name and the version of the list as libcni gives them to plugins. A list
// with cniVersions gets the latest of them that is supported.
func Select(raw []byte, plugin string) ([]byte, error) {
	const what = "parse network configuration"
	var in struct {
		CNIVersion  string            `json:"cniVersion"`
		CNIVersions []string          `json:"cniVersions"`
		Name        string            `json:"name"`
		Plugins     []json.RawMessage `json:"plugins"`
	}
	if err := unmarshal(raw, &in, what); err != nil {
		return nil, err
	}
	if in.Plugins == nil {
		return raw, nil
	}
	if plugin == "" {
		plugin = DefaultPlugin
	}
	var types []string
	for i, p := range in.Plugins {
		var head struct {
			Type string `json:"type"`
		}
		if err := UnmarshalAt(fmt.Sprintf("plugins[%d]", i), p, &head); err != nil {
			return nil, err
		}
		if head.Type == plugin {
			return inject(p, map[string]any{"name": in.Name, "cniVersion": latest(in.CNIVersion, in.CNIVersions)})
		}
		types = append(types, head.Type)
	}
	return nil, Errorf(CodeInvalidConfig, what, "the list %q has no plugin of type %q, but %q: name one with --plugin", in.Name, plugin, types)
}

// latest chooses the version of a list, as the runtime would. Where none is
// supported, it returns one for ParseConfig to refuse.
func latest(version string, versions []string) string {
	all := SupportedVersions()
	best := version
	if best == "" && len(versions) > 0 {
		best = versions[0]
	}
	for _, v := range versions {
		if slices.Contains(all, v) && !AtLeast(best, v) { // what is not supported is below all
			best = v
		}
	}
	return best
}

// InjectPrevResult returns the configuration with a result, which is JSON, as
// prevResult.
func InjectPrevResult(conf, result []byte) ([]byte, error) {
	return inject(conf, map[string]any{"prevResult": json.RawMessage(result)})
}

// InjectAttachments returns the configuration with a list for GC; nil is the
// empty list.
func InjectAttachments(conf []byte, list []Attachment) ([]byte, error) {
	if list == nil {
		list = []Attachment{}
	}
	return inject(conf, map[string]any{"cni.dev/valid-attachments": list})
}

// InjectVersion returns the configuration with another cniVersion.
func InjectVersion(conf []byte, version string) ([]byte, error) {
	return inject(conf, map[string]any{"cniVersion": version})
}

// inject sets keys of an object and keeps all others as they are. Keys that
// differ in case alone go: to encoding/json they are the same.
func inject(conf []byte, keys map[string]any) ([]byte, error) {
	object := map[string]json.RawMessage{}
	if err := unmarshal(conf, &object, "parse network configuration"); err != nil {
		return nil, err
	}
	for k, v := range keys {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, Wrap(CodeDecode, "encode "+k, err)
		}
		maps.DeleteFunc(object, func(old string, _ json.RawMessage) bool { return strings.EqualFold(old, k) })
		object[k] = raw
	}
	out, err := json.Marshal(object)
	return out, Wrap(CodeInternal, "encode network configuration", err)
}
