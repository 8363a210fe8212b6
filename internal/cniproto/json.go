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
	return Wrap(CodeInvalidConfig, what, wrongType("", into, err))
}

// Unmarshal is for the keys of a configuration that Config does not have: its
// errors are those of ParseConfig.
func Unmarshal(raw []byte, into any) error {
	return unmarshal(raw, into, "parse network configuration")
}

// UnmarshalAt is Unmarshal for the value of a key that Config leaves raw, of whatever
// type. path leads to it.
func UnmarshalAt(path string, raw []byte, into any) error {
	return Wrap(CodeInvalidConfig, "parse network configuration", wrongType(path, into, json.Unmarshal(raw, into)))
}

// wrongType says which key of JSON has which wrong value, where encoding/json
// says the names of Go structures. path leads to what was decoded, which is into.
func wrongType(path string, into any, err error) error {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		if err == nil || path == "" {
			return err
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	key := strings.Trim(path+"."+asWritten(t.Field, reflect.TypeOf(into)), ".")
	// Value may be "number 1e99": the value says more than the kind.
	return fmt.Errorf("%s: want %s, not a JSON %s", key, kindOf(t.Type), t.Value)
}

// asWritten is a path of encoding/json without the names of embedded structs, whose keys
// stand beside those of what they are embedded in.
func asWritten(path string, in reflect.Type) string {
	var keys []string
	for key := range strings.SplitSeq(path, ".") {
		for in != nil && in.Kind() != reflect.Struct {
			switch in.Kind() {
			case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
				in = in.Elem()
			default:
				in = nil
			}
		}
		var embedded bool
		if in, embedded = fieldOf(in, key); !embedded {
			keys = append(keys, key)
		}
	}
	return strings.Join(keys, ".")
}

// fieldOf is the type of a field of a struct, by the name of an embedded one or by its
// key; nil if there is none.
func fieldOf(in reflect.Type, name string) (t reflect.Type, embedded bool) {
	if in == nil {
		return nil, false
	}
	for i := range in.NumField() {
		f := in.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if embedded = f.Anonymous && key == "" && f.Name == name; embedded || key == name {
			return f.Type, embedded
		}
	}
	return nil, false
}

// kindOf is JSON's word for what decodes to t.
func kindOf(t reflect.Type) string {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "a string"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer"
	default:
		return "an object"
	}
}
