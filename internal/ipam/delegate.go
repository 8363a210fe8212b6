// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// delegate serves every other type: it runs that plugin as the CNI
// specification says, with the whole configuration on stdin.
type delegate struct {
	Request
	name  string
	path  string                                     // of the executable
	pause func(context.Context, time.Duration) error // between tries of a busy executable
}

func newDelegate(r Request, name string) (Manager, error) {
	path, err := findPlugin(name, r.Path)
	if err != nil {
		return nil, err
	}
	return &delegate{Request: r, name: name, path: path, pause: wait}, nil
}

// cleanUpTimeout bounds the DEL after a failed ADD, whose own context may be
// spent.
const cleanUpTimeout = 10 * time.Second

// Add implements Manager. A plugin that failed, or printed what is no result,
// is told to undo, as the specification demands of who delegates.
func (m *delegate) Add(ctx context.Context, h Hooks) (*cniproto.Result, error) {
	if h.Claiming != nil {
		if err := h.Claiming(Claim{}); err != nil {
			return nil, cniproto.Wrap(cniproto.CodeIPAM, fmt.Sprintf("claim addresses of IPAM plugin %q", m.name), err)
		}
	}
	out, err := m.run(ctx, "ADD")
	var result *cniproto.Result
	if err == nil {
		if result, err = decodeResult(out, m.CNIVersion); err != nil {
			err = cniproto.Wrap(cniproto.CodeIPAM, fmt.Sprintf("read result of IPAM plugin %q", m.name), err)
		}
	}
	if err == nil {
		return result, nil
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
	defer cancel()
	if _, derr := m.run(undo, "DEL"); derr != nil {
		err = cniproto.Wrap(cniproto.CodeIPAM, fmt.Sprintf("add, and undo with IPAM plugin %q", m.name), errors.Join(err, derr))
	}
	return nil, err
}

// decodeResult reads the result of a plugin, whose routes will be installed.
func decodeResult(out []byte, version string) (*cniproto.Result, error) {
	result, err := cniproto.DecodeResult(out, version)
	if err != nil {
		return nil, err
	}
	for i, r := range result.Routes {
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("routes[%d].%w", i, err)
		}
	}
	return result, nil
}

// Del implements Manager.
func (m *delegate) Del(ctx context.Context, _ *Claim) error { return m.call(ctx, "DEL") }

// Check implements Manager.
func (m *delegate) Check(ctx context.Context, _ *Claim) error { return m.call(ctx, "CHECK") }

// GC implements Manager. The valid attachments are in the configuration, under
// cni.dev/valid-attachments.
func (m *delegate) GC(ctx context.Context, _ []cniproto.Attachment) error {
	return m.callSince110(ctx, "GC")
}

// Status implements Manager.
func (m *delegate) Status(ctx context.Context) error { return m.callSince110(ctx, "STATUS") }

// callSince110 leaves out a verb that the configuration's version does not
// know: the plugin would refuse it.
func (m *delegate) callSince110(ctx context.Context, verb string) error {
	if !cniproto.AtLeast(m.CNIVersion, "1.1.0") {
		return nil
	}
	return m.call(ctx, verb)
}

func (m *delegate) call(ctx context.Context, verb string) error {
	_, err := m.run(ctx, verb)
	return err
}

// busyTries is how often an executable that is just being written is tried
// again, busyPause for how long it is left alone first; the pause doubles.
const (
	busyTries = 5
	busyPause = 100 * time.Millisecond
)

// run calls the plugin and returns its stdout. Its error object is passed on
// with its code.
func (m *delegate) run(ctx context.Context, verb string) ([]byte, error) {
	for try := 0; ; try++ {
		out, err := m.runOnce(ctx, verb)
		if err == nil {
			return out, nil
		}
		if errors.Is(err, unix.ETXTBSY) && try < busyTries {
			if m.pause(ctx, busyPause<<try) == nil {
				continue
			}
		}
		return nil, cniproto.Wrap(cniproto.CodeIPAM, fmt.Sprintf("%s of IPAM plugin %q", verb, m.name), err)
	}
}

// pipeDelay is how long the pipes of a plugin that has ended stay open for a
// process it left in the background.
const pipeDelay = time.Second

func (m *delegate) runOnce(ctx context.Context, verb string) ([]byte, error) {
	var stdout bytes.Buffer
	stderr := &tee{w: m.Stderr}
	cmd := exec.CommandContext(ctx, m.path)
	cmd.Env = environ(m.Environ, verb)
	cmd.Stdin = bytes.NewReader(m.Config)
	cmd.Stdout = &stdout
	cmd.Stderr = stderr
	cmd.WaitDelay = pipeDelay
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || ctx.Err() != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		return nil, pluginError(err, stdout.Bytes(), stderr.start)
	}
	return stdout.Bytes(), nil
}

// environ replaces CNI_COMMAND.
func environ(base []string, verb string) []string {
	env := make([]string, 0, len(base)+1)
	for _, kv := range base {
		if !strings.HasPrefix(kv, "CNI_COMMAND=") {
			env = append(env, kv)
		}
	}
	return append(env, "CNI_COMMAND="+verb)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
