// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Code is an error code of the CNI specification (section 5, "Error"), or one
// of Emerita's own from 100 upward.
type Code uint

// The codes of CNI 1.1.0, of the reference skeleton (8), and of Emerita.
const (
	CodeIncompatibleVersion Code = 1   // CNI version not supported
	CodeUnsupportedField    Code = 2   // message holds the key and the value
	CodeUnknownContainer    Code = 3   // container unknown or gone, no DEL needed
	CodeInvalidEnv          Code = 4   // message names the variables
	CodeIO                  Code = 5   // reading stdin and the like
	CodeDecode              Code = 6   // not JSON
	CodeInvalidConfig       Code = 7   // JSON, with values that cannot be used
	CodeTargetNetns         Code = 8   // the plugin's own or the host's netns as target
	CodeTryAgain            Code = 11  // a lock was held for too long
	CodeNotAvailable        Code = 50  // STATUS: no ADD can be served
	CodeLimited             Code = 51  // STATUS: as 50, and running containers suffer
	CodeInternal            Code = 100 // everything without a code of its own
	CodeIPAM                Code = 101 // address management (as the original's)
	CodeNetlink             Code = 102 // the kernel refused a link, address or route (as the original's)
	CodePortTaken           Code = 103 // somebody else has the port of the host
)

// Error is a CNI error. Msg says the operation and the object, Details the
// cause and, where known, the mend. It marshals to the specification's error
// object with the version that Marshal is given.
type Error struct {
	Code    Code
	Msg     string
	Details string
	Err     error // cause, for errors.Is; not marshalled
}

func (e *Error) Error() string {
	if e.Details == "" {
		return e.Msg
	}
	return e.Msg + ": " + e.Details
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error whose details are the formatted text, %w included:
// msg is the operation and its object.
func Errorf(code Code, msg, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Msg: msg, Details: oneLine(err), Err: err}
}

// Wrap gives err a code and an operation. An Error inside err keeps its own
// code, because the innermost knows best; its operation becomes the detail.
// Wrap of nil is nil.
func Wrap(code Code, msg string, err error) error {
	if err == nil {
		return nil
	}
	var inner *Error
	if errors.As(err, &inner) {
		code = inner.Code
	}
	return &Error{Code: code, Msg: msg, Details: oneLine(err), Err: err}
}

// oneLine is the text of an error that may be several joined ones, each said once: two
// steps often meet the same obstacle.
func oneLine(err error) string {
	var said []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	return strings.Join(said, "; ")
}

// AsError finds the Error in err, or makes one with CodeInternal.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Msg: "internal error", Details: err.Error(), Err: err}
}
