// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// unmarshal reads a JSON object. Text that is none is an error with CodeDecode;
// a value of the wrong type is one with CodeInvalidConfig that names the key,
// and then into holds everything else.
func unmarshal(raw []byte, into any, what string) error {
	err := json.Unmarshal(raw, into)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return Errorf(CodeDecode, what, "not JSON: byte %d: %w", syntax.Offset, err)
	}
	if first := bytes.TrimLeft(raw, " \t\r\n"); first[0] != '{' { // JSON is never empty
		return Errorf(CodeDecode, what, "not a JSON object")
	}
	return Wrap(CodeInvalidConfig, what, wrongType("", err))
}

// Unmarshal is for the keys of a configuration that Config does not have: its
// errors are those of ParseConfig.
func Unmarshal(raw []byte, into any) error {
	return unmarshal(raw, into, "parse network configuration")
}

// wrongType says which key of JSON has which wrong value, where encoding/json
// says the names of Go structures. path leads to what was decoded.
func wrongType(path string, err error) error {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		if err == nil || path == "" {
			return err
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	// Value may be "number 1e99": the value says more than the kind.
	return fmt.Errorf("%s: want %s, not a JSON %s", strings.Trim(path+"."+t.Field, "."), kindOf(t.Type), t.Value)
}

// kindOf is JSON's word for what decodes to t.
func kindOf(t reflect.Type) string {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "a string"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "a list"
	case reflect.Int:
		return "an integer"
	default:
		return "an object"
	}
}
