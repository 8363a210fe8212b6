// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"encoding/json"
	"slices"
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
		if err := json.Unmarshal(p, &head); err != nil {
			return nil, Errorf(CodeInvalidConfig, what, "plugins[%d]: %w", i, err)
		}
		if head.Type == plugin {
			return inject(p, map[string]any{"name": in.Name, "cniVersion": latest(in.CNIVersion, in.CNIVersions)})
		}
		types = append(types, head.Type)
	}
	return nil, Errorf(CodeInvalidConfig, what, "the list %q has no plugin of type %q, but %q: name one with --plugin", in.Name, plugin, types)
}

func latest(version string, versions []string) string {
	best := version
	for _, v := range versions {
		all := SupportedVersions()
		if slices.Contains(all, v) && (!slices.Contains(all, best) || AtLeast(v, best)) {
			best = v
		}
	}
	return best
}

// InjectPrevResult returns the configuration with a result as prevResult.
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

// inject sets keys of an object and keeps all others as they are.
func inject(conf []byte, keys map[string]any) ([]byte, error) {
	object := map[string]json.RawMessage{}
	if err := unmarshal(conf, &object, "parse network configuration"); err != nil {
		return nil, err
	}
	for k, v := range keys {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, Wrap(CodeInternal, "encode "+k, err)
		}
		object[k] = raw
	}
	out, err := json.Marshal(object)
	return out, Wrap(CodeInternal, "encode network configuration", err)
}
