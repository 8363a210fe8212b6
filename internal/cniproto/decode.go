// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import "encoding/json"

// DecodeResult reads a result of any supported version, as plugins print it and
// as runtimes give it back in prevResult. One without cniVersion is of
// defaultVersion. An error has CodeDecode, CodeInvalidConfig or
// CodeIncompatibleVersion.
func DecodeResult(raw []byte, defaultVersion string) (*Result, error) {
	const what = "parse result"
	var head struct {
		CNIVersion string `json:"cniVersion"`
	}
	if err := unmarshal(raw, &head, what); err != nil {
		return nil, err
	}
	if head.CNIVersion == "" {
		head.CNIVersion = defaultVersion
	}
	version, err := NormalizeVersion(head.CNIVersion)
	if err != nil {
		return nil, err
	}
	out := new(Result)
	if AtLeast(version, "0.3.0") {
		// The extra key of older addresses, version, is implied by the address.
		if err := unmarshal(raw, out, what); err != nil {
			return nil, err
		}
	} else {
		old := new(result02)
		if err := unmarshal(raw, old, what); err != nil {
			return nil, err
		}
		out = old.upgrade()
	}
	out.CNIVersion = version
	return out, out.validate(what)
}

// validate refuses what later steps would stumble over.
func (r *Result) validate(what string) error {
	for _, ip := range r.IPs {
		if !ip.Address.IsValid() {
			return Errorf(CodeInvalidConfig, what, "ips: an entry lacks its address")
		}
		if ip.Interface != nil && (*ip.Interface < 0 || *ip.Interface >= len(r.Interfaces)) {
			return Errorf(CodeInvalidConfig, what, "ips: interface %d of %s is not in the list of interfaces", *ip.Interface, ip.Address)
		}
	}
	for _, rt := range r.Routes {
		if !rt.Dst.IsValid() {
			return Errorf(CodeInvalidConfig, what, "routes: an entry lacks its dst")
		}
	}
	return nil
}

// unmarshal tells text that is no JSON from JSON with the wrong values.
func unmarshal(raw []byte, into any, what string) error {
	if err := json.Unmarshal(raw, into); err != nil {
		code := CodeInvalidConfig
		if !json.Valid(raw) {
			code = CodeDecode
		}
		return Errorf(code, what, "%w", err)
	}
	return nil
}
