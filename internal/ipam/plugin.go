// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// findPlugin looks an executable up in the list of directories of CNI_PATH.
// Directories that are not absolute are passed over: what they mean depends on
// where the runtime was started.
func findPlugin(name, list string) (string, error) {
	for _, dir := range filepath.SplitList(list) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", invalid("type", name, fmt.Sprintf(
		"no such executable in CNI_PATH %q: install the plugin there, or use host-local or static, which are built in", list))
}

// pluginError makes an error of what a failed plugin printed: its error object
// on stdout, else what it said on stderr.
func pluginError(err error, stdout, stderr []byte) error {
	stdout, stderr = bytes.TrimSpace(stdout), bytes.TrimSpace(stderr)
	var object struct {
		Code    cniproto.Code `json:"code"`
		Msg     string        `json:"msg"`
		Details string        `json:"details"`
	}
	switch {
	case len(stdout) == 0 && len(stderr) == 0:
		return fmt.Errorf("%w, without a message", err)
	case len(stdout) == 0:
		return fmt.Errorf("%w: %s", err, stderr)
	case json.Unmarshal(stdout, &object) != nil || object.Code == 0 && object.Msg == "":
		return fmt.Errorf("%w, and not a CNI error on stdout: %q", err, stdout[:min(len(stdout), maxQuoted)])
	}
	if object.Code == 0 {
		object.Code = cniproto.CodeIPAM
	}
	return &cniproto.Error{Code: object.Code, Msg: object.Msg, Details: object.Details, Err: err}
}

// maxQuoted bounds what a message repeats of a plugin's output, in bytes.
const maxQuoted = 4 << 10

// tee forwards what a plugin writes and keeps the start of it.
type tee struct {
	w     io.Writer // may be nil
	start []byte
}

// Write never fails: a plugin is not to be stopped because its log is.
func (t *tee) Write(p []byte) (int, error) {
	t.start = append(t.start, p[:min(len(p), maxQuoted-len(t.start))]...)
	if t.w != nil {
		_, _ = t.w.Write(p)
	}
	return len(p), nil
}
