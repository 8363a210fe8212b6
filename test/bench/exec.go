// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// callTimeout is far beyond the slowest call; it keeps a hung plugin from
// hanging the run.
const callTimeout = time.Minute

// A sample is one timed call.
type sample struct {
	wall, cpu time.Duration
}

func (s *sample) plus(other sample) {
	s.wall += other.wall
	s.cpu += other.cpu
}

// start runs a program on the host and waits for it, as libcni does: the clock
// runs from before fork until stdout is at its end and the process is reaped.
func (h *host) start(ctx context.Context, program string, stdin []byte, env ...string) (sample, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "CNI_PATH=" + h.bin}, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr

	var begin time.Time
	err := h.do(func() error {
		begin = time.Now()
		return cmd.Start()
	})
	if err != nil {
		return sample{}, nil, fmt.Errorf("start %q: %w", filepath.Base(program), err)
	}
	err = cmd.Wait()
	s := sample{wall: time.Since(begin), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if err != nil {
		return s, nil, fmt.Errorf("run %q: %w: %s%s", filepath.Base(program), err, stdout.Bytes(), stderr.Bytes())
	}
	return s, stdout.Bytes(), nil
}

// An attachment is a container with an interface, or about to get one.
type attachment struct {
	*container
	id     string
	ports  []portMapping
	limit  *limit // of bandwidth, nil for none
	result []byte
}

// asked is what the runtime asks for, by capability.
func (a *attachment) asked() map[string]any {
	asked := map[string]any{}
	if len(a.ports) > 0 {
		asked["portMappings"] = a.ports
	}
	if a.limit != nil {
		asked["bandwidth"] = a.limit
	}
	return asked
}

// attachmentOf names an attachment that the host has not seen before.
func (h *host) attachmentOf(c *container) *attachment {
	return &attachment{container: c, id: fmt.Sprintf("bench-%s-%06d", h.name, h.seq.Add(1))}
}

func (h *host) call(ctx context.Context, command string, l link, a *attachment) (sample, []byte, error) {
	stdin, err := l.stdin(a.result, a.asked())
	if err != nil {
		return sample{}, nil, err
	}
	s, out, err := h.start(ctx, filepath.Join(h.bin, l.plugin), stdin,
		"CNI_COMMAND="+command, "CNI_CONTAINERID="+a.id, "CNI_NETNS="+a.path, "CNI_IFNAME="+a.ifname)
	if err != nil {
		return s, nil, fmt.Errorf("%s %q: %w", command, a.id, err)
	}
	return s, out, nil
}

// add attaches and keeps the result, of which each plugin of a chain gets that of the
// one before and del the last. The sample is the sum of the plugins.
func (h *host) add(ctx context.Context, a *attachment) (sample, error) {
	var s sample
	for _, l := range h.chain() {
		one, out, err := h.call(ctx, opAdd, l, a)
		s.plus(one)
		if err != nil {
			return s, err
		}
		a.result = out
	}
	var result struct {
		IPs []struct {
			Address string `json:"address"`
		} `json:"ips"`
	}
	if err := json.Unmarshal(a.result, &result); err != nil {
		return s, fmt.Errorf("decode the result of ADD %q: %w", a.id, err)
	}
	if len(result.IPs) != 1 || result.IPs[0].Address == "" {
		return s, fmt.Errorf("ADD %q: expected one address, got %s", a.id, a.result)
	}
	return s, nil
}

// del detaches, the plugins of a chain in reverse order.
func (h *host) del(ctx context.Context, a *attachment) (sample, error) {
	var s sample
	for _, l := range slices.Backward(h.chain()) {
		one, _, err := h.call(ctx, opDel, l, a)
		s.plus(one)
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// reap waits for what plugins left running, which the sandbox inherited, and
// returns the CPU time of that. No other call may be under way.
func reap(ctx context.Context) (time.Duration, error) {
	var cpu time.Duration
	for deadline := time.Now().Add(callTimeout); ; {
		var usage unix.Rusage
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, &usage)
		switch {
		case errors.Is(err, unix.ECHILD):
			return cpu, nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return cpu, fmt.Errorf("wait for detached processes: %w", err)
		case pid > 0:
			cpu += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		case ctx.Err() != nil:
			return cpu, ctx.Err()
		case time.Now().After(deadline):
			return cpu, errors.New("wait for detached processes: still running after a minute")
		default:
			time.Sleep(time.Millisecond)
		}
	}
}
