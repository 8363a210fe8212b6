// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
)

// EncodeResult writes a result in the form of a supported version, indented as
// the upstream plugins do it. What the version has no word for is left out.
func EncodeResult(w io.Writer, r *Result, version string) error {
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
			return Errorf(CodeIncompatibleVersion, "encode result", "%w", err)
		}
		form = old
	}
	return write(w, form, "write result")
}

// Encode writes the error as the specification's error object.
func (e *Error) Encode(w io.Writer, version string) error {
	return write(w, struct {
		CNIVersion string `json:"cniVersion"`
		Code       Code   `json:"code"`
		Msg        string `json:"msg"`
		Details    string `json:"details,omitempty"`
	}{version, e.Code, strings.ToValidUTF8(e.Msg, "\ufffd"), strings.ToValidUTF8(e.Details, "\ufffd")}, "write error")
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
