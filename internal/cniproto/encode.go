// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// EncodeResult writes a result in the form of a supported version ("" is
// 0.1.0), indented as the upstream plugins do it. What the version has no word
// for is left out; where the reference library prints members of 1.1.0 in older
// forms, because its structures are shared, this does not. Empty dns is left
// out too. Up to 0.2.0, a result with no address or with two of one family is an
// error with CodeIncompatibleVersion.
func EncodeResult(w io.Writer, r *Result, version string) error {
	const what = "encode result"
	version, err := NormalizeVersion(version)
	if err != nil {
		return err
	}
	if err := r.complete(); err != nil {
		return Wrap(CodeInternal, what, err)
	}
	var form any
	switch {
	case AtLeast(version, "1.1.0"):
		current := *r
		current.CNIVersion = version
		form = &current
	case AtLeast(version, "0.3.0"):
		form = r.to03(version)
	default:
		old, err := r.to02(version)
		if err != nil {
			return Wrap(CodeIncompatibleVersion, what, err)
		}
		form = old
	}
	return write(w, form, "write result")
}

// Encode writes the error as the specification's error object. version is that
// of the configuration; Current is written if it is not known ("").
func (e *Error) Encode(w io.Writer, version string) error {
	return write(w, struct {
		CNIVersion string `json:"cniVersion"`
		Code       Code   `json:"code"`
		Msg        string `json:"msg"`
		Details    string `json:"details,omitempty"`
	}{cmp.Or(version, Current), e.Code, strings.ToValidUTF8(e.Msg, "\ufffd"), strings.ToValidUTF8(e.Details, "\ufffd")}, "write error")
}

// complete refuses a result that could not be printed or read back.
func (r *Result) complete() error {
	for i, ip := range r.IPs {
		if !ip.Address.IsValid() {
			return fmt.Errorf("ips[%d] has no address", i)
		}
	}
	for i, rt := range r.Routes {
		if !rt.Dst.IsValid() {
			return fmt.Errorf("routes[%d] has no dst", i)
		}
	}
	return nil
}

// write sends a JSON document in one call, so that a reader never sees half.
func write(w io.Writer, form any, what string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	if err := enc.Encode(form); err != nil {
		return Wrap(CodeInternal, what, err)
	}
	_, err := w.Write(b.Bytes())
	return Wrap(CodeIO, what, err)
}
