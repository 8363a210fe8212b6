// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// unmarshal reads a JSON object. Text that is none is an error with CodeDecode;
// a value of the wrong type is one with CodeInvalidConfig that names the key.
func unmarshal(raw []byte, into any, what string) error {
	err := json.Unmarshal(raw, into)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return Errorf(CodeDecode, what, "not JSON: byte %d: %w", syntax.Offset, err)
	}
	if first := bytes.TrimLeft(raw, " \t\r\n"); first[0] != '{' { // JSON is never empty
		return Errorf(CodeDecode, what, "not a JSON object")
	}
	if err != nil {
		return Errorf(CodeInvalidConfig, what, "%w", wrongType(err))
	}
	return nil
}

// wrongType says the key's path in JSON, where encoding/json says the name of a
// Go structure.
func wrongType(err error) error {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		return err
	}
	return fmt.Errorf("key %q: the value is a JSON %s: %w", t.Field, t.Value, err)
}
